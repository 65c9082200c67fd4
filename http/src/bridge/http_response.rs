//! Responses of tower's services as ours, and the other way around.

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;

use http::StatusCode;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http_body::Body as HttpBody;
use send_wrapper::SendWrapper;

use crate::bridge::polled_body::poll_first_frame;
use crate::message::body::Body;
use crate::message::body_error::BoxError;
use crate::message::response::{IntoResponse, Response};
use crate::message::send_body::SendBody;

/// A body that starts another protocol, which layers of tower cannot hold. In the extensions of the
/// response, until it comes back.
#[derive(Clone)]
struct Upgrade(SendWrapper<Rc<RefCell<Option<Body>>>>);

/// Converts a response of ours.
pub(super) fn to_http(response: Response) -> http::Response<SendBody> {
    let is_upgrade = response.is_upgrade();
    let Response { status, headers, body } = response;
    let mut converted = http::Response::new(());
    *converted.status_mut() = status;
    *converted.headers_mut() = headers.into();
    if !is_upgrade {
        return converted.map(|()| body.into_send());
    }
    let upgrade = Upgrade(SendWrapper::new(Rc::new(RefCell::new(Some(body)))));
    converted.extensions_mut().insert(upgrade);
    converted.map(|()| SendBody::default())
}

/// Converts a response of a service.
pub(super) async fn from_http<B>(response: http::Response<B>) -> Response
where
    B: HttpBody + 'static,
    B::Error: Into<BoxError>,
{
    let (mut parts, body) = response.into_parts();
    // How the body is sent is decided here.
    parts.headers.remove(TRANSFER_ENCODING);
    // axum adds the length of the body, but a 304 has that of the 200 (RFC 9110 section 8.6).
    let is_empty = parts.headers.get(CONTENT_LENGTH).is_some_and(|length| length == "0");
    if is_empty && parts.status == StatusCode::NOT_MODIFIED {
        parts.headers.remove(CONTENT_LENGTH);
    }
    let upgrade = parts.extensions.remove::<Upgrade>();
    let body = match upgrade.and_then(|upgrade| upgrade.0.borrow_mut().take()) {
        Some(upgrade) => upgrade,
        None => match into_ours(body) {
            Ok(body) => body,
            Err(body) => poll_first_frame(body).await,
        },
    };
    http::Response::from_parts(parts, body).into_response()
}

/// Converts a body. One of ours that no layer has wrapped stays what it is.
pub(super) fn into_body<B>(body: B) -> Body
where
    B: HttpBody + 'static,
    B::Error: Into<BoxError>,
{
    into_ours(body).unwrap_or_else(Body::from_http_body)
}

/// Returns a body of ours that no layer has wrapped, or else the body.
fn into_ours<B: 'static>(body: B) -> Result<Body, B> {
    let mut body = Some(body);
    if let Some(ours) = (&mut body as &mut dyn Any).downcast_mut::<Option<SendBody>>() {
        return Ok(ours.take().unwrap_or_default().into_inner());
    }
    body.map_or_else(|| Ok(Body::empty()), Err)
}
