//! The body as an argument.

use std::convert::Infallible;

use bytes::Bytes;
use http::StatusCode;

use crate::extract::from_request::FromRequest;
use crate::message::body::Body;
use crate::message::body_error::BodyError;
use crate::message::handler_error::HandlerError;
use crate::message::request::Request;

/// The body, to be read part by part.
impl FromRequest for Body {
    type Rejection = Infallible;

    async fn from_request(request: Request) -> Result<Self, Infallible> {
        Ok(request.into_body())
    }
}

/// The whole body. How long it may be is an option of the route and of the server.
impl FromRequest for Bytes {
    type Rejection = BodyError;

    async fn from_request(mut request: Request) -> Result<Self, BodyError> {
        request.body_mut().collect(usize::MAX).await
    }

    fn is_missing(request: &Request) -> bool {
        request.parts.body.is_end()
    }
}

/// The whole body, which must be UTF-8: anything else is a 400.
impl FromRequest for String {
    type Rejection = HandlerError;

    async fn from_request(request: Request) -> Result<Self, HandlerError> {
        let bytes = Bytes::from_request(request).await?;
        let text = Self::from_utf8(bytes.into());
        text.map_err(|_| HandlerError::new(StatusCode::BAD_REQUEST, "the body is not UTF-8"))
    }

    fn is_missing(request: &Request) -> bool {
        Bytes::is_missing(request)
    }
}
