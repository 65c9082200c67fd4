//! Why a request got no answer, or not all of one.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use crate::message::body_error::BoxError;
use crate::protocol::error::{EncodeError, ProtocolError};

/// Why a request got no answer, or not all of one. Says which request it was; what went wrong is
/// its [`kind`](ClientError::kind).
///
/// An answer with a status such as 404 or 500 is an answer, and no error.
pub struct ClientError(Box<Inner>);

struct Inner {
    /// Method and URL.
    asked: Box<str>,
    kind: ClientErrorKind,
}

/// What went wrong with a request.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientErrorKind {
    /// The URL is none that can be asked for, and why.
    Url(&'static str),
    /// The header of this name was given a name or a value with characters that it may not hold.
    Header(Box<str>),
    /// The request contradicts itself, such as a body that is shorter than was announced.
    Encode(EncodeError),
    /// There is no connection to be had.
    Connect(io::Error),
    /// Something took longer than it may.
    Timeout(TimeoutKind, Duration),
    /// The connection broke.
    Broken(io::Error),
    /// The server closed the connection without an answer.
    NoAnswer,
    /// What the server sent broke the protocol or a limit.
    Protocol(ProtocolError),
    /// The body of the answer is longer than this, which is as much as is allowed.
    TooLarge(u64),
    /// The body of the answer is no UTF-8.
    NotText,
    /// The body of the request, a stream, failed.
    RequestBody(BoxError),
}

/// What took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimeoutKind {
    /// Looking the name up and connecting.
    Connect,
    /// The server, to take more of the request.
    Write,
    /// The head of the answer, counted from the end of the request.
    Head,
    /// More of the answer's body.
    Body,
    /// All of it, from the call of `send` to the end of the body.
    Total,
}

impl ClientError {
    pub(super) fn new(asked: &str, kind: ClientErrorKind) -> Self {
        Self(Box::new(Inner { asked: asked.into(), kind }))
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> &ClientErrorKind {
        &self.0.kind
    }

    /// Returns `true` if something took longer than it may.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self.0.kind, ClientErrorKind::Timeout(..))
    }

    /// Returns `true` if there was no connection, so that the server knows nothing of the request.
    #[must_use]
    pub fn is_connect(&self) -> bool {
        use ClientErrorKind::{Connect, Timeout};
        matches!(self.0.kind, Connect(_) | Timeout(TimeoutKind::Connect, _))
    }
}

impl fmt::Display for ClientErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(reason) => f.write_str(reason),
            Self::Header(name) => {
                write!(f, "the header '{name}' has a name or a value that cannot be sent")
            }
            Self::Encode(error) => write!(f, "the request cannot be sent: {error}"),
            Self::Connect(error) => write!(f, "no connection: {error}"),
            Self::Timeout(waited, limit) => {
                let (what, option) = waited.texts();
                write!(f, "{what} took longer than {limit:?}; `{option}` sets another limit")
            }
            Self::Broken(error) => write!(f, "the connection broke: {error}"),
            Self::NoAnswer => f.write_str(
                "the server closed the connection without an answer; whether it acted on the \
                 request is not known",
            ),
            Self::Protocol(error) => write!(f, "the answer is not to be trusted: {error}"),
            Self::TooLarge(limit) => write!(
                f,
                "the body of the answer is longer than {limit} bytes; raise the limit, or read \
                 it part by part"
            ),
            Self::NotText => {
                f.write_str("the body of the answer is no UTF-8; read it with `collect`")
            }
            Self::RequestBody(error) => write!(f, "the body of the request failed: {error}"),
        }
    }
}

impl TimeoutKind {
    /// What was waited for, and the option that says how long.
    const fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::Connect => ("connecting", "connect_timeout"),
            Self::Write => ("sending more of the request", "write_timeout"),
            Self::Head => ("the head of the answer", "head_timeout"),
            Self::Body => ("more of the answer's body", "body_gap_timeout"),
            Self::Total => ("the request with its answer", "timeout"),
        }
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.asked, self.0.kind)
    }
}

impl fmt::Debug for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientError")
            .field("asked", &self.0.asked)
            .field("kind", &self.0.kind)
            .finish()
    }
}

impl Error for ClientError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0.kind {
            ClientErrorKind::Encode(error) => Some(error),
            ClientErrorKind::Connect(error) | ClientErrorKind::Broken(error) => Some(error),
            ClientErrorKind::Protocol(error) => Some(error),
            ClientErrorKind::RequestBody(error) => Some(&**error),
            _ => None,
        }
    }
}

impl From<ClientError> for io::Error {
    fn from(error: ClientError) -> Self {
        let kind = match error.kind() {
            ClientErrorKind::Connect(error) | ClientErrorKind::Broken(error) => error.kind(),
            ClientErrorKind::Timeout(..) => io::ErrorKind::TimedOut,
            ClientErrorKind::NoAnswer => io::ErrorKind::UnexpectedEof,
            ClientErrorKind::Url(_) | ClientErrorKind::Header(_) => io::ErrorKind::InvalidInput,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}
