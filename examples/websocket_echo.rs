//! Echoes WebSocket messages.
//!
//! ```text
//! cargo run --release --features websocket --example websocket_echo -- --listen 127.0.0.1:8080
//! node -e 'const s = new WebSocket("ws://127.0.0.1:8080/echo"); // Node 22 or later
//!          s.onopen = () => s.send("hi"); s.onmessage = m => { console.log(m.data); s.close() }'
//! ```

use std::error::Error;

use brigade::http::websocket::{MESSAGE_BYTES_MAX, WsError};
use brigade::http::{Request, Response, Router, Server, WebSocket, WebSocketUpgrade, get};
use brigade::http::websocket::WebSocketRejection;
use lexopt::ValueExt;

struct Options {
    listen: String,
    /// The size limit of a message. A client that sends a larger one is disconnected.
    message_bytes_max: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let Options { listen, message_bytes_max } = options()?;
    let server = Server::bind(listen)?;
    println!("listening on http://{} ({} event loops)", server.local_addr()?, server.loop_count());
    let echo = move |request| echo(request, message_bytes_max);
    server.run(move || Router::new().route("/echo", get(echo)))?;
    Ok(())
}

fn options() -> Result<Options, lexopt::Error> {
    let listen = "127.0.0.1:8080".to_owned();
    let mut options = Options { listen, message_bytes_max: MESSAGE_BYTES_MAX };
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            lexopt::Arg::Long("listen") => options.listen = arguments.value()?.string()?,
            lexopt::Arg::Long("max-message-size") => {
                options.message_bytes_max = arguments.value()?.parse()?;
            }
            other => return Err(other.unexpected()),
        }
    }
    Ok(options)
}

/// Accepts a handshake; the response to anything else is an error.
async fn echo(request: Request, max: usize) -> Result<Response, WebSocketRejection> {
    let ws = WebSocketUpgrade::from_request(&request)?;
    let peer = request.peer_addr();
    Ok(ws.max_message_size(max).max_frame_size(max).on_upgrade(async move |socket| {
        match echo_messages(socket).await {
            Ok(messages) => tracing::info!(%peer, messages, "closed"),
            Err(error) => tracing::info!(%peer, %error, "connection failed"),
        }
    }))
}

/// Echoes messages until the client closes, and returns their number.
async fn echo_messages(mut socket: WebSocket) -> Result<u64, WsError> {
    let mut messages = 0;
    while let Some(message) = socket.recv().await {
        let message = message?;
        // Pings and the close are responded to already.
        if message.is_data() {
            messages += 1;
            socket.send(message).await?;
        }
    }
    Ok(messages)
}
