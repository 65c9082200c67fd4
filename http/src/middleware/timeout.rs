//! A time limit for handlers.

use std::time::Duration;

use crate::message::request::Request;
use crate::message::response::Response;
use crate::routing::endpoint::Next;
use crate::routing::timeout::within_limit;

/// Returns a middleware that drops a handler after `limit` and responds with a 503.
///
/// The status is 503 because this server is overloaded (RFC 9110 section 15.6.4); 504 is for
/// gateways. The limit applies to the head of the response. A streamed body may take longer.
///
/// See [`MethodRouter::timeout`](crate::MethodRouter::timeout) for a single route.
pub fn timeout(limit: Duration) -> impl AsyncFn(Request, Next) -> Response {
    async move |request: Request, next: Next| within_limit(limit, request, next).await
}
