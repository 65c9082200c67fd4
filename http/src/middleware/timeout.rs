//! A limit to how long an answer may take.

use std::time::Duration;

use crate::message::request::Request;
use crate::middleware::Answering;
use crate::routing::handler::Next;
use crate::routing::timeout::within_limit;

/// Answers 503 where a handler has not answered within `limit`, and drops the handler.
///
/// 503 since it is this server that has no time (RFC 9110 section 15.6.4); 504 is for a gateway.
/// The limit is for the answer's head: a streamed body may take longer.
///
/// See [`MethodRouter::timeout`](crate::MethodRouter::timeout) for a single route.
pub fn timeout(limit: Duration) -> impl Fn(Request, Next) -> Answering {
    move |request, next| Box::pin(within_limit(limit, request, next))
}
