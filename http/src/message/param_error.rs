//! The error for parameters of the path and the query.

use std::error::Error;
use std::fmt::{self, Display};
use std::str::FromStr;

use http::StatusCode;

use crate::message::escaped::Escaped;
use crate::message::response::{IntoResponse, Response};

/// The error when a parameter of the path or the query cannot be read.
///
/// As a response it is a 400 with its text, or a 500 if the handler reads a parameter that its
/// route does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamError {
    name: String,
    reason: Reason,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Unknown,
    NotUtf8,
    Unparsable { value: String, error: String },
}

impl ParamError {
    pub(super) fn new(name: &str, reason: Reason) -> Self {
        Self { name: name.to_owned(), reason }
    }

    /// Returns the name of the parameter.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the status of the response to this error.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self.reason {
            Reason::Unknown => StatusCode::INTERNAL_SERVER_ERROR,
            Reason::NotUtf8 | Reason::Unparsable { .. } => StatusCode::BAD_REQUEST,
        }
    }
}

/// Parses the value of the parameter `name`.
pub(super) fn parse<T>(name: &str, value: &str) -> Result<T, ParamError>
where
    T: FromStr,
    T::Err: Display,
{
    value.parse().map_err(|error: T::Err| {
        let (value, error) = (value.to_owned(), error.to_string());
        ParamError::new(name, Reason::Unparsable { value, error })
    })
}

impl Display for ParamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, reason } = self;
        match reason {
            Reason::Unknown => write!(f, "the route has no parameter '{name}'"),
            Reason::NotUtf8 => write!(f, "the parameter '{name}' is not valid UTF-8"),
            Reason::Unparsable { value, error } => {
                let error = Escaped(error);
                write!(f, "invalid value {value:?} of the parameter '{name}': {error}")
            }
        }
    }
}

impl Error for ParamError {}

impl IntoResponse for ParamError {
    fn into_response(self) -> Response {
        Response::plain(self.status(), self.to_string())
    }
}
