//! axum on tokio: the current-thread runtime for one loop, the work-stealing one for more.

use std::io;

use axum::Router;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::get;
use axum::serve::ListenerExt;
use peer_common::Options;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tower_http::services::ServeDir;

fn main() -> io::Result<()> {
    let options = Options::from_args();
    runtime(options.loops)?.block_on(async {
        let listener = TcpListener::from_std(peer_common::listen(options.listen)?)?;
        let listener = listener.tap_io(|stream| {
            // A failure only affects the latency of a split response.
            let _ = stream.set_nodelay(true);
        });
        println!("listening on http://{} (tokio)", options.listen);
        axum::serve(listener, router()).await
    })
}

fn runtime(loops: usize) -> io::Result<Runtime> {
    let mut builder = match loops {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder.worker_threads(loops).enable_all().build()
}

fn router() -> Router {
    peer_axum_service::router(tokio::time::sleep)
        .route("/ws", get(websocket))
        .nest_service("/static", ServeDir::new(peer_common::files()).precompressed_gzip())
}

async fn websocket(ws: WebSocketUpgrade) -> Response {
    ws.on_upgrade(async |mut socket| {
        while let Some(Ok(message)) = socket.recv().await {
            let is_data = matches!(message, Message::Text(_) | Message::Binary(_));
            if is_data && socket.send(message).await.is_err() {
                break;
            }
        }
    })
}
