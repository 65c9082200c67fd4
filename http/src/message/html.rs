//! Responses in HTML.

use crate::message::body::Body;
use crate::message::response::{IntoResponse, Response};

/// A response in HTML: 200 with `Content-Type: text/html; charset=utf-8`.
///
/// # Examples
/// ```
/// use brigade_http::Html;
///
/// async fn index() -> Html<&'static str> {
///     Html("<!doctype html><title>Hello</title><p>Hello!")
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Html<T>(pub T);

impl<T: Into<Body>> IntoResponse for Html<T> {
    fn into_response(self) -> Response {
        Response::html(self.0)
    }
}
