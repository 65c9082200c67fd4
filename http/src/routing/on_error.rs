//! One place for the responses to errors.

use crate::message::body::{Body, BodyKind};
use crate::message::handler_error::HandlerError;
use crate::message::request::Request;
use crate::message::response::Response;
use crate::routing::endpoint::Next;
use crate::routing::panics::caught;

/// Runs the handler. If it fails, makes the response with `make`.
pub(super) async fn with_errors_made_by(
    make: impl Fn(&HandlerError) -> Response,
    request: Request,
    next: Next,
) -> Response {
    let mut response = caught(request, next).await;
    let Response { status, headers, body } = &mut response;
    body.replace(|body| match body.kind {
        BodyKind::Error(error) => {
            let made = make(&HandlerError::from_failure(error.failure));
            *status = made.status;
            headers.insert_all(made.headers.into());
            made.body
        }
        kind => Body { kind },
    });
    response
}
