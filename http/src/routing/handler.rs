//! Handlers: async functions whose arguments are made from the request.

use std::fmt;
use std::rc::Rc;

use crate::extract::from_request::{FromRequest, FromRequestParts};
use crate::message::guarded::GuardedFuture;
use crate::message::request::Request;
use crate::message::response::{IntoResponse, Response};
use crate::message::states::Requirements;
use crate::routing::endpoint::{Endpoint, FnEndpoint};

/// An async function that handles requests: up to eight arguments, each made from the request, and
/// a result that is a response.
///
/// It is implemented for functions and closures, also for those that borrow what they capture. All
/// arguments are [`FromRequestParts`]; the last may be [`FromRequest`] instead, and take the body.
/// Nothing needs to be `Send`.
///
/// # Examples
/// ```
/// use std::cell::Cell;
///
/// use brigade_http::{Method, Request, Router, any, get};
///
/// async fn describe(method: Method, request: Request) -> String {
///     format!("{method} {}", request.path())
/// }
///
/// let visits = Cell::new(0);
/// let count = async move || {
///     visits.set(visits.get() + 1);
///     format!("visit {}", visits.get())
/// };
/// let router = Router::new().route("/visits", get(count)).route("/{*path}", any(describe));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "not an async function whose arguments are made from a request",
    note = "a handler is an async function of up to eight arguments",
    note = "each argument implements `FromRequestParts`; the last may implement `FromRequest`",
    note = "its result implements `IntoResponse`",
    note = "name the types of a closure's arguments: `async |request: Request| …`"
)]
pub trait Handler<A>: 'static {
    /// Returns the handler without its type.
    fn into_boxed(self) -> BoxedHandler;
}

/// A handler without its type.
#[derive(Clone)]
pub struct BoxedHandler {
    pub(crate) endpoint: Rc<dyn Endpoint>,
    pub(crate) requirements: Requirements,
}

impl fmt::Debug for BoxedHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoxedHandler")
    }
}

impl<F, R> Handler<()> for F
where
    F: AsyncFn() -> R + 'static,
    R: IntoResponse,
{
    fn into_boxed(self) -> BoxedHandler {
        let function = Rc::new(self);
        let endpoint = FnEndpoint::endpoint(move |request: Request| {
            drop(request);
            let function = function.clone();
            async move { GuardedFuture::new(function()).await }
        });
        BoxedHandler { endpoint, requirements: Requirements::default() }
    }
}

/// Returns the response to an argument that cannot be made. Boxed, since it is rare and large.
#[cold]
fn refused(rejection: impl IntoResponse) -> Box<Response> {
    Box::new(rejection.into_response())
}

macro_rules! handlers {
    ($($($Arg:ident)* ; $Last:ident,)*) => {
        $(
            impl<F, R, M, $($Arg,)* $Last> Handler<(M, $($Arg,)* $Last)> for F
            where
                F: AsyncFn($($Arg,)* $Last) -> R + 'static,
                R: IntoResponse,
                $($Arg: FromRequestParts,)*
                $Last: FromRequest<M>,
            {
                #[expect(non_snake_case, reason = "the arguments have the names of their types")]
                fn into_boxed(self) -> BoxedHandler {
                    let function = Rc::new(self);
                    #[allow(unused_mut, reason = "a single argument takes the request as it is")]
                    let endpoint = FnEndpoint::endpoint(move |mut request: Request| {
                        let function = function.clone();
                        async move {
                            $(
                                let $Arg = match $Arg::from_request_parts(&mut request).await {
                                    Ok(argument) => argument,
                                    Err(rejection) => return Err(refused(rejection)),
                                };
                            )*
                            match $Last::from_request(request).await {
                                Ok($Last) => {
                                    Ok(GuardedFuture::new(function($($Arg,)* $Last)).await)
                                }
                                Err(rejection) => Err(refused(rejection)),
                            }
                        }
                    });
                    let mut requirements = Requirements::default();
                    $($Arg::requirements(&mut requirements);)*
                    $Last::requirements(&mut requirements);
                    BoxedHandler { endpoint, requirements }
                }
            }
        )*
    };
}

handlers! {
    ; A,
    A; B,
    A B; C,
    A B C; D,
    A B C D; E,
    A B C D E; G,
    A B C D E G; H,
    A B C D E G H; I,
}
