//! Errors in JSON.

use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::message::handler_error::HandlerError;
use crate::message::json::Json;
use crate::message::response::{IntoResponse, Response};
use crate::routing::router::Router;

/// The body of an error response (RFC 9457 section 3.1).
struct Problem<'a> {
    status: StatusCode,
    detail: &'a str,
}

impl Serialize for Problem<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { status, detail } = self;
        let mut problem = serializer.serialize_struct("Problem", 3)?;
        problem.serialize_field("status", &status.as_u16())?;
        problem.serialize_field("title", status.canonical_reason().unwrap_or("Unknown"))?;
        if !detail.is_empty() {
            problem.serialize_field("detail", detail)?;
        }
        problem.end()
    }
}

impl Router {
    /// Makes the responses to all errors in JSON, with the members of RFC 9457 (Problem Details)
    /// and its media type `application/problem+json`; see [`Router::on_error`] for which errors
    /// these are.
    ///
    /// ```text
    /// {"status":400,"title":"Bad Request","detail":"query: limit: invalid digit found in string"}
    /// ```
    ///
    /// `detail` is left out if there is nothing to add to the title.
    #[must_use]
    pub fn json_errors(self) -> Self {
        self.on_error_without_head(problem)
    }
}

fn problem(error: &HandlerError) -> Response {
    let problem = Problem { status: error.status(), detail: error.message() };
    let headers = [(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"))];
    (error.status(), headers, Json(problem)).into_response()
}
