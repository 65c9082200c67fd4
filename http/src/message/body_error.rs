//! The error of reading a request's body.

use std::error::Error;
use std::fmt;

use http::StatusCode;

use crate::protocol::error::ProtocolError;

/// Any error of a body or a handler.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// The error when a request's body cannot be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyError {
    /// The client violated the protocol or a limit, or the connection ended before the body did.
    Protocol(ProtocolError),
    /// The connection is closed, or the response was sent without reading the body.
    Gone,
}

impl BodyError {
    /// Returns the status of the response to this error.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Protocol(error) => error.status(),
            Self::Gone => StatusCode::BAD_REQUEST,
        }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(error) => write!(f, "cannot read the request's body: {error}"),
            Self::Gone => f.write_str("cannot read the request's body: the connection is closed"),
        }
    }
}

impl Error for BodyError {}

impl From<BodyError> for std::io::Error {
    fn from(error: BodyError) -> Self {
        Self::new(std::io::ErrorKind::InvalidData, error)
    }
}
