//! The parameters of the path as an argument.

use serde::de::DeserializeOwned;

use crate::extract::from_request::FromRequestParts;
use crate::extract::path_deserializer::Params;
use crate::message::path_error::PathError;
use crate::message::request::Request;

/// The parameters of the path, percent-decoded and deserialized by serde: one value, a tuple in the
/// order of the route, or a struct whose fields have the names of the parameters.
///
/// # Examples
/// ```
/// use brigade_http::{Path, Router, get};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Place {
///     shelf: String,
///     book: u32,
/// }
///
/// async fn shelf(Path(name): Path<String>) -> String {
///     format!("shelf {name}")
/// }
///
/// async fn book(Path((shelf, book)): Path<(String, u32)>) -> String {
///     format!("book {book} of {shelf}")
/// }
///
/// async fn page(Path(place): Path<Place>) -> String {
///     format!("a page of book {} of {}", place.book, place.shelf)
/// }
///
/// let router = Router::new()
///     .route("/{shelf}", get(shelf))
///     .route("/{shelf}/{book}", get(book))
///     .route("/{shelf}/{book}/page", get(page));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts for Path<T> {
    type Rejection = PathError;

    async fn from_request_parts(request: &mut Request) -> Result<Self, PathError> {
        let mut params = Vec::new();
        for name in request.param_names() {
            let value = request.param_decoded(name).map_err(|_| PathError::not_utf8(name))?;
            params.push((name, value));
        }
        T::deserialize(Params { params: &params }).map(Self)
    }

    fn is_missing(request: &Request) -> bool {
        request.param_names().next().is_none()
    }
}
