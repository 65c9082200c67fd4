//! Error responses, as JSON documents.

use brigade::http::{BodyError, Request, Response};
use http::StatusCode;
use http::header::{ALLOW, HeaderName, HeaderValue};
use serde::Serialize;

use crate::document;

/// What an endpoint returns.
pub(crate) type EndpointResult = Result<Response, Failure>;

/// An error response.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    detail: Option<String>,
    header: Option<(HeaderName, HeaderValue)>,
}

#[derive(Serialize)]
struct Document<'a> {
    status_code: u16,
    error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

impl Failure {
    /// A 400 with the reason in `detail`.
    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, detail: Some(detail.into()), header: None }
    }

    pub(crate) fn not_found(request: &Request) -> Self {
        let detail = format!("there is nothing at {}; see /", request.path());
        Self { status: StatusCode::NOT_FOUND, detail: Some(detail), header: None }
    }

    pub(crate) fn method_not_allowed(request: &Request, allow: &'static str) -> Self {
        let detail = format!("{} is not answered here, but {allow}", request.method());
        let header = Some((ALLOW, HeaderValue::from_static(allow)));
        Self { status: StatusCode::METHOD_NOT_ALLOWED, detail: Some(detail), header }
    }

    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    pub(crate) fn with_header(self, name: HeaderName, value: HeaderValue) -> Self {
        Self { header: Some((name, value)), ..self }
    }

    pub(crate) fn into_response(self) -> Response {
        let document = Document {
            status_code: self.status.as_u16(),
            error: self.status.canonical_reason().unwrap_or_default(),
            detail: self.detail.as_deref(),
        };
        let response = document::json(&document).with_status(self.status);
        match self.header {
            Some((name, value)) => response.with_header(name, value),
            None => response,
        }
    }
}

impl From<BodyError> for Failure {
    fn from(error: BodyError) -> Self {
        let status = match error {
            BodyError::Protocol(error) => error.status(),
            _ => StatusCode::BAD_REQUEST,
        };
        Self::bad_request(format!("error parsing request body: {error}")).with_status(status)
    }
}
