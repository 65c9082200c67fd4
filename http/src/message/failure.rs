//! What is known of an error that became a response.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use http::StatusCode;

use crate::message::body_error::BoxError;

/// What is known of an error that becomes a response.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    /// Sent to the client.
    pub(crate) message: Cow<'static, str>,
    pub(crate) cause: Option<BoxError>,
    /// The message is the text of the cause.
    pub(crate) is_shown: bool,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, message: message.into(), cause: None, is_shown: false }
    }

    /// Returns the text for the client: a line with the status, and the message unless it is empty.
    pub(crate) fn text(&self) -> String {
        let mut text = self.status.to_string();
        if !self.message.is_empty() {
            text.push_str(": ");
            text.push_str(&self.message);
        }
        text.push('\n');
        text
    }

    pub(crate) fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

/// Writes the status, the message for the client, and the chain of causes.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        let mut cause = self.source();
        if self.is_shown {
            cause = cause.and_then(Error::source);
        }
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
