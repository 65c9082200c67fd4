//! The error for the parameters of a path.

use std::error::Error;
use std::fmt::{self, Display};

use http::StatusCode;

use crate::message::escaped::Escaped;
use crate::message::response::{IntoResponse, Response};

/// The error when the parameters of a path do not fit the type of [`Path`](crate::Path).
///
/// As a response it is a 400 with its text if a value is malformed. If the type does not fit the
/// route, which is an error of the application, it is a 500.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathError {
    /// The parameter with the malformed value; `None` if the type does not fit the route.
    name: Option<String>,
    reason: String,
}

impl PathError {
    /// Returns the error for a parameter whose value is not UTF-8.
    pub(crate) fn not_utf8(name: &str) -> Self {
        Self::of_route("the value is not UTF-8").at(name)
    }

    /// Returns the error of a type that does not fit the route.
    pub(crate) fn of_route(reason: impl Display) -> Self {
        Self { name: None, reason: reason.to_string() }
    }

    /// Names the parameter whose value is malformed.
    pub(crate) fn at(self, name: &str) -> Self {
        Self { name: self.name.or_else(|| Some(name.to_owned())), ..self }
    }

    /// Returns the name of the parameter whose value is malformed, or `None` if the type does not
    /// fit the route.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Returns the status of the response to this error.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self.name {
            Some(_) => StatusCode::BAD_REQUEST,
            None => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "path: {name}: {}", Escaped(&self.reason)),
            None => write!(f, "path: {}", Escaped(&self.reason)),
        }
    }
}

impl Error for PathError {}

impl serde::de::Error for PathError {
    fn custom<T: Display>(reason: T) -> Self {
        Self::of_route(reason)
    }
}

impl IntoResponse for PathError {
    fn into_response(self) -> Response {
        Response::plain(self.status(), self.to_string())
    }
}
