//! A value that a layer attached to the request, as an argument.

use std::any::type_name;

use http::StatusCode;

use crate::extract::from_request::FromRequestParts;
use crate::message::handler_error::HandlerError;
use crate::message::request::Request;

/// A copy of the value of type `T` among the [extensions](Request::extensions) of the request. A
/// layer has put it there.
///
/// If there is none, the response is a 500, and the type is logged.
///
/// # Examples
/// ```
/// use brigade_http::{Extension, Next, Request, Response, Router, get};
///
/// #[derive(Clone)]
/// struct Tenant(&'static str);
///
/// async fn find_tenant(mut request: Request, next: Next) -> Response {
///     request.extensions_mut().insert(Tenant("acme"));
///     next.run(request).await
/// }
///
/// async fn name(Extension(Tenant(name)): Extension<Tenant>) -> &'static str {
///     name
/// }
///
/// let router = Router::new().route("/", get(name)).layer(find_tenant);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extension<T>(pub T);

impl<T: Clone + 'static> FromRequestParts for Extension<T> {
    type Rejection = HandlerError;

    async fn from_request_parts(request: &mut Request) -> Result<Self, HandlerError> {
        request.extensions().get().cloned().map(Self).ok_or_else(|| {
            let missing = format!("the request has no extension {}", type_name::<T>());
            HandlerError::new(StatusCode::INTERNAL_SERVER_ERROR, "").with_context(missing)
        })
    }

    fn is_missing(request: &Request) -> bool {
        request.extensions().get::<T>().is_none()
    }
}
