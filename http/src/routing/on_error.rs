//! One place for the responses to errors.

use std::mem;

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
    match mem::take(&mut response.body.kind) {
        BodyKind::Error(body) => {
            let Response { status, headers, body } =
                make(&HandlerError::from_failure(body.failure));
            response.headers.insert_all(headers.into());
            Response { status, headers: response.headers, body }
        }
        kind => Response { body: Body { kind }, ..response },
    }
}
