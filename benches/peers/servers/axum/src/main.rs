//! axum on tokio: the current-thread runtime for one loop, the work-stealing one for more.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Path;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use axum::{Error, Json, Router};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use peer_common::{HELLO, Options, TEXT};
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
    Router::new()
        .route("/", get(async || text(HELLO)))
        .route("/delay/{seconds}", get(delay))
        .route("/block/{milliseconds}", get(block))
        .route("/users/{user}", get(async |Path(user): Path<String>| text(user)))
        .route("/users/{user}/posts", get(async |Path(user): Path<String>| text(user)))
        .route("/users/{user}/posts/{post}", get(user_post))
        .route("/orgs/{org}/repos/{repo}/issues/{issue}", get(issue))
        .route("/upload", post(upload))
        .route("/download/{bytes}", get(download))
        .route("/stream/{bytes}", get(async |Path(bytes): Path<u64>| zeros(bytes)))
        .route("/json", get(async || Json(peer_common::page())))
        .route("/ws", get(websocket))
        .nest_service("/static", ServeDir::new(peer_common::files()).precompressed_gzip())
}

fn text(body: impl Into<Body>) -> Response {
    ([(CONTENT_TYPE, TEXT)], body.into()).into_response()
}

async fn delay(Path(seconds): Path<u64>) -> Response {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    text(HELLO)
}

async fn block(Path(milliseconds): Path<u64>) -> Response {
    std::thread::sleep(Duration::from_millis(milliseconds));
    text(HELLO)
}

async fn user_post(Path((user, post)): Path<(String, String)>) -> Response {
    text(format!("{user}/{post}"))
}

async fn issue(Path((org, repo, issue)): Path<(String, String, String)>) -> Response {
    text(format!("{org}/{repo}/{issue}"))
}

async fn upload(body: Body) -> Result<Response, String> {
    let mut pieces = body.into_data_stream();
    let mut total = 0;
    while let Some(piece) = pieces.next().await {
        total += piece.map_err(|error: Error| error.to_string())?.len();
    }
    Ok(text(total.to_string()))
}

async fn download(Path(bytes): Path<u64>) -> Response {
    ([(CONTENT_LENGTH, bytes)], zeros(bytes)).into_response()
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

fn zeros(bytes: u64) -> Response {
    let pieces =
        peer_common::pieces(bytes).map(|piece| Ok::<_, Infallible>(Bytes::from_static(piece)));
    text(Body::from_stream(stream::iter(pieces)))
}
