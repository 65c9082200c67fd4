//! A limit to how long a handler may take to respond.

use std::time::Duration;

use brigade_runtime::time;
use http::StatusCode;

use crate::message::request::Request;
use crate::message::response::Response;
use crate::routing::handler::Next;

/// Runs the handler, and responds with 503 if it takes longer than `limit`.
pub(crate) async fn within_limit(limit: Duration, request: Request, next: Next) -> Response {
    let route = request.parts.route.clone();
    time::timeout(limit, next.run(request)).await.unwrap_or_else(|_| {
        let pattern = route.as_ref().map_or("(no route)", |route| &route.pattern);
        tracing::warn!(target: "brigade::http", "{pattern} gave no answer within {limit:?}");
        Response::plain(StatusCode::SERVICE_UNAVAILABLE, "the answer took too long")
    })
}
