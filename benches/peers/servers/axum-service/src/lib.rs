//! The ten routes and `/json` as an axum router, for any runtime.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Path;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Error, Json, Router};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use peer_common::{HELLO, TEXT};

/// Returns the ten routes and `/json`; `sleep` is that of the runtime.
pub fn router<S: Future + Send + 'static>(sleep: fn(Duration) -> S) -> Router {
    let delay = async move |Path(seconds): Path<u64>| {
        sleep(Duration::from_secs(seconds)).await;
        text(HELLO)
    };
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
}

fn text(body: impl Into<Body>) -> Response {
    ([(CONTENT_TYPE, TEXT)], body.into()).into_response()
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

fn zeros(bytes: u64) -> Response {
    let pieces =
        peer_common::pieces(bytes).map(|piece| Ok::<_, Infallible>(Bytes::from_static(piece)));
    text(Body::from_stream(stream::iter(pieces)))
}
