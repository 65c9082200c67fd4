//! Echoes WebSocket messages: a handler upgrades its connection, and the async-tungstenite crate
//! speaks the protocol there.
//!
//! ```text
//! cargo run --release --example websocket_echo -- --listen 127.0.0.1:8080
//! node -e 'const s = new WebSocket("ws://127.0.0.1:8080/echo"); // Node 22 or later
//!          s.onopen = () => s.send("hi"); s.onmessage = m => { console.log(m.data); s.close() }'
//! ```

use std::error::Error;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::handshake::server::create_response;
use async_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use async_tungstenite::tungstenite::{self, Message};
use brigade::http::{HandlerError, IntoResponse, Request, Response, Router, Server, Upgraded, get};
use brigade::task;
use futures_util::StreamExt;
use http::header::{SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderValue, StatusCode};
use lexopt::ValueExt;

/// The size limit of a message. A client that sends a larger one is disconnected. So is a client
/// that reads so slowly that twice as many bytes wait to be written.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// What one read can bring. The frames in it are decoded before other tasks get their turn:
/// hundreds of empty ones fit into a few KiB.
const READ_BUFFER_BYTES: usize = 4 * 1024;

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let server = Server::bind(listen()?)?;
    println!("listening on http://{} ({} event loops)", server.local_addr()?, server.loop_count());
    server.run(|| Router::new().route("/echo", get(echo)))?;
    Ok(())
}

fn listen() -> Result<String, lexopt::Error> {
    let mut listen = "127.0.0.1:8080".to_owned();
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            lexopt::Arg::Long("listen") => listen = arguments.value()?.string()?,
            other => return Err(other.unexpected()),
        }
    }
    Ok(listen)
}

/// Accepts a WebSocket handshake (RFC 6455 section 4.2); responds to anything else with an error.
async fn echo(request: Request) -> Response {
    if request.upgrade().is_none() {
        let error =
            HandlerError::new(StatusCode::UPGRADE_REQUIRED, "only WebSocket is served here");
        return error.into_response().with_header(UPGRADE, WEBSOCKET);
    }
    match accept_key(&request) {
        Ok(key) => {
            let peer = request.peer_addr();
            let run = async move |stream| match echo_messages(stream).await {
                Ok(messages) => tracing::info!(%peer, messages, "closed"),
                Err(error) => tracing::info!(%peer, %error, "connection failed"),
            };
            Response::upgrade(WEBSOCKET, run).with_header(SEC_WEBSOCKET_ACCEPT, key)
        }
        Err(error) => HandlerError::new(StatusCode::BAD_REQUEST, error.to_string())
            .into_response()
            .with_header(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")),
    }
}

/// Returns the `Sec-WebSocket-Accept` header that completes the handshake, or an error if the
/// request's headers are not those of a handshake.
fn accept_key(request: &Request) -> Result<HeaderValue, tungstenite::Error> {
    let mut handshake = http::Request::new(());
    handshake.headers_mut().clone_from(request.headers());
    let mut response = create_response(&handshake)?;
    let key = response.headers_mut().remove(SEC_WEBSOCKET_ACCEPT);
    Ok(key.expect("the response to a handshake has a key"))
}

/// Echoes messages until the client closes, and returns their number.
async fn echo_messages(stream: Upgraded) -> Result<u64, tungstenite::Error> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_write_buffer_size(2 * MESSAGE_BYTES_MAX)
        .read_buffer_size(READ_BUFFER_BYTES);
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
    let mut messages = 0;
    while let Some(message) = socket.next().await {
        // A read brings many messages, and not all of them lead to a write.
        task::consume_budget().await;
        // The crate responds to pings and to the close.
        if let message @ (Message::Text(_) | Message::Binary(_)) = message? {
            messages += 1;
            socket.send(message).await?;
        }
    }
    Ok(messages)
}
