//! What all endpoints have in common: preflights, methods, failures, and CORS on every answer.
//!
//! This is done around each handler rather than in middleware, for the sake of those that wait:
//! so a waiting request costs one future, and that holds the request once.

use std::future::ready;
use std::rc::Rc;

use brigade::http::{MethodRouter, Request, Response, any};
use http::Method;

use crate::cors;
use crate::failure::{Answer, Failure};

/// The methods of an endpoint. All of them answer `OPTIONS`, and `HEAD` where there is a `GET`.
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

/// An endpoint that answers at once.
pub(crate) fn at_once(
    allowed: Allowed,
    answer: impl Fn(&Request) -> Answer + 'static,
) -> MethodRouter {
    any(move |request| ready(answered(&request, &allowed, &answer)))
}

/// What an endpoint of [`at_once`] answers.
pub(crate) fn answered(
    request: &Request,
    allowed: &Allowed,
    answer: impl Fn(&Request) -> Answer,
) -> Response {
    let response = instead(request, allowed)
        .unwrap_or_else(|| answer(request).unwrap_or_else(Failure::into_response));
    cors::allow(request, response)
}

/// An endpoint that waits: for a body, or for the time to come.
pub(crate) fn in_time<F>(allowed: Allowed, answer: F) -> MethodRouter
where
    F: AsyncFn(&mut Request) -> Answer + 'static,
{
    let answer = Rc::new((allowed, answer));
    any(move |mut request| {
        let answer = answer.clone();
        async move {
            let (allowed, answer) = &*answer;
            if let Some(response) = instead(&request, allowed) {
                return cors::allow(&request, response);
            }
            // While this waits, it holds the request and what the endpoint needs, and no more.
            let answer = answer(&mut request).await;
            cors::allow(&request, answer.unwrap_or_else(Failure::into_response))
        }
    })
}

/// What is answered without asking the endpoint: preflights, and methods that it does not have.
fn instead(request: &Request, allowed: &Allowed) -> Option<Response> {
    cors::preflight(request).or_else(|| allowed.check(request).err().map(Failure::into_response))
}
