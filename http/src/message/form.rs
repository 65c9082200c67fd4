//! Queries and forms as types of the caller's, by serde.

use std::error::Error;
use std::fmt;

use http::StatusCode;
use serde::de::{Deserialize, DeserializeOwned};

use crate::message::body_error::BodyError;
use crate::message::body_error::BoxError;
use crate::message::media_type::media_type;
use crate::message::request::Request;
use crate::message::response::{IntoResponse, Response};
use crate::protocol::head::RequestHead;

impl RequestHead {
    /// The query as a `T`; without a query, what `T` makes of an empty one.
    ///
    /// A field that is an `Option` may be missing, one that is a `Vec` takes a name that repeats.
    ///
    /// # Errors
    /// [`FormError::Content`]: as an answer, 400 with what is wrong.
    ///
    /// # Examples
    /// ```
    /// use brigade_http::{FormError, Request, Router, get};
    /// use serde::Deserialize;
    ///
    /// #[derive(Deserialize)]
    /// struct Search {
    ///     q: String,
    ///     #[serde(default)]
    ///     tag: Vec<String>,
    ///     page: Option<u32>,
    /// }
    ///
    /// async fn search(request: Request) -> Result<String, FormError> {
    ///     let Search { q, tag, page } = request.query_as()?;
    ///     Ok(format!("{q} with {} tags, page {}", tag.len(), page.unwrap_or(1)))
    /// }
    ///
    /// let router = Router::new().route("/search", get(search));
    /// ```
    pub fn query_as<'a, T: Deserialize<'a>>(&'a self) -> Result<T, FormError> {
        let query = self.query().unwrap_or_default();
        serde_html_form::from_str(query).map_err(|error| FormError::Content(error.into()))
    }
}

impl Request {
    /// The body, which has to be a form of at most `limit` bytes, as a `T`. The media type has to
    /// be `application/x-www-form-urlencoded`; forms with files are another one, and not read.
    ///
    /// # Errors
    /// See [`FormError`], which is an answer as well.
    pub async fn form<T: DeserializeOwned>(&mut self, limit: usize) -> Result<T, FormError> {
        let is_form = |text: &[u8]| text.eq_ignore_ascii_case(b"application/x-www-form-urlencoded");
        if !media_type(&self.parts.head).is_some_and(is_form) {
            return Err(FormError::MediaType);
        }
        let body = self.parts.body.collect(limit).await.map_err(FormError::Body)?;
        serde_html_form::from_bytes(&body).map_err(|error| FormError::Content(error.into()))
    }
}

/// Why a query or a form is not the one that was to be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum FormError {
    /// The request says its body is something else, or does not say what it is; answered
    /// with 415.
    MediaType,
    /// The body did not come to its end, or is longer than it may be; answered with
    /// [its status](BodyError::status), mostly 408 or 413.
    Body(BodyError),
    /// A field is missing or malformed; answered with 400 and the reason.
    Content(BoxError),
}

impl FormError {
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

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MediaType => {
                f.write_str("the body has to be of type application/x-www-form-urlencoded")
            }
            Self::Body(error) => error.fmt(f),
            Self::Content(error) => write!(f, "the fields are not those expected: {error}"),
        }
    }
}

impl Error for FormError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::MediaType => None,
            Self::Body(error) => Some(error),
            Self::Content(error) => Some(&**error),
        }
    }
}

impl IntoResponse for FormError {
    fn into_response(self) -> Response {
        Response::plain(self.status(), &self.to_string())
    }
}
