//! A form as an argument.

use serde::de::DeserializeOwned;

use crate::extract::from_request::FromRequest;
use crate::message::form::FormError;
use crate::message::request::Request;

/// The body, a form that is deserialized by serde; see [`Request::form`].
///
/// # Examples
/// ```
/// use brigade_http::{Form, Redirect, Router, post};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Login {
///     user: String,
/// }
///
/// async fn login(Form(login): Form<Login>) -> Redirect {
///     Redirect::to(if login.user.is_empty() { "/login" } else { "/" })
/// }
///
/// let router = Router::new().route("/login", post(login));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Form<T>(pub T);

impl<T: DeserializeOwned> FromRequest for Form<T> {
    type Rejection = FormError;

    async fn from_request(mut request: Request) -> Result<Self, FormError> {
        request.form(usize::MAX).await.map(Self)
    }

    fn is_missing(request: &Request) -> bool {
        request.header("content-type").is_none() && request.parts.body.is_end()
    }
}
