//! Why a request does not become a WebSocket.

use std::error::Error;
use std::fmt;

use http::header::{ALLOW, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderValue, StatusCode};

use crate::message::response::{IntoResponse, Response};

/// Why a request does not become a WebSocket. As a response it has the right status and headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebSocketRejection {
    reason: Reason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Method,
    NoUpgrade,
    NoVersion,
    Version,
    Key,
    Origin,
}

impl WebSocketRejection {
    /// Returns the status of the response: 405 for a method other than `GET`, 426 for a request
    /// that does not ask for a WebSocket or for another version of the protocol, 403 for an origin
    /// that is not allowed, and 400 for a header that is missing or malformed.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self.reason {
            Reason::Method => StatusCode::METHOD_NOT_ALLOWED,
            Reason::NoUpgrade | Reason::Version => StatusCode::UPGRADE_REQUIRED,
            Reason::NoVersion | Reason::Key => StatusCode::BAD_REQUEST,
            Reason::Origin => StatusCode::FORBIDDEN,
        }
    }
}

impl From<Reason> for WebSocketRejection {
    fn from(reason: Reason) -> Self {
        Self { reason }
    }
}

impl IntoResponse for WebSocketRejection {
    fn into_response(self) -> Response {
        let response = Response::plain(self.status(), self.to_string());
        match self.reason {
            Reason::Method => response.with_header(ALLOW, HeaderValue::from_static("GET")),
            Reason::NoUpgrade | Reason::Version | Reason::NoVersion | Reason::Key => response
                .with_header(UPGRADE, HeaderValue::from_static("websocket"))
                .with_header(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")),
            Reason::Origin => response,
        }
    }
}

impl fmt::Display for WebSocketRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.reason {
            Reason::Method => "a WebSocket is requested by GET",
            Reason::NoUpgrade => "only WebSocket is served here",
            Reason::NoVersion => "the header Sec-WebSocket-Version is missing",
            Reason::Version => "only version 13 of WebSocket is served here",
            Reason::Key => "the header Sec-WebSocket-Key is missing or not 16 bytes in base64",
            Reason::Origin => "pages of this origin may not open a WebSocket here",
        })
    }
}

impl Error for WebSocketRejection {}
