//! Layers: functions that wrap handlers.

use std::rc::Rc;

use http::header::ALLOW;
use http::{HeaderValue, StatusCode};

use crate::message::request::Request;
use crate::message::response::{IntoResponse, Response};
use crate::protocol::error::ProtocolError;
use crate::routing::handler::{Endpoint, Handler, Next};

/// Wraps an endpoint into another one.
pub(super) type Layer = Rc<dyn Fn(Rc<dyn Endpoint>) -> Rc<dyn Endpoint>>;

/// Makes a layer of a middleware.
pub(super) fn layer<F, Fut>(middleware: F) -> Layer
where
    F: Fn(Request, Next) -> Fut + 'static,
    Fut: Future + 'static,
    Fut::Output: IntoResponse,
{
    let middleware = Rc::new(middleware);
    Rc::new(move |endpoint| {
        let middleware = middleware.clone();
        Handler::endpoint(move |request| middleware(request, Next { endpoint: endpoint.clone() }))
    })
}

/// Wraps `endpoint` into `layers`, the first of which is the innermost.
pub(super) fn layered(endpoint: Rc<dyn Endpoint>, layers: &[Layer]) -> Rc<dyn Endpoint> {
    layers.iter().fold(endpoint, |inner, layer| layer(inner))
}

/// Returns an endpoint whose response is always `status`, with `allow` as its `Allow` header.
pub(super) fn status_endpoint(status: StatusCode, allow: Option<HeaderValue>) -> Rc<dyn Endpoint> {
    Handler::endpoint(move |_| {
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
    Handler::endpoint(move |_| std::future::ready(error))
}
