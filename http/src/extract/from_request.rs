//! The traits of handlers' arguments.

use std::convert::Infallible;

use crate::message::request::Request;
use crate::message::response::IntoResponse;
use crate::message::states::Requirements;

/// Marks arguments that take the whole request, such as its body.
#[derive(Debug)]
pub enum ViaRequest {}

/// Marks arguments that only look at the request.
#[derive(Debug)]
pub enum ViaParts {}

/// An argument of a handler that is made from the head of a request, its route, its peer or its
/// extensions, and leaves the body to another argument.
///
/// # Examples
/// ```
/// use brigade_http::{FromRequestParts, HandlerError, Request, Router, StatusCode, get};
///
/// struct User(String);
///
/// impl FromRequestParts for User {
///     type Rejection = HandlerError;
///
///     async fn from_request_parts(request: &mut Request) -> Result<Self, HandlerError> {
///         let user = request.cookie("user").map(str::to_owned);
///         user.map(User).ok_or(HandlerError::new(StatusCode::UNAUTHORIZED, "log in first"))
///     }
/// }
///
/// async fn greet(User(name): User) -> String {
///     format!("Hello, {name}!")
/// }
///
/// let router = Router::new().route("/", get(greet));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a handler, or not at this place",
    label = "made neither from a request nor from its head",
    note = "an argument that takes the body (such as `Json`, `Bytes` or `Request`) comes last",
    note = "implement `FromRequestParts` for an argument of your own"
)]
pub trait FromRequestParts: Sized {
    /// The error if the argument cannot be made. It becomes the response, and the handler is not
    /// called.
    type Rejection: IntoResponse;

    /// Makes the argument.
    ///
    /// # Errors
    /// What makes the request unfit for the handler.
    fn from_request_parts(
        request: &mut Request,
    ) -> impl Future<Output = Result<Self, Self::Rejection>>;

    /// Returns `true` if the request has nothing to make the argument from, such as no query. Then
    /// `Option<Self>` is `None`. Of this trait's own, it is always `false`.
    fn is_missing(request: &Request) -> bool {
        let _ = request;
        false
    }

    /// Names the states that [`from_request_parts`](Self::from_request_parts) uses, so that a
    /// router without them fails when it is built and not at the first request.
    fn requirements(requirements: &mut Requirements) {
        let _ = requirements;
    }
}

/// The last argument of a handler, which may take the body.
///
/// Everything that is [`FromRequestParts`] is also `FromRequest`. Implement it without a type
/// parameter for an argument that reads the body.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the last argument of a handler",
    label = "not made from a request",
    note = "implement `FromRequestParts` for it, or `FromRequest` if it takes the body"
)]
pub trait FromRequest<M = ViaRequest>: Sized {
    /// The error if the argument cannot be made. It becomes the response, and the handler is not
    /// called.
    type Rejection: IntoResponse;

    /// Makes the argument.
    ///
    /// # Errors
    /// What makes the request unfit for the handler.
    fn from_request(request: Request) -> impl Future<Output = Result<Self, Self::Rejection>>;

    /// Returns `true` if the request has nothing to make the argument from, such as no body. Then
    /// `Option<Self>` is `None`. Of this trait's own, it is always `false`.
    fn is_missing(request: &Request) -> bool {
        let _ = request;
        false
    }

    /// Names the states that [`from_request`](Self::from_request) uses; see
    /// [`FromRequestParts::requirements`].
    fn requirements(requirements: &mut Requirements) {
        let _ = requirements;
    }
}

impl Request {
    /// Makes what a handler could have as an argument, for a middleware.
    ///
    /// # Errors
    /// As for the argument.
    ///
    /// # Examples
    /// ```
    /// use brigade_http::{HandlerError, Next, Request, Response, State};
    ///
    /// async fn check(mut request: Request, next: Next) -> Result<Response, HandlerError> {
    ///     let State(limit) = request.extract::<State<usize>>().await?;
    ///     Ok(next.run(request).await.with_status(if limit == 0 { 503 } else { 200 }.try_into()?))
    /// }
    /// ```
    pub async fn extract<T: FromRequestParts>(&mut self) -> Result<T, T::Rejection> {
        T::from_request_parts(self).await
    }
}

impl<T: FromRequestParts> FromRequest<ViaParts> for T {
    type Rejection = T::Rejection;

    async fn from_request(mut request: Request) -> Result<Self, Self::Rejection> {
        T::from_request_parts(&mut request).await
    }

    fn is_missing(request: &Request) -> bool {
        T::is_missing(request)
    }

    fn requirements(requirements: &mut Requirements) {
        T::requirements(requirements);
    }
}

impl FromRequest for Request {
    type Rejection = Infallible;

    async fn from_request(request: Request) -> Result<Self, Infallible> {
        Ok(request)
    }
}

/// `None` if the request has nothing to make the argument from.
impl<T: FromRequestParts> FromRequestParts for Option<T> {
    type Rejection = T::Rejection;

    async fn from_request_parts(request: &mut Request) -> Result<Self, Self::Rejection> {
        match T::is_missing(request) {
            true => Ok(None),
            false => T::from_request_parts(request).await.map(Some),
        }
    }

    fn requirements(requirements: &mut Requirements) {
        T::requirements(requirements);
    }
}

/// `None` if the request has nothing to make the argument from.
impl<T: FromRequest> FromRequest for Option<T> {
    type Rejection = T::Rejection;

    async fn from_request(request: Request) -> Result<Self, Self::Rejection> {
        match T::is_missing(&request) {
            true => Ok(None),
            false => T::from_request(request).await.map(Some),
        }
    }

    fn requirements(requirements: &mut Requirements) {
        T::requirements(requirements);
    }
}

/// Leaves the error to the handler.
impl<T: FromRequestParts> FromRequestParts for Result<T, T::Rejection> {
    type Rejection = Infallible;

    async fn from_request_parts(request: &mut Request) -> Result<Self, Infallible> {
        Ok(T::from_request_parts(request).await)
    }

    fn requirements(requirements: &mut Requirements) {
        T::requirements(requirements);
    }
}

/// Leaves the error to the handler.
impl<T: FromRequest> FromRequest for Result<T, T::Rejection> {
    type Rejection = Infallible;

    async fn from_request(request: Request) -> Result<Self, Infallible> {
        Ok(T::from_request(request).await)
    }

    fn requirements(requirements: &mut Requirements) {
        T::requirements(requirements);
    }
}
