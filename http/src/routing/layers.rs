//! Layers: functions that wrap handlers.

use std::rc::Rc;

use http::header::ALLOW;
use http::{HeaderValue, StatusCode};

use crate::message::guarded::GuardedFuture;
use crate::message::request::Request;
use crate::message::response::{IntoResponse, Response};
use crate::protocol::error::ProtocolError;
use crate::routing::endpoint::{Endpoint, FnEndpoint, Next};

/// Wraps an endpoint into another one.
pub(crate) type Layer = Rc<dyn Fn(Rc<dyn Endpoint>) -> Rc<dyn Endpoint>>;

/// Makes a layer of a middleware.
pub(super) fn layer<F, R>(middleware: F) -> Layer
where
    F: AsyncFn(Request, Next) -> R + 'static,
    R: IntoResponse,
{
    let middleware = Rc::new(middleware);
    Rc::new(move |endpoint| {
        let middleware = middleware.clone();
        FnEndpoint::endpoint(move |request| {
            let (middleware, next) = (middleware.clone(), Next { endpoint: endpoint.clone() });
            async move { GuardedFuture::new(middleware(request, next)).await }
        })
    })
}

/// Wraps `endpoint` into `layers`, the first of which is the innermost.
pub(super) fn layered(endpoint: Rc<dyn Endpoint>, layers: &[Layer]) -> Rc<dyn Endpoint> {
    layers.iter().fold(endpoint, |inner, layer| layer(inner))
}

/// Returns a layer that adds an `Allow` header to a 405 that has none.
pub(super) fn allow_layer(allow: HeaderValue) -> Layer {
    layer(move |request, next: Next| {
        let allow = allow.clone();
        async move {
            let mut response = next.run(request).await;
            let is_refusal = response.status == StatusCode::METHOD_NOT_ALLOWED;
            if is_refusal && !response.headers.contains(&ALLOW) {
                response.headers.insert(ALLOW, allow);
            }
            response
        }
    })
}

/// Returns an endpoint whose response is always `status`, with `allow` as its `Allow` header.
pub(super) fn status_endpoint(status: StatusCode, allow: Option<HeaderValue>) -> Rc<dyn Endpoint> {
    FnEndpoint::endpoint(move |_| {
        let mut response = match status.is_success() {
            true => Response::empty(status),
            false => Response::plain(status, ""),
        };
        if let Some(allow) = allow.clone() {
            response.headers.insert(ALLOW, allow);
        }
        std::future::ready(response)
    })
}

/// Returns an endpoint whose response is always the one to `error`.
pub(super) fn error_endpoint(error: ProtocolError) -> Rc<dyn Endpoint> {
    FnEndpoint::endpoint(move |_| std::future::ready(error))
}
