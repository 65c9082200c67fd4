//! The time limit of a handler.

use std::time::Duration;

use brigade_runtime::time;
use http::StatusCode;

use crate::message::log_limit::limited_log;
use crate::message::request::Request;
use crate::message::response::Response;
use crate::routing::endpoint::Next;

/// Runs the handler. Drops it and returns a 503 if it takes longer than `limit`.
pub(crate) async fn within_limit(limit: Duration, request: Request, next: Next) -> Response {
    let route = request.parts.route.clone();
    time::timeout(limit, next.run(request)).await.unwrap_or_else(|_| {
        let route = route.as_ref().map(|route| &*route.pattern);
        limited_log!(warn, { route, ?limit }, "handler timed out");
        Response::plain(StatusCode::SERVICE_UNAVAILABLE, "the handler took too long")
    })
}
