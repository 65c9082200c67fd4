//! An error that a handler may end with, whatever went wrong.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::io;

use http::StatusCode;

use crate::message::body_error::BodyError;
use crate::message::body_error::BoxError;
use crate::message::query::ParamError;
use crate::message::response::{IntoResponse, Response};
use crate::protocol::error::ProtocolError;

/// What a handler ends with so that `?` works on whatever went wrong: an answer with a status and
/// a text for the client, and the cause of it for the log.
///
/// What is the client's doing ([`ParamError`], [`BodyError`], `JsonError`, `FormError`) becomes the
/// answer that it is by itself. An [`io::Error`] becomes a 500 that tells the client nothing, and
/// so does any other error through [`HandlerError::internal`]. An error from 500 on is logged when
/// it is answered, with its cause and the causes of that.
///
/// # Examples
/// ```
/// use brigade_http::{HandlerError, Request, Router, get};
/// use http::StatusCode;
///
/// async fn line(request: Request) -> Result<String, HandlerError> {
///     let n: usize = request.param_as("n")?;
///     let text = brigade_runtime::spawn_blocking(|| std::fs::read_to_string("/etc/hosts"))
///         .await??;
///     let line = text.lines().nth(n);
///     let line = line.ok_or(HandlerError::new(StatusCode::NOT_FOUND, "too few lines"))?;
///     Ok(line.to_owned())
/// }
///
/// let router = Router::new().route("/line/{n}", get(line));
/// ```
#[derive(Debug)]
pub struct HandlerError {
    status: StatusCode,
    /// What the client is told.
    message: Cow<'static, str>,
    /// What only the log is told.
    cause: Option<BoxError>,
}

impl HandlerError {
    /// An error that is answered with `status` and `message`.
    #[must_use]
    pub fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, message: message.into(), cause: None }
    }

    /// A 500 for `cause`, of which the client is told nothing.
    #[must_use]
    pub fn internal(cause: impl Into<BoxError>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "").with_cause(cause)
    }

    /// The same with what it came from, for the log.
    #[must_use]
    pub fn with_cause(self, cause: impl Into<BoxError>) -> Self {
        Self { cause: Some(cause.into()), ..self }
    }

    /// The status that it is answered with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

/// The status, the text for the client, and all causes after it.
impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl Error for HandlerError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

impl IntoResponse for HandlerError {
    fn into_response(self) -> Response {
        if self.status.is_server_error() {
            tracing::error!(target: "brigade::http", "a handler failed: {self}");
        }
        Response::plain(self.status, &self.message)
    }
}

macro_rules! from_errors {
    (told: $($(#[$condition:meta])* $Error:ty,)+) => {
        $(
            $(#[$condition])*
            impl From<$Error> for HandlerError {
                fn from(error: $Error) -> Self {
                    Self::new(error.status(), error.to_string())
                }
            }
        )+
    };
    (hidden: $($Error:ty,)+) => {
        $(
            impl From<$Error> for HandlerError {
                fn from(error: $Error) -> Self {
                    Self::internal(error)
                }
            }
        )+
    };
}

from_errors! {
    told:
    ParamError,
    BodyError,
    ProtocolError,
    #[cfg(feature = "json")]
    crate::message::json::JsonError,
    #[cfg(feature = "query")]
    crate::message::form::FormError,
}

from_errors! {
    hidden:
    io::Error,
    fmt::Error,
    http::Error,
    BoxError,
    brigade_runtime::JoinError,
    brigade_runtime::time::Elapsed,
}
