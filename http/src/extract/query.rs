//! The query as an argument.

use serde::de::DeserializeOwned;

use crate::extract::from_request::FromRequestParts;
use crate::message::form::FormError;
use crate::message::request::Request;

/// The query, deserialized by serde; see [`RequestHead::query_as`](crate::RequestHead::query_as).
///
/// # Examples
/// ```
/// use brigade_http::{Query, Router, get};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Page {
///     #[serde(default)]
///     offset: u32,
///     limit: Option<u32>,
/// }
///
/// async fn list(Query(page): Query<Page>) -> String {
///     format!("{} from {}", page.limit.unwrap_or(50), page.offset)
/// }
///
/// let router = Router::new().route("/items", get(list));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts for Query<T> {
    type Rejection = FormError;

    async fn from_request_parts(request: &mut Request) -> Result<Self, FormError> {
        request.query_as().map(Self)
    }

    fn is_missing(request: &Request) -> bool {
        request.query().is_none()
    }
}
