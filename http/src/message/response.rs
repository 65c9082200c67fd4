//! Responses, and the types that convert into one.

use std::borrow::Cow;
use std::convert::Infallible;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, UPGRADE};
use http::{HeaderName, HeaderValue, StatusCode};

use crate::message::body::{Body, BodyKind, ErrorBody};
use crate::message::failure::Failure;
use crate::message::upgrade::Upgraded;
use crate::protocol::error::ProtocolError;
use crate::protocol::headers::Headers;

/// A response: status, headers and body.
///
/// `Content-Length` or `Transfer-Encoding`, `Date` and `Connection` are added when it is sent. See
/// the [crate's documentation](crate#headers-for-framing) for setting them yourself.
#[derive(Debug, Default)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers, in the order in which they are sent.
    pub headers: Headers,
    /// The body.
    pub body: Body,
}

impl Response {
    /// Creates a 200 with this body and without headers.
    #[must_use]
    pub fn new(body: impl Into<Body>) -> Self {
        Self { status: StatusCode::OK, headers: Headers::new(), body: body.into() }
    }

    /// Creates a response without headers and body.
    #[must_use]
    pub fn empty(status: StatusCode) -> Self {
        Self { status, headers: Headers::new(), body: Body::empty() }
    }

    /// Creates a 200 with a plain text in UTF-8.
    #[must_use]
    pub fn text(text: impl Into<Body>) -> Self {
        Self::typed("text/plain; charset=utf-8", text)
    }

    /// Creates a 200 with HTML in UTF-8.
    #[must_use]
    pub fn html(html: impl Into<Body>) -> Self {
        Self::typed("text/html; charset=utf-8", html)
    }

    /// Creates a 200 with a body of this media type.
    ///
    /// # Panics
    /// If `content_type` is not a valid header value.
    #[must_use]
    pub fn typed(content_type: &'static str, body: impl Into<Body>) -> Self {
        let headers = Headers::one(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self { status: StatusCode::OK, headers, body: body.into() }
    }

    /// Creates a 101, after which `run` speaks `protocol` over the connection (RFC 9110 section
    /// 7.8).
    ///
    /// Only a request that offers an upgrade, as
    /// [`RequestHead::upgrade`](crate::RequestHead::upgrade) returns it, may have this response.
    /// The response to any other request is a 426 with the same headers.
    #[must_use]
    pub fn upgrade<F, Fut>(protocol: HeaderValue, run: F) -> Self
    where
        F: FnOnce(Upgraded) -> Fut + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        let body = Body { kind: BodyKind::Upgrade(Box::new(|io| Box::pin(run(io)))) };
        Self { status: StatusCode::SWITCHING_PROTOCOLS, headers: Headers::new(), body }
            .with_header(UPGRADE, protocol)
    }

    /// Returns `true` if the response starts another protocol on the connection.
    pub(crate) fn is_upgrade(&self) -> bool {
        let is_switching = self.status == StatusCode::SWITCHING_PROTOCOLS;
        is_switching && self.body.is_upgrade()
    }

    /// Turns an upgrade, which the request did not offer, into a 426 (RFC 9110 section 15.5.22).
    /// Its `Upgrade` stays, and so do the headers of the layers.
    pub(crate) fn refuse_upgrade(&mut self) {
        let Self { headers, body, .. } =
            Self::plain(StatusCode::UPGRADE_REQUIRED, "the request does not offer an upgrade");
        self.status = StatusCode::UPGRADE_REQUIRED;
        self.headers.insert_all(headers.into());
        self.body = body;
    }

    /// Creates a response with a line of text: the status, and `reason` unless that is empty.
    pub(crate) fn plain(status: StatusCode, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::failed(Box::new(Failure::new(status, reason)))
    }

    /// Creates the response to an error, a line of text that the application may replace.
    pub(crate) fn failed(failure: Box<Failure>) -> Self {
        let status = failure.status;
        let error = ErrorBody { text: failure.text().into(), failure };
        Self::text(Body { kind: BodyKind::Error(Box::new(error)) }).with_status(status)
    }

    /// Sets the status.
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// Replaces the body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets a header, in place of any of that name.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

/// A type that a handler can return.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be returned as a response",
    label = "not a response",
    note = "return a text, `Json(value)`, a status, or a tuple of a status, headers and a body",
    note = "or implement `IntoResponse` for it"
)]
pub trait IntoResponse {
    /// Converts the value into a response.
    fn into_response(self) -> Response;
}

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

/// The status, the headers and the body; the version and the extensions are dropped.
impl<B: Into<Body>> IntoResponse for http::Response<B> {
    fn into_response(self) -> Response {
        let (parts, body) = self.into_parts();
        let mut headers = Headers::new();
        headers.insert_all(parts.headers);
        Response { status: parts.status, headers, body: body.into() }
    }
}

impl IntoResponse for Box<Response> {
    fn into_response(self) -> Response {
        *self
    }
}

impl IntoResponse for () {
    fn into_response(self) -> Response {
        Response::empty(StatusCode::OK)
    }
}

impl IntoResponse for StatusCode {
    fn into_response(self) -> Response {
        Response::empty(self)
    }
}

impl IntoResponse for &'static str {
    fn into_response(self) -> Response {
        Response::text(self)
    }
}

impl IntoResponse for String {
    fn into_response(self) -> Response {
        Response::text(self)
    }
}

impl IntoResponse for Bytes {
    fn into_response(self) -> Response {
        Response::typed("application/octet-stream", self)
    }
}

impl IntoResponse for Vec<u8> {
    fn into_response(self) -> Response {
        Response::typed("application/octet-stream", self)
    }
}

impl IntoResponse for Body {
    fn into_response(self) -> Response {
        Response::new(self)
    }
}

impl<R: IntoResponse, E: IntoResponse> IntoResponse for Result<R, E> {
    fn into_response(self) -> Response {
        match self {
            Ok(response) => response.into_response(),
            Err(error) => error.into_response(),
        }
    }
}

/// `None` is a 404.
impl<R: IntoResponse> IntoResponse for Option<R> {
    fn into_response(self) -> Response {
        match self {
            Some(response) => response.into_response(),
            None => Response::plain(StatusCode::NOT_FOUND, ""),
        }
    }
}

impl IntoResponse for Infallible {
    fn into_response(self) -> Response {
        match self {}
    }
}

impl IntoResponse for ProtocolError {
    fn into_response(self) -> Response {
        Response::plain(self.status(), self.to_string())
    }
}
