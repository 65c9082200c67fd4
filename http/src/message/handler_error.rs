//! The error type of handlers, which any error converts into.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use http::StatusCode;

use crate::message::body_error::{BodyError, BoxError};
use crate::message::client_error::ClientError;
use crate::message::escaped::Escaped;
use crate::message::failure::Failure;
use crate::message::log_limit::limited_log;
use crate::message::param_error::ParamError;
use crate::message::response::{IntoResponse, Response};
use crate::protocol::error::ProtocolError;

/// The error type of handlers. `?` converts any error into it.
///
/// It has a status and a message for the client, and a cause for the log.
///
/// - Errors of the client (rejections of arguments such as [`JsonError`](crate::JsonError),
///   [`ParamError`], [`BodyError`]) keep their status, and their text is the message.
/// - A [`ClientError`](crate::ClientError), of a request to another server, becomes a 504 after a
///   timeout and a 502 otherwise, without details.
/// - Any other error becomes a 500 without details. [`ResultExt::status`] and
///   [`ResultExt::context`] are more precise.
/// - What is only a `Box<dyn Error>`, or an error type that wraps one, converts by
///   [`HandlerError::internal`].
///
/// Errors with a status from 500 on are logged when they become a response, with the whole chain of
/// causes. A thread logs at most ten of them a second; further ones are counted, and logged at the
/// level `DEBUG`.
///
/// The response is a line of plain text, unless the application shapes it by
/// [`Router::on_error`](crate::Router::on_error).
///
/// # Examples
/// ```
/// use brigade_http::{HandlerError, Request, ResultExt, Router, StatusCode, get};
///
/// async fn line(request: Request) -> Result<String, HandlerError> {
///     let n: usize = request.param_as("n")?;
///     let text = brigade_runtime::spawn_blocking(|| std::fs::read_to_string("/etc/hosts"))
///         .await?
///         .context("reading the hosts")?;
///     let line = text.lines().nth(n).status(StatusCode::NOT_FOUND)?;
///     Ok(line.to_owned())
/// }
///
/// let router = Router::new().route("/line/{n}", get(line));
/// ```
pub struct HandlerError {
    /// Boxed, so that a `Result` with this error is small.
    failure: Box<Failure>,
}

impl HandlerError {
    /// Creates an error whose response has this status and message.
    #[must_use]
    pub fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { failure: Box::new(Failure::new(status, message)) }
    }

    /// Creates a 500 for `cause`. The client does not get to see the cause.
    #[must_use]
    pub fn internal(cause: impl Into<BoxError>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "").with_cause(cause)
    }

    /// Returns the error of a response, which the application may shape.
    pub(crate) fn from_failure(failure: Box<Failure>) -> Self {
        Self { failure }
    }

    /// Converts an error with its own status and text, if it is one of ours.
    fn from_error(error: BoxError) -> Self {
        if let Some(client) = error.downcast_ref::<ClientError>() {
            let (status, message) = match client.of_the_upload() {
                Some(error) => (error.status(), error.to_string()),
                None => (client.gateway_status(), String::new()),
            };
            return Self::new(status, message).with_cause(error);
        }
        match known(&*error) {
            Some(status) => {
                let mut new = Self::new(status, error.to_string()).with_cause(error);
                new.failure.is_shown = true;
                new
            }
            None => Self::internal(error),
        }
    }

    /// Sets the status.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.failure.status = status;
        self
    }

    /// Sets the message, which the client gets to see.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.failure.message = message.into();
        self.failure.is_shown = false;
        self
    }

    /// Sets the cause, which is only logged.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<BoxError>) -> Self {
        self.failure.cause = Some(cause.into());
        self.failure.is_shown = false;
        self
    }

    /// Puts `context` in front of the causes, such as what was being done. It is only logged.
    #[must_use]
    pub fn with_context(mut self, context: impl Into<Cow<'static, str>>) -> Self {
        let context = Context { text: context.into(), cause: self.failure.cause.take() };
        self.failure.cause = Some(Box::new(context));
        self
    }

    /// Returns the status of the response to this error.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.failure.status
    }

    /// Returns the message for the client, which may be empty.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.failure.message
    }

    /// Returns the cause.
    #[must_use]
    pub fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.failure.source()
    }

    /// Returns the first error of type `T` in the chain of causes, such as the rejection of an
    /// argument.
    #[must_use]
    pub fn downcast_ref<T: Error + 'static>(&self) -> Option<&T> {
        let mut chain = std::iter::successors(self.source(), |&error| error.source());
        chain.find_map(|error| error.downcast_ref())
    }
}

/// Returns the status of an error that the client may see.
fn known(error: &(dyn Error + 'static)) -> Option<StatusCode> {
    macro_rules! status_of {
        ($($(#[$condition:meta])* $Error:ty,)+) => {
            $(
                $(#[$condition])*
                if let Some(error) = error.downcast_ref::<$Error>() {
                    return Some(error.status());
                }
            )+
        };
    }
    if let Some(error) = error.downcast_ref::<BodyError>() {
        // The error of a stream of the application is not shown.
        return Some(error.status()).filter(|status| !status.is_server_error());
    }
    status_of! {
        ParamError,
        ProtocolError,
        #[cfg(feature = "json")]
        crate::message::json::JsonError,
        #[cfg(feature = "query")]
        crate::message::form::FormError,
        #[cfg(feature = "query")]
        crate::message::path_error::PathError,
        #[cfg(feature = "websocket")]
        crate::message::websocket_rejection::WebSocketRejection,
    }
    None
}

impl<E: Error + Send + Sync + 'static> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self::from_error(Box::new(error))
    }
}

/// Writes the status, the message for the client, and the chain of causes.
impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.failure, f)
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.failure, f)
    }
}

impl IntoResponse for HandlerError {
    fn into_response(self) -> Response {
        if self.status().is_server_error() {
            limited_log!(error, { error = %Escaped(&self) }, "handler failed");
        }
        Response::failed(self.failure)
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

impl IntoResponse for ClientError {
    fn into_response(self) -> Response {
        HandlerError::from(self).into_response()
    }
}

/// Ways to turn an error, or `None`, into a [`HandlerError`] that says more.
pub trait ResultExt<T> {
    /// Returns the error with this status, in place of its own. The client sees no details of an
    /// error that would have been a 500.
    ///
    /// # Errors
    /// Those of `self`.
    fn status(self, status: StatusCode) -> Result<T, HandlerError>;

    /// Returns the error with `context` in front of its causes in the log, such as what was being
    /// done.
    ///
    /// # Errors
    /// Those of `self`.
    fn context(self, context: impl Into<Cow<'static, str>>) -> Result<T, HandlerError>;
}

impl<T, E: Into<HandlerError>> ResultExt<T> for Result<T, E> {
    fn status(self, status: StatusCode) -> Result<T, HandlerError> {
        self.map_err(|error| error.into().with_status(status))
    }

    fn context(self, context: impl Into<Cow<'static, str>>) -> Result<T, HandlerError> {
        self.map_err(|error| error.into().with_context(context))
    }
}

/// `None` is a 500, unless [`status`](ResultExt::status) says otherwise.
impl<T> ResultExt<T> for Option<T> {
    fn status(self, status: StatusCode) -> Result<T, HandlerError> {
        self.ok_or_else(|| HandlerError::new(status, ""))
    }

    fn context(self, context: impl Into<Cow<'static, str>>) -> Result<T, HandlerError> {
        let internal = || HandlerError::new(StatusCode::INTERNAL_SERVER_ERROR, "");
        self.ok_or_else(|| internal().with_context(context))
    }
}

/// What was being done when an error occurred.
#[derive(Debug)]
struct Context {
    text: Cow<'static, str>,
    cause: Option<BoxError>,
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Context {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}
