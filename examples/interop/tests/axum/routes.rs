//! An application that shows how axum finds handlers.

use std::convert::Infallible;
use std::fmt::Display;

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, NestedPath, OriginalUri, Path, Request};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, any, delete, get, head, on, options, post};
use tower::service_fn;

/// Returns a handler that responds with `text`.
fn text<S: Clone + Send + Sync + 'static>(text: &'static str) -> axum::routing::MethodRouter<S> {
    get(move || async move { text })
}

fn users() -> Router {
    Router::new()
        .route("/", text("all users").post(|| async { (StatusCode::CREATED, "a new user") }))
        .route("/{id}", get(|Path(id): Path<u32>| async move { format!("user {id}") }))
        .route("/{id}", delete(|| async { StatusCode::NO_CONTENT }))
        .route(
            "/{id}/posts/{post}",
            get(|Path((id, post)): Path<(u32, String)>| async move { format!("{post} of {id}") }),
        )
        .route("/me", text("the literal path"))
}

fn admin() -> Router {
    Router::new()
        .route("/", text("admin"))
        .route("/stats", text("stats"))
        .fallback(|| async { (StatusCode::NOT_FOUND, "no such admin page") })
}

/// Shows what a request says about the route that it has found.
fn places() -> Router {
    let inner = Router::new().route("/leaf/{id}", get(leaf));
    Router::new().nest("/outer", Router::new().nest("/{name}/inner", inner))
}

async fn leaf(
    matched: MatchedPath,
    nested: NestedPath,
    OriginalUri(original): OriginalUri,
    uri: Uri,
) -> String {
    format!("{} below {}, {original} as {uri}", matched.as_str(), nested.as_str())
}

async fn uri_of(request: Request) -> Result<Response, Infallible> {
    Ok(format!("{} {}", request.method(), request.uri()).into_response())
}

fn show(what: impl Display) -> String {
    format!("shown: {what}")
}

pub(crate) fn routes() -> Router {
    let purge = |method: Method| async move { show(method) };
    let empty_head = || async { ([("x-head", "its own")], Body::empty()) };
    Router::new()
        .route("/", text("root"))
        .route("/shared", text("read"))
        .route("/files/{*path}", get(|Path(path): Path<String>| async move { show(path) }))
        .route("/any", any(purge))
        .route("/on", on(MethodFilter::PUT.or(MethodFilter::PATCH), purge))
        .route("/head", head(empty_head).get(|| async { "the body" }))
        .route("/options", options(|| async { ([("allow", "OPTIONS, GET")], "asked") }))
        .route("/post", post(|| async { "posted" }))
        .route("/é", text("not ASCII"))
        .route_service("/service", service_fn(uri_of))
        .nest_service("/static", service_fn(uri_of))
        .nest("/users", users())
        .nest("/admin", admin())
        .merge(places())
        .merge(
            Router::new()
                .route("/merged", text("merged"))
                .route("/shared", post(|| async { (StatusCode::ACCEPTED, "written") })),
        )
        .fallback(|method: Method, uri: Uri| async move {
            (StatusCode::NOT_FOUND, format!("no {method} {uri}"))
        })
}

/// An application without a fallback, but with one for methods.
pub(crate) fn methods() -> Router {
    Router::new()
        .route("/", text("root"))
        .route("/own", text("own").fallback(|| async { (StatusCode::IM_A_TEAPOT, "another") }))
        .method_not_allowed_fallback(|method: Method| async move {
            (StatusCode::METHOD_NOT_ALLOWED, format!("not by {method}"))
        })
        .reset_fallback()
}
