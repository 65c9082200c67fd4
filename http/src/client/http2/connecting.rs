//! How a request gets a stream of the connection to its server, or a connection of HTTP/1.1.

use std::io;
use std::rc::Rc;

use brigade_runtime::{task, time};
use http::header::UPGRADE;

use crate::client::connect::{Connected, open};
use crate::client::exchange::{Exchange, Outline};
use crate::client::http2::connection::{Connection, Held};
use crate::client::http2::exchange::Http2Exchange;
use crate::client::http2::origins::{Opening, Origin};
use crate::client::pool::{InUse, LoopClient};
use crate::client::target::Target;
use crate::message::byte_stream::ByteStream;
use crate::message::client_error::{ClientErrorKind, TimeoutKind};
use crate::protocol::body_encoder::BodyLength;

/// The name of the tasks that open connections.
const TASK_NAME: &str = "HTTP client connecting";

/// A new connection.
enum Either {
    Http1(ByteStream),
    Http2(Held),
}

/// Begins a request on the connection to its server, or opens a connection.
///
/// While it is not known what the server speaks, all requests wait for one connection. They connect
/// by themselves if the server has chosen HTTP/1.1.
pub(in crate::client) async fn connect(
    client: &Rc<LoopClient>,
    outline: &Outline,
    length: BodyLength,
) -> Result<Connected, ClientErrorKind> {
    let asks_upgrade = outline.headers.contains(&UPGRADE);
    if !outline.target.is_https || !client.options.http2 || asks_upgrade {
        let opened = open(client, &outline.target, false).await?;
        return Ok(Connected::Http1(opened.stream));
    }
    let origin = client.http2.get(&outline.target.origin);
    loop {
        if let Some(connected) = over_kept(client, &origin, outline, length).await? {
            return Ok(connected);
        }
        let opened = if origin.speaks_http1.get() {
            open_either(client, &origin, &outline.target).await?
        } else if let Some(opening) = Origin::begin_opening(&origin) {
            open_in_task(client, opening, outline.target.clone()).await?
        } else {
            origin.opened.notified().await;
            continue;
        };
        return match opened {
            Either::Http1(stream) => Ok(Connected::Http1(stream)),
            Either::Http2(held) => {
                let begun = begin(client, held.0.clone(), outline, length).await?;
                let exchange = begun.ok_or(ClientErrorKind::NoResponse)?;
                Ok(Connected::Http2 { exchange, is_kept: false })
            }
        };
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

/// Opens a connection in a task of its own, for all requests that wait: the one that has begun it
/// may be given up, or not be polled.
async fn open_in_task(
    client: &Rc<LoopClient>,
    opening: Opening,
    target: Target,
) -> Result<Either, ClientErrorKind> {
    let client = client.clone();
    let limit = client.options.connect_timeout;
    let task = task::Builder::new().name(TASK_NAME).spawn(async move {
        let opened = open_either(&client, opening.origin(), &target);
        let timeout = ClientErrorKind::Timeout(TimeoutKind::Connect, limit);
        time::timeout(limit, opened).await.unwrap_or(Err(timeout))
    });
    // Fails if the loop has ended.
    task.await.map_err(|error| ClientErrorKind::Connect(io::Error::other(error)))?
}

/// Opens a connection, and keeps it if it is one of HTTP/2.
async fn open_either(
    client: &LoopClient,
    origin: &Origin,
    target: &Target,
) -> Result<Either, ClientErrorKind> {
    let opened = open(client, target, true).await?;
    origin.speaks_http1.set(!opened.is_http2);
    if !opened.is_http2 {
        return Ok(Either::Http1(opened.stream));
    }
    let held = Connection::start(opened.stream, &client.options).await?;
    origin.keep(held.0.clone());
    Ok(Either::Http2(held))
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
