//! Responses that redirect to another URL.

use http::header::LOCATION;
use http::{HeaderValue, StatusCode};

use crate::message::escaped::Escaped;
use crate::message::log_limit::limited_log;
use crate::message::response::{IntoResponse, Response};

/// A response that redirects to another URL.
///
/// # Examples
/// ```
/// use brigade_http::{IntoResponse, Redirect, StatusCode};
///
/// async fn create() -> Redirect {
///     Redirect::to("/items/7")
/// }
///
/// assert_eq!(Redirect::to("/items/7").into_response().status, StatusCode::SEE_OTHER);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a redirect does nothing unless it is returned"]
pub struct Redirect {
    status: StatusCode,
    /// The URL as it is, if it is not a valid header value.
    location: Result<HeaderValue, String>,
}

impl Redirect {
    /// Redirects to `url` with GET, for instance after a form was posted: a 303 (RFC 9110 section
    /// 15.4.4).
    pub fn to(url: &str) -> Self {
        Self::new(StatusCode::SEE_OTHER, url)
    }

    /// Redirects this time to `url`, with the same method and body: a 307 (RFC 9110 section
    /// 15.4.8).
    pub fn temporary(url: &str) -> Self {
        Self::new(StatusCode::TEMPORARY_REDIRECT, url)
    }

    /// Redirects from now on to `url`, with the same method and body: a 308 (RFC 9110 section
    /// 15.4.9). Clients may cache it for ever.
    pub fn permanent(url: &str) -> Self {
        Self::new(StatusCode::PERMANENT_REDIRECT, url)
    }

    fn new(status: StatusCode, url: &str) -> Self {
        Self { status, location: HeaderValue::try_from(url).map_err(|_| url.to_owned()) }
    }
}

/// If the URL contains control characters, the response is a 500 and the error is logged.
impl IntoResponse for Redirect {
    fn into_response(self) -> Response {
        match self.location {
            Ok(location) => Response::empty(self.status).with_header(LOCATION, location),
            Err(url) => {
                let url = Escaped(url);
                limited_log!(error, { %url }, "cannot redirect to a URL with control characters");
                Response::plain(StatusCode::INTERNAL_SERVER_ERROR, "")
            }
        }
    }
}
