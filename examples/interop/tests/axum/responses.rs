//! An application that shows what axum makes of the results of handlers.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::sse::{Event, Sse};
use axum::response::{AppendHeaders, Html, IntoResponse, NoContent, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream;
use serde_json::json;

type Refusal = (StatusCode, [(HeaderName, &'static str); 1], String);

/// Fails for odd numbers.
async fn halve(body: String) -> Result<String, Refusal> {
    let refuse = |why: String| (StatusCode::BAD_REQUEST, [(header::WARNING, "199 - odd")], why);
    let number: u32 = body.parse().map_err(|error| refuse(format!("{body:?}: {error}")))?;
    let half = number.is_multiple_of(2).then_some(number / 2);
    half.map(|half| half.to_string()).ok_or_else(|| refuse(format!("{number} is odd")))
}

/// A response whose length is not known before its end.
async fn streamed() -> Body {
    let parts = ["one, ", "two, ", "", "three"].map(|part| Ok::<_, Infallible>(Bytes::from(part)));
    Body::from_stream(stream::iter(parts))
}

async fn events() -> Sse<impl futures_util::Stream<Item = Result<Event, Infallible>>> {
    let events = [
        Event::default().data("first"),
        Event::default().event("named").id("7").data("two\nlines"),
        Event::default().comment("a comment"),
    ];
    Sse::new(stream::iter(events.map(Ok)))
}

async fn cookies() -> impl IntoResponse {
    let cookies = AppendHeaders([(header::SET_COOKIE, "a=1"), (header::SET_COOKIE, "b=2; Path=/")]);
    (StatusCode::CREATED, cookies, "two cookies")
}

async fn built() -> Response {
    let response = Response::builder().status(StatusCode::PARTIAL_CONTENT);
    response.header("x-built", "by hand").body(Body::from("built")).unwrap()
}

pub(crate) fn responses() -> Router {
    Router::new()
        .route("/empty", get(|| async {}))
        .route("/html", get(|| async { Html("<p>hello") }))
        .route("/json", get(|| async { Json(json!({ "list": [1, 2], "text": "é" })) }))
        .route("/bytes", get(|| async { vec![0_u8, 255, 10] }))
        .route("/status", get(|| async { StatusCode::IM_A_TEAPOT }))
        .route("/unknown-status", get(|| async { StatusCode::from_u16(299).unwrap() }))
        .route("/no-content", get(|| async { NoContent }))
        .route("/not-modified", get(|| async { (StatusCode::NOT_MODIFIED, [("etag", "\"v1\"")]) }))
        .route("/see-other", get(|| async { Redirect::to("/html") }))
        .route("/permanent", get(|| async { Redirect::permanent("/html?a=b") }))
        .route("/temporary", get(|| async { Redirect::temporary("https://test.example/") }))
        .route("/halve", post(halve))
        .route("/streamed", get(streamed))
        .route("/events", get(events))
        .route("/cookies", get(cookies))
        .route("/built", get(built))
        .route("/large", get(|| async { "0123456789".repeat(100_000) }))
        .route("/length", get(|| async { ([(header::CONTENT_LENGTH, "5")], "fives") }))
        .route("/close", get(|| async { ([(header::CONNECTION, "close")], "the last") }))
}
