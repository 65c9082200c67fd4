//! The TLS connection as an argument.

use http::StatusCode;

use crate::extract::from_request::FromRequestParts;
use crate::message::handler_error::HandlerError;
use crate::message::request::Request;
use crate::message::tls_info::TlsInfo;

impl FromRequestParts for TlsInfo {
    type Rejection = HandlerError;

    async fn from_request_parts(request: &mut Request) -> Result<Self, HandlerError> {
        request.extensions().get().cloned().ok_or_else(|| {
            let missing = "a request that came without TLS has no `TlsInfo`";
            HandlerError::new(StatusCode::INTERNAL_SERVER_ERROR, "").with_context(missing)
        })
    }

    fn is_missing(request: &Request) -> bool {
        request.extensions().get::<Self>().is_none()
    }
}
