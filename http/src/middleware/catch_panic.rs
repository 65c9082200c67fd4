//! Turns a panic into a response.

use crate::message::request::Request;
use crate::message::response::Response;
use crate::routing::endpoint::Next;
use crate::routing::panics::caught;

/// Returns a 500 if the handler or an inner layer panics, and logs the panic. So the outer layers
/// see a response, which they can log or add headers to, and the connection is kept open.
///
/// Without this middleware the response to a panic is also a 500, but no layer sees it and the
/// connection is closed. [`Router::on_error`](crate::Router::on_error) includes it.
pub async fn catch_panic(request: Request, next: Next) -> Response {
    caught(request, next).await
}
