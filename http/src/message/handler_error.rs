//! An error type for handlers that any error converts into.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::io;

use http::StatusCode;

use crate::message::body_error::{BodyError, BoxError};
use crate::message::escaped::Escaped;
use crate::message::log_limit::limited_log;
use crate::message::param_error::ParamError;
use crate::message::response::{IntoResponse, Response};
use crate::protocol::error::ProtocolError;

/// An error type for handlers, so that `?` works on any error. It has a status and a message for
/// the client, and a cause for the log.
///
/// Errors of the client ([`ParamError`], [`BodyError`], `JsonError`, `FormError`) keep their status
/// and their text. An [`io::Error`] becomes a 500 without details, and so does any other error
/// through [`HandlerError::internal`]. Errors with a status from 500 on are logged when they become
/// a response, with the whole chain of causes. A thread logs at most ten of them a second; further
/// ones are counted, and logged at the level `DEBUG`.
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
    /// Sent to the client.
    message: Cow<'static, str>,
    /// Only logged.
    cause: Option<BoxError>,
}

impl HandlerError {
    /// Creates an error whose response has this status and message.
    #[must_use]
    pub fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, message: message.into(), cause: None }
    }

    /// Creates a 500 for `cause`. The client does not get to see the cause.
    #[must_use]
    pub fn internal(cause: impl Into<BoxError>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "").with_cause(cause)
    }

    /// Adds a cause for the log.
    #[must_use]
    pub fn with_cause(self, cause: impl Into<BoxError>) -> Self {
        Self { cause: Some(cause.into()), ..self }
    }

    /// Returns the status of the response to this error.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

/// Writes the status, the message for the client, and the chain of causes.
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
            limited_log!(error, { error = %Escaped(&self) }, "handler failed");
        }
        Response::plain(self.status, &self.message)
    }
}

macro_rules! from_errors {
    (shown: $($(#[$condition:meta])* $Error:ty,)+) => {
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
    shown:
    ParamError,
    ProtocolError,
    #[cfg(feature = "json")]
    crate::message::json::JsonError,
    #[cfg(feature = "query")]
    crate::message::form::FormError,
}

/// The error of a stream of the application is not shown to the client.
impl From<BodyError> for HandlerError {
    fn from(error: BodyError) -> Self {
        match error.status() {
            status if status.is_server_error() => Self::internal(error),
            status => Self::new(status, error.to_string()),
        }
    }
}

impl IntoResponse for BodyError {
    fn into_response(self) -> Response {
        match self {
            Self::Protocol(error) => error.into_response(),
            Self::Gone => Response::plain(self.status(), "the body was not received"),
            error => HandlerError::from(error).into_response(),
        }
    }
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
