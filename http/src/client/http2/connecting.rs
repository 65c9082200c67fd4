//! How a request gets a stream of the connection to its server, or a connection of HTTP/1.1.

use std::rc::Rc;

use brigade_runtime::local::SemaphorePermit;
use http::header::UPGRADE;

use crate::client::connect::{Connected, open};
use crate::client::exchange::{Exchange, Outline};
use crate::client::http2::connection::Connection;
use crate::client::http2::exchange::Http2Exchange;
use crate::client::http2::origins::Origin;
use crate::client::pool::{InUse, LoopClient};
use crate::message::client_error::ClientErrorKind;
use crate::protocol::body_encoder::BodyLength;

/// Begins a request on the connection to its server, or opens a connection.
///
/// While it is not known what the server speaks, one request connects and the others wait for it.
/// They connect by themselves if the server has chosen HTTP/1.1.
pub(in crate::client) async fn connect(
    client: &Rc<LoopClient>,
    outline: &Outline,
    length: BodyLength,
) -> Result<Connected, ClientErrorKind> {
    let asks_upgrade = outline.headers.contains(&UPGRADE);
    if !outline.target.is_https || !client.options.http2 || asks_upgrade {
        let opened = open(client, outline, false).await?;
        return Ok(Connected::Http1(opened.stream));
    }
    let origin = client.http2.get(&outline.target.origin);
    loop {
        if let Some(connected) = over_kept(client, &origin, outline, length).await? {
            return Ok(connected);
        }
        if origin.speaks_http1.get() {
            return connect_anew(client, &origin, None, outline, length).await;
        }
        let turn = origin.turn.acquire().await;
        if origin.connection().is_some() || origin.speaks_http1.get() {
            // Another request has connected meanwhile.
            continue;
        }
        return connect_anew(client, &origin, Some(turn), outline, length).await;
    }
}

/// Begins the request on the connection that is there. `None` if there is none any more.
async fn over_kept(
    client: &Rc<LoopClient>,
    origin: &Origin,
    outline: &Outline,
    length: BodyLength,
) -> Result<Option<Connected>, ClientErrorKind> {
    while let Some(connection) = origin.connection() {
        if let Some(exchange) = begin(client, connection, outline, length).await? {
            return Ok(Some(Connected::Http2 { exchange, is_kept: true }));
        }
    }
    Ok(None)
}

/// Opens a connection, and begins the request on it if it is one of HTTP/2. Gives its turn up once
/// it is known what the server speaks.
async fn connect_anew(
    client: &Rc<LoopClient>,
    origin: &Origin,
    turn: Option<SemaphorePermit>,
    outline: &Outline,
    length: BodyLength,
) -> Result<Connected, ClientErrorKind> {
    let opened = open(client, outline, true).await?;
    origin.speaks_http1.set(!opened.is_http2);
    if !opened.is_http2 {
        return Ok(Connected::Http1(opened.stream));
    }
    let connection = Connection::start(opened.stream, &client.options).await?;
    origin.keep(connection.clone());
    drop(turn);
    let begun = begin(client, connection, outline, length).await?;
    let exchange = begun.ok_or(ClientErrorKind::NoResponse)?;
    Ok(Connected::Http2 { exchange, is_kept: false })
}

/// Begins the request on `connection`. Waits while it has as many streams as the server allows.
/// `None` if it ends meanwhile.
async fn begin(
    client: &Rc<LoopClient>,
    connection: Rc<Connection>,
    outline: &Outline,
    length: BodyLength,
) -> Result<Option<Box<dyn Exchange>>, ClientErrorKind> {
    let Some(sender) = connection.sender_when_allowed().await else { return Ok(None) };
    let exchange = Http2Exchange::begin(InUse::new(client), connection, sender, outline, length)?;
    Ok(Some(Box::new(exchange)))
}
