//! Why a body could not be read or sent to its end.

use std::error::Error;
use std::fmt;

use http::StatusCode;

use crate::protocol::error::ProtocolError;

/// Any error that a body or a handler may end with.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Why a request's body could not be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyError {
    /// What came broke the protocol or a limit, or stopped midway.
    Protocol(ProtocolError),
    /// The connection is gone, or the request was answered without its body.
    Gone,
}

impl BodyError {
    /// The status to answer with.
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
            Self::Protocol(error) => write!(f, "the request's body: {error}"),
            Self::Gone => f.write_str("the request's body is not to be had any more"),
        }
    }
}

impl Error for BodyError {}

impl From<BodyError> for std::io::Error {
    fn from(error: BodyError) -> Self {
        Self::new(std::io::ErrorKind::InvalidData, error)
    }
}
