//! What all endpoints have in common: preflights, methods, failures, and CORS on every answer.
//!
//! This is done around each handler rather than in middleware, for the sake of those that wait:
//! so a waiting request costs one future, and that holds the request once.

use std::future::ready;
use std::rc::Rc;

use brigade::http::{Methods, Request, Response, any};
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
pub(crate) fn at_once(allowed: Allowed, answer: impl Fn(&Request) -> Answer + 'static) -> Methods {
    any(move |request| ready(answered(&request, &allowed, &answer)))
}

/// What an endpoint of [`at_once`] answers.
pub(crate) fn answered(
    request: &Request,
    allowed: &Allowed,
    answer: impl Fn(&Request) -> Answer,
) -> Response {
    let response = cors::preflight(request).unwrap_or_else(|| {
        let answer = allowed.check(request).and_then(|()| answer(request));
        answer.unwrap_or_else(Failure::into_response)
    });
    cors::allow(request, response)
}

/// An endpoint that waits: for a body, or for the time to come.
pub(crate) fn in_time<F>(allowed: Allowed, answer: F) -> Methods
where
    F: AsyncFn(&mut Request) -> Answer + 'static,
{
    let answer = Rc::new((allowed, answer));
    any(move |mut request| {
        let answer = answer.clone();
        async move {
            let (allowed, answer) = &*answer;
            let response = match (cors::preflight(&request), allowed.check(&request)) {
                (Some(preflight), _) => preflight,
                (None, Err(failure)) => failure.into_response(),
                (None, Ok(())) => answer(&mut request).await.unwrap_or_else(Failure::into_response),
            };
            cors::allow(&request, response)
        }
    })
}
