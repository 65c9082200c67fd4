//! brigade itself: an acceptor and the given number of event loops.

use std::convert::Infallible;
use std::io;
use std::str::FromStr;
use std::time::Duration;

use brigade::http::{
    Body, BodyError, Directory, Json, Request, Response, Router, Server, WebSocketUpgrade, get,
    post,
};
use bytes::Bytes;
use futures_util::{Stream, stream};
use peer_common::{HELLO, Options, TEXT};

fn main() -> io::Result<()> {
    let options = Options::from_args();
    let per_loop = std::env::var("PEER_ACCEPT").is_ok_and(|accept| accept == "per-loop");
    // The harness pins the process; a loop is to move among the cores that it leaves.
    let server = Server::bind(options.listen)?.per_loop(per_loop);
    let server = server.loops(options.loops).pin(false);
    println!("listening on http://{} (epoll)", options.listen);
    server.run(router).map(drop)
}

fn router() -> Router {
    Router::new()
        .route("/", get(async || text(HELLO)))
        .route("/delay/{seconds}", get(delay))
        .route("/block/{milliseconds}", get(block))
        .route("/users/{user}", get(user))
        .route("/users/{user}/posts", get(user))
        .route("/users/{user}/posts/{post}", get(user_post))
        .route("/orgs/{org}/repos/{repo}/issues/{issue}", get(issue))
        .route("/upload", post(upload).body_limit(u64::MAX))
        .route("/download/{bytes}", get(download))
        .route("/stream/{bytes}", get(zeros_of_unknown_length))
        .route("/json", get(async || Json(peer_common::page())))
        .route("/ws", get(websocket))
        .files("/static", Directory::new(peer_common::files()).precompressed())
}

fn text(body: impl Into<Body>) -> Response {
    Response::typed(TEXT, body)
}

/// Returns a path parameter; the response is a 404 if it cannot be parsed.
fn param<T: FromStr>(request: &Request, name: &str) -> Option<T> {
    request.param(name)?.parse().ok()
}

async fn delay(request: Request) -> Option<Response> {
    let seconds = param(&request, "seconds")?;
    brigade::time::sleep(Duration::from_secs(seconds)).await;
    Some(text(HELLO))
}

async fn block(request: Request) -> Option<Response> {
    let milliseconds = param(&request, "milliseconds")?;
    std::thread::sleep(Duration::from_millis(milliseconds));
    Some(text(HELLO))
}

async fn user(request: Request) -> Option<Response> {
    Some(text(request.param("user")?.to_owned()))
}

async fn user_post(request: Request) -> Option<Response> {
    let (user, post) = (request.param("user")?, request.param("post")?);
    Some(text(format!("{user}/{post}")))
}

async fn issue(request: Request) -> Option<Response> {
    let (org, repo) = (request.param("org")?, request.param("repo")?);
    Some(text(format!("{org}/{repo}/{}", request.param("issue")?)))
}

async fn upload(mut request: Request) -> Result<Response, BodyError> {
    let mut total = 0;
    while let Some(piece) = request.body_mut().chunk().await {
        total += piece?.len();
    }
    Ok(text(total.to_string()))
}

async fn download(request: Request) -> Option<Response> {
    let bytes = param(&request, "bytes")?;
    Some(text(Body::stream_with_length(bytes, zeros(bytes))))
}

async fn zeros_of_unknown_length(request: Request) -> Option<Response> {
    Some(text(Body::stream(zeros(param(&request, "bytes")?))))
}

async fn websocket(ws: WebSocketUpgrade) -> Response {
    ws.on_upgrade(async |mut socket| {
        while let Some(Ok(message)) = socket.recv().await {
            if message.is_data() && socket.send(message).await.is_err() {
                break;
            }
        }
    })
}

fn zeros(bytes: u64) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::iter(peer_common::pieces(bytes).map(|piece| Ok(Bytes::from_static(piece))))
}
