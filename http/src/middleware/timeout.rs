//! A limit to how long an answer may take.

use std::time::Duration;

use brigade_runtime::time;
use http::StatusCode;

use crate::handler::Next;
use crate::middleware::Answering;
use crate::request::Request;
use crate::response::Response;

/// Answers 503 where a handler has not answered within `limit`, and drops the handler.
///
/// 503 since it is this server that has no time (RFC 9110 section 15.6.4); 504 is for a gateway.
/// The limit is for the answer's head: a streamed body may take longer.
///
/// See [`Methods::timeout`](crate::Methods::timeout) for a single route.
pub fn timeout(limit: Duration) -> impl Fn(Request, Next) -> Answering {
    move |request, next| Box::pin(within(limit, request, next))
}

async fn within(limit: Duration, request: Request, next: Next) -> Response {
    let route = request.parts.route.clone();
    time::timeout(limit, next.run(request)).await.unwrap_or_else(|_| {
        let pattern = route.as_ref().map_or("(no route)", |route| &route.pattern);
        tracing::warn!(target: "brigade::http", "{pattern} gave no answer within {limit:?}");
        Response::plain(StatusCode::SERVICE_UNAVAILABLE, "the answer took too long")
    })
}
