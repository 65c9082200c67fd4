//! JSON in bodies, by serde.

use std::error::Error;
use std::fmt;

use http::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::message::body_error::BodyError;
use crate::message::escaped::Escaped;
use crate::message::log_limit::limited_log;
use crate::message::media_type::media_type;
use crate::message::request::Request;
use crate::message::response::{IntoResponse, Response};

impl Request {
    /// Reads and deserializes the body, JSON of at most `limit` bytes. Its media type must be
    /// `application/json`, or end in `+json` (RFC 6839 section 3.1).
    ///
    /// # Errors
    /// See [`JsonError`], which is also a response.
    ///
    /// # Examples
    /// ```
    /// use brigade_http::{Json, JsonError, Request, Router, post};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Deserialize, Serialize)]
    /// struct Point {
    ///     x: f64,
    ///     y: f64,
    /// }
    ///
    /// async fn mirror(mut request: Request) -> Result<Json<Point>, JsonError> {
    ///     let Point { x, y } = request.json(1024).await?;
    ///     Ok(Json(Point { x: y, y: x }))
    /// }
    ///
    /// let router = Router::new().route("/mirror", post(mirror));
    /// ```
    pub async fn json<T: DeserializeOwned>(&mut self, limit: usize) -> Result<T, JsonError> {
        if !media_type(&self.parts.head).is_some_and(is_json) {
            return Err(JsonError::MediaType);
        }
        let body = self.parts.body.collect(limit).await.map_err(JsonError::Body)?;
        serde_json::from_slice(&body).map_err(|error| JsonError::of_content::<T>(error, &body))
    }
}

fn is_json(media_type: &[u8]) -> bool {
    let suffix = media_type.len().saturating_sub(b"+json".len());
    media_type.eq_ignore_ascii_case(b"application/json")
        || media_type[suffix..].eq_ignore_ascii_case(b"+json")
}

/// JSON. As the argument of a handler it is the body, deserialized by serde (see
/// [`Request::json`]). As a response it is a 200 with `Content-Type: application/json`.
///
/// If the value of a response cannot be serialized, such as a map whose keys are not strings, the
/// response is a 500 and the error is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(text) => Response::typed("application/json", text),
            Err(error) => {
                let value = std::any::type_name::<T>();
                let error = Escaped(&error);
                limited_log!(error, { value, %error }, "cannot serialize to JSON");
                Response::plain(StatusCode::INTERNAL_SERVER_ERROR, "")
            }
        }
    }
}

/// The error when a request's body cannot be read as JSON. As a response it has its
/// [`status`](Self::status) and a text.
#[derive(Debug)]
#[non_exhaustive]
pub enum JsonError {
    /// The `Content-Type` is missing or another one. The response is 415.
    MediaType,
    /// The body could not be read to its end, or is too long. The response has the
    /// [status of the error](BodyError::status), usually 408 or 413.
    Body(BodyError),
    /// The body is not JSON. The response is 400.
    Syntax(serde_json::Error),
    /// The body does not fit the type. The response is 422.
    Data {
        /// Where it does not, such as `items[2].name`, or `.` for the whole.
        path: String,
        /// What is wrong there.
        error: serde_json::Error,
    },
}

impl JsonError {
    /// Returns the error for `body`, which failed with `error`.
    fn of_content<T: DeserializeOwned>(error: serde_json::Error, body: &[u8]) -> Self {
        if !error.is_data() {
            return Self::Syntax(error);
        }
        // Read once more for the path, which is not tracked before there is an error.
        let input = &mut serde_json::Deserializer::from_slice(body);
        let again = serde_path_to_error::deserialize::<_, T>(input);
        let path = again.err().map_or_else(|| ".".to_owned(), |again| again.path().to_string());
        Self::Data { path, error }
    }

    /// Returns the status of the response to this error.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Body(error) => error.status(),
            Self::Syntax(_) => StatusCode::BAD_REQUEST,
            Self::Data { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MediaType => f.write_str("the Content-Type must be application/json"),
            Self::Body(error) => error.fmt(f),
            Self::Syntax(error) => write!(f, "json: {}", Escaped(error)),
            Self::Data { path, error } if path == "." => write!(f, "json: {}", Escaped(error)),
            Self::Data { path, error } => {
                write!(f, "json: {}: {}", Escaped(path), Escaped(error))
            }
        }
    }
}

impl Error for JsonError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::MediaType => None,
            Self::Body(error) => Some(error),
            Self::Syntax(error) | Self::Data { error, .. } => Some(error),
        }
    }
}

impl IntoResponse for JsonError {
    fn into_response(self) -> Response {
        Response::plain(self.status(), self.to_string())
    }
}
