//! Bodies of requests that serde serializes, whatever the format.

use http::HeaderValue;
use http::header::CONTENT_TYPE;

use crate::client::request::ClientRequest;
use crate::message::body_error::BoxError;
use crate::message::client_error::ClientErrorKind;

impl ClientRequest {
    /// Sets the body to the result of serializing a value, and `Content-Type` to `media_type`
    /// unless that is set already.
    pub(super) fn serialized<T, E>(
        mut self,
        media_type: &'static str,
        serialized: Result<T, E>,
    ) -> Self
    where
        T: Into<Vec<u8>>,
        E: Into<BoxError>,
    {
        if !self.headers_mut().contains(&CONTENT_TYPE) {
            self.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        }
        match serialized {
            Ok(text) => self.body(text.into()),
            Err(error) => {
                self.fail(ClientErrorKind::Serialize(error.into()));
                self
            }
        }
    }
}
