//! Layers: functions around handlers.

use std::rc::Rc;

use http::header::ALLOW;
use http::{HeaderValue, StatusCode};

use crate::message::request::Request;
use crate::message::response::{IntoResponse, Response};
use crate::routing::handler::{Endpoint, Handler, Next};

pub(super) type Layer = Rc<dyn Fn(Rc<dyn Endpoint>) -> Rc<dyn Endpoint>>;

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

pub(super) fn layered(endpoint: Rc<dyn Endpoint>, layers: &[Layer]) -> Rc<dyn Endpoint> {
    layers.iter().fold(endpoint, |inner, layer| layer(inner))
}

/// Always the same answer.
pub(super) fn fixed(status: StatusCode, allow: Option<HeaderValue>) -> Rc<dyn Endpoint> {
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
