//! Echoes WebSocket messages.
//!
//! ```text
//! cargo run --release --features websocket --example websocket_echo -- --listen 127.0.0.1:8080
//! node -e 'const s = new WebSocket("ws://127.0.0.1:8080/echo"); // Node 22 or later
//!          s.onopen = () => s.send("hi"); s.onmessage = m => { console.log(m.data); s.close() }'
//! ```
//!
//! With the feature `tls` it also speaks TLS, at `wss://`: `--tls-cert cert.pem --tls-key key.pem`.
//!
//! | file | contents |
//! | --- | --- |
//! | `main` | the server and its options |
//! | `tls`, `no_tls` | TLS with and without the feature `tls` |
#![forbid(unsafe_code)]

#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
mod tls;

use std::error::Error;
use std::path::PathBuf;

use brigade::http::websocket::{MESSAGE_BYTES_MAX, WsError};
use brigade::http::{Peer, Router, Server, WebSocket, WebSocketUpgrade, get};
use lexopt::ValueExt;

struct Options {
    listen: String,
    /// The size limit of a message. A client that sends a larger one is disconnected.
    message_bytes_max: usize,
    /// The files of the certificate and of its key. Without them the server speaks no TLS.
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let Options { listen, message_bytes_max, certificate, key } = options()?;
    let server = Server::bind(listen)?;
    let (scheme, server) = match (certificate, key) {
        (None, None) => ("http", server),
        (Some(certificate), Some(key)) => ("https", tls::serve(server, &certificate, &key)?),
        _ => return Err("--tls-cert and --tls-key need each other".into()),
    };
    let (address, loops) = (server.local_addr()?, server.loop_count());
    println!("listening on {scheme}://{address} ({loops} event loops)");
    server.run(move || {
        let echo = async move |Peer(peer): Peer, ws: WebSocketUpgrade| {
            let ws = ws.max_message_size(message_bytes_max).max_frame_size(message_bytes_max);
            ws.on_upgrade(async move |socket| match echo_messages(socket).await {
                Ok(messages) => tracing::info!(%peer, messages, "closed"),
                Err(error) => tracing::info!(%peer, %error, "connection failed"),
            })
        };
        Router::new().route("/echo", get(echo))
    })?;
    Ok(())
}

fn options() -> Result<Options, lexopt::Error> {
    let listen = "127.0.0.1:8080".to_owned();
    let message_bytes_max = MESSAGE_BYTES_MAX;
    let mut options = Options { listen, message_bytes_max, certificate: None, key: None };
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            lexopt::Arg::Long("listen") => options.listen = arguments.value()?.string()?,
            lexopt::Arg::Long("max-message-size") => {
                options.message_bytes_max = arguments.value()?.parse()?;
            }
            lexopt::Arg::Long("tls-cert") => options.certificate = Some(arguments.value()?.into()),
            lexopt::Arg::Long("tls-key") => options.key = Some(arguments.value()?.into()),
            other => return Err(other.unexpected()),
        }
    }
    Ok(options)
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
