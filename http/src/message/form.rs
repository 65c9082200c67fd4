//! Queries and forms, deserialized by serde.

use std::error::Error;
use std::fmt;

use http::StatusCode;
use serde::de::{Deserialize, DeserializeOwned};

use crate::message::body_error::{BodyError, BoxError};
use crate::message::escaped::Escaped;
use crate::message::media_type::media_type;
use crate::message::request::Request;
use crate::message::response::{IntoResponse, Response};
use crate::protocol::head::RequestHead;
use crate::protocol::limits::FORM_PAIRS_MAX;

impl RequestHead {
    /// Deserializes the query. A request without a query counts as one with an empty query.
    ///
    /// Fields of type `Option` may be missing. Fields of type `Vec` collect a name that is
    /// repeated.
    ///
    /// # Errors
    /// [`FormError::Query`] if a field is missing or malformed, and [`FormError::TooManyPairs`]
    /// if there are more than [`FORM_PAIRS_MAX`] names and values. As a response that is a 400 with
    /// the reason.
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
        check_pairs(query.as_bytes(), FORM_PAIRS_MAX)?;
        deserialize(query.as_bytes()).map_err(FormError::Query)
    }
}

impl Request {
    /// Reads and deserializes the body, a form of at most `limit` bytes and at most
    /// [`FORM_PAIRS_MAX`] names and values. Its media type must be
    /// `application/x-www-form-urlencoded`; forms with files (`multipart/form-data`) are not
    /// supported.
    ///
    /// # Errors
    /// See [`FormError`], which is also a response.
    pub async fn form<T: DeserializeOwned>(&mut self, limit: usize) -> Result<T, FormError> {
        self.form_with_pairs(limit, FORM_PAIRS_MAX).await
    }

    /// Does what [`form`](Self::form) does, for a form of at most `pairs_max` names and values. A
    /// pair takes only two bytes in the body, but some 50 when it has been deserialized.
    ///
    /// # Errors
    /// See [`FormError`], which is also a response.
    pub async fn form_with_pairs<T: DeserializeOwned>(
        &mut self,
        limit: usize,
        pairs_max: usize,
    ) -> Result<T, FormError> {
        let is_form = |text: &[u8]| text.eq_ignore_ascii_case(b"application/x-www-form-urlencoded");
        if !media_type(&self.parts.head).is_some_and(is_form) {
            return Err(FormError::MediaType);
        }
        let body = self.parts.body.collect(limit).await.map_err(FormError::Body)?;
        check_pairs(&body, pairs_max)?;
        deserialize(&body).map_err(FormError::Content)
    }
}

/// Deserializes names and values.
fn deserialize<'de, T: Deserialize<'de>>(form: &'de [u8]) -> Result<T, FieldError> {
    let pairs = serde_html_form::Deserializer::from_bytes(form);
    serde_path_to_error::deserialize(pairs).map_err(|error| {
        let path = error.path().to_string();
        FieldError { path, error: error.into_inner().into() }
    })
}

/// Checks the number of pairs before any memory is allocated for them.
fn check_pairs(form: &[u8], pairs_max: usize) -> Result<(), FormError> {
    let pairs = form.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty());
    match pairs.take(pairs_max.saturating_add(1)).count() > pairs_max {
        true => Err(FormError::TooManyPairs(pairs_max)),
        false => Ok(()),
    }
}

/// The error when a query or a form cannot be read. As a response it has its
/// [`status`](Self::status) and a text.
#[derive(Debug)]
#[non_exhaustive]
pub enum FormError {
    /// The `Content-Type` is missing or another one. The response is 415.
    MediaType,
    /// The body could not be read to its end, or is too long. The response has the
    /// [status of the error](BodyError::status), usually 408 or 413.
    Body(BodyError),
    /// There are more names and values than this maximum. The response is 400.
    TooManyPairs(usize),
    /// A field of the query is missing or malformed. The response is 400.
    Query(FieldError),
    /// A field of the form is missing or malformed. The response is 422.
    Content(FieldError),
}

/// The error when a field of a query or of a form is missing or malformed.
#[derive(Debug)]
pub struct FieldError {
    /// Such as `limit`, or `.` for the whole.
    path: String,
    error: BoxError,
}

impl FieldError {
    /// Returns the name of the field, or `None` if the error is not about one, such as a field that
    /// is missing.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        (self.path != ".").then_some(&*self.path)
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field() {
            Some(field) => write!(f, "{}: {}", Escaped(field), Escaped(&self.error)),
            None => Escaped(&self.error).fmt(f),
        }
    }
}

impl Error for FieldError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.error)
    }
}

impl FormError {
    /// Returns the status of the response to this error.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Body(error) => error.status(),
            Self::TooManyPairs(_) | Self::Query(_) => StatusCode::BAD_REQUEST,
            Self::Content(_) => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }
}

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MediaType => {
                f.write_str("the Content-Type must be application/x-www-form-urlencoded")
            }
            Self::Body(error) => error.fmt(f),
            Self::TooManyPairs(pairs_max) => {
                write!(f, "there are more than {pairs_max} names and values")
            }
            Self::Query(error) => write!(f, "query: {error}"),
            Self::Content(error) => write!(f, "form: {error}"),
        }
    }
}

impl Error for FormError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::MediaType | Self::TooManyPairs(_) => None,
            Self::Body(error) => Some(error),
            Self::Query(error) | Self::Content(error) => Some(error),
        }
    }
}

impl IntoResponse for FormError {
    fn into_response(self) -> Response {
        Response::plain(self.status(), self.to_string())
    }
}
