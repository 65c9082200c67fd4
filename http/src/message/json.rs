//! Bodies in JSON, by serde.

use std::error::Error;
use std::fmt;

use http::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::message::body_error::BodyError;
use crate::message::media_type::media_type;
use crate::message::request::Request;
use crate::message::response::{IntoResponse, Response};

impl Request {
    /// The body, which has to be JSON of at most `limit` bytes, as a `T`. The media type has to
    /// be `application/json`, or any that ends in `+json` (RFC 6839 section 3.1).
    ///
    /// # Errors
    /// See [`JsonError`], which is an answer as well.
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
        serde_json::from_slice(&body).map_err(JsonError::Content)
    }
}

fn is_json(media_type: &[u8]) -> bool {
    let suffix = media_type.len().saturating_sub(b"+json".len());
    media_type.eq_ignore_ascii_case(b"application/json")
        || media_type[suffix..].eq_ignore_ascii_case(b"+json")
}

/// An answer in JSON: 200 with `Content-Type: application/json`.
///
/// A value that cannot be written as JSON, such as a map with keys that are no strings, is
/// answered with 500 and logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(text) => Response::typed("application/json", text),
            Err(error) => {
                let name = std::any::type_name::<T>();
                tracing::error!(target: "brigade::http", "no JSON can be made of {name}: {error}");
                Response::plain(StatusCode::INTERNAL_SERVER_ERROR, "")
            }
        }
    }
}

/// Why the body of a request is not the JSON that was to be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum JsonError {
    /// The request says its body is something else, or does not say what it is; answered
    /// with 415.
    MediaType,
    /// The body did not come to its end, or is longer than it may be; answered with
    /// [its status](BodyError::status), mostly 408 or 413.
    Body(BodyError),
    /// The body is no JSON, or not that of the type; answered with 400 and the reason.
    Content(serde_json::Error),
}

impl JsonError {
    /// The status that it is answered with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Body(error) => error.status(),
            Self::Content(_) => StatusCode::BAD_REQUEST,
        }
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MediaType => f.write_str("the body has to be of type application/json"),
            Self::Body(error) => error.fmt(f),
            Self::Content(error) => write!(f, "the body is not the JSON expected: {error}"),
        }
    }
}

impl Error for JsonError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::MediaType => None,
            Self::Body(error) => Some(error),
            Self::Content(error) => Some(error),
        }
    }
}

impl IntoResponse for JsonError {
    fn into_response(self) -> Response {
        Response::plain(self.status(), &self.to_string())
    }
}
