//! What all endpoints have in common: preflights, methods, failures, and CORS on every response.
//!
//! This wraps each handler, rather than being middleware, so that a waiting request costs only one
//! future, which holds the request once.

use brigade::http::{MethodRouter, Request, Response, any};
use http::Method;

use crate::cors;
use crate::failure::{EndpointResult, Failure};

/// The methods of an endpoint. `OPTIONS` is always allowed, and so is `HEAD` if `GET` is.
#[derive(Debug)]
pub(crate) enum Allowed {
    Any,
    Only(Method, &'static str),
}

impl Allowed {
    pub(crate) const GET: Self = Self::Only(Method::GET, "GET, HEAD, OPTIONS");
    pub(crate) const POST: Self = Self::Only(Method::POST, "POST, OPTIONS");
    pub(crate) const PUT: Self = Self::Only(Method::PUT, "PUT, OPTIONS");
    pub(crate) const PATCH: Self = Self::Only(Method::PATCH, "PATCH, OPTIONS");
    pub(crate) const DELETE: Self = Self::Only(Method::DELETE, "DELETE, OPTIONS");

    fn check(&self, request: &Request) -> Result<(), Failure> {
        let method = request.method();
        match self {
            Self::Any => Ok(()),
            Self::Only(only, _) if method == only => Ok(()),
            Self::Only(only, _) if *only == Method::GET && method == Method::HEAD => Ok(()),
            Self::Only(_, allow) => Err(Failure::method_not_allowed(request, allow)),
        }
    }
}

/// An endpoint that responds at once.
pub(crate) fn immediate(
    allowed: Allowed,
    endpoint: impl Fn(&Request) -> EndpointResult + 'static,
) -> MethodRouter {
    any(async move |request: Request| respond(&request, &allowed, &endpoint))
}

/// Returns the response of an endpoint that is [`immediate`].
pub(crate) fn respond(
    request: &Request,
    allowed: &Allowed,
    endpoint: impl Fn(&Request) -> EndpointResult,
) -> Response {
    let response = early_response(request, allowed)
        .unwrap_or_else(|| endpoint(request).unwrap_or_else(Failure::into_response));
    cors::allow(request, response)
}

/// An endpoint that waits for a body or for some time.
pub(crate) fn deferred<F>(allowed: Allowed, endpoint: F) -> MethodRouter
where
    F: AsyncFn(&mut Request) -> EndpointResult + 'static,
{
    any(async move |mut request: Request| {
        if let Some(response) = early_response(&request, &allowed) {
            return cors::allow(&request, response);
        }
        // While this waits it holds only the request and what the endpoint needs.
        let result = endpoint(&mut request).await;
        cors::allow(&request, result.unwrap_or_else(Failure::into_response))
    })
}

/// Returns the response to a preflight or to a method that is not allowed, for which the endpoint
/// is not called.
fn early_response(request: &Request, allowed: &Allowed) -> Option<Response> {
    cors::preflight(request).or_else(|| allowed.check(request).err().map(Failure::into_response))
}
