//! Layers of tower around our handlers.

use std::cell::RefCell;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use send_wrapper::SendWrapper;
use tower_layer::Layer as TowerLayer;
use tower_service::Service;

use crate::bridge::from_http::from_http;
use crate::bridge::http_response::{into_body, to_http};
use crate::bridge::to_http::without_body;
use crate::bridge::tower_routes::call;
use crate::message::body_error::BoxError;
use crate::message::request::Request;
use crate::message::response::{IntoResponse, Response};
use crate::message::send_body::SendBody;
use crate::protocol::error::ProtocolError;
use crate::protocol::framing::Framing;
use crate::protocol::limits::{BODY_BYTES_MAX, Limits};
use crate::routing::endpoint::{FnEndpoint, Next, Running};
use crate::routing::layers::Layer;
use crate::routing::router::Router;

/// # Layers of tower (feature `tower`)
impl Router {
    /// Wraps what the router holds so far into a layer of tower, as [`Router::layer`] does.
    ///
    /// The layer may change the request and its body, and the response and its body. What it puts
    /// among the extensions of the request is found there by handlers, in `http::Extensions`:
    /// `request.extensions().get::<http::Extensions>()`. If it fails, the response is a 500, and
    /// the error is logged. Layers that set timers need a runtime of tokio; use
    /// [`MethodRouter::timeout`](crate::MethodRouter::timeout) instead.
    ///
    /// A body that the layer makes, such as a decompressed one, may be as long as its route allows
    /// ([`MethodRouter::body_limit`](crate::MethodRouter::body_limit)), or else as
    /// [`BODY_BYTES_MAX`](crate::limits::BODY_BYTES_MAX) or its `Content-Length`.
    ///
    /// # Examples
    /// ```
    /// use brigade_http::{Router, get};
    /// use tower_http::cors::CorsLayer;
    ///
    /// let router =
    ///     Router::new().route("/", get(async || "hello")).tower_layer(CorsLayer::permissive());
    /// ```
    #[must_use]
    pub fn tower_layer<L, B>(self, layer: L) -> Self
    where
        L: TowerLayer<HandlerService> + 'static,
        L::Service:
            Service<http::Request<SendBody>, Response = http::Response<B>> + Clone + 'static,
        <L::Service as Service<http::Request<SendBody>>>::Error: Into<BoxError>,
        B: http_body::Body + 'static,
        B::Error: Into<BoxError>,
    {
        let layer: Layer = Rc::new(move |endpoint| {
            let service = layer.layer(HandlerService { next: Next { endpoint } });
            FnEndpoint::endpoint(move |request| call(service.clone(), detach(request)))
        });
        self.with_layer(&layer)
    }
}

/// The handlers of a router as a service, around which a layer of tower is put; see
/// [`Router::tower_layer`]. It never fails.
#[derive(Clone)]
pub struct HandlerService {
    next: Next,
}

/// The response of a [`HandlerService`].
pub struct HandlerFuture {
    state: State,
}

enum State {
    Running(Running),
    /// The request could not be passed on.
    Refused(Option<Response>),
}

/// Returns the limits of a head that a layer has changed. The server has checked the original.
fn wide_limits() -> Limits {
    Limits {
        method_bytes_max: u16::MAX,
        target_bytes_max: u16::MAX,
        head_bytes_max: u16::MAX,
        headers_count_max: u8::MAX,
        ..Limits::default()
    }
}

/// The request as it was before the layer, without its body. It is among the extensions of the
/// request that the layer receives.
#[derive(Clone)]
struct Original(SendWrapper<Rc<RefCell<Option<Request>>>>);

/// Converts a request for a layer.
fn detach(mut request: Request) -> http::Request<SendBody> {
    let body = std::mem::take(request.body_mut());
    let mut detached = without_body(&request).map(|()| body.into_send());
    let original = Original(SendWrapper::new(Rc::new(RefCell::new(Some(request)))));
    detached.extensions_mut().insert(original);
    detached
}

/// Returns the request that a layer passes on, with the route and the extensions that it had.
///
/// # Errors
/// If the layer has made a request of it that a server would refuse.
fn attach<B>(mut changed: http::Request<B>) -> Result<Request, ProtocolError>
where
    B: http_body::Body + 'static,
    B::Error: Into<BoxError>,
{
    let original = changed.extensions_mut().remove::<Original>();
    let Some(mut original) = original.and_then(|original| original.0.borrow_mut().take()) else {
        return from_http(changed, &Limits::default());
    };
    let is_same = changed.method() == original.method()
        && changed.headers() == original.headers()
        && *changed.uri() == original.uri();
    if is_same {
        let (parts, body) = changed.into_parts();
        original.extensions_mut().insert(parts.extensions);
        let limit = limit_of(&original);
        return Ok(original.with_body(into_body(body).limited(limit)));
    }
    let limit = limit_of(&original);
    let mut changed = from_http(changed, &wide_limits())?.map_body(|body| body.limited(limit));
    let (new, old) = (&mut changed.parts, &mut original.parts);
    // Parameters are parts of the path.
    if new.head.path() == old.head.path() {
        std::mem::swap(&mut new.params, &mut old.params);
    }
    new.head.version = old.head.version;
    new.route = old.route.take();
    new.pipe = old.pipe.take();
    std::mem::swap(&mut new.extensions, &mut old.extensions);
    if let Some(added) = old.extensions.remove::<http::Extensions>() {
        new.extensions.insert(added);
    }
    Ok(changed)
}

/// Returns how long a body may be that a layer has made: it may be a decompressed one.
fn limit_of(request: &Request) -> u64 {
    let of_route = request.parts.route.as_ref().and_then(|route| route.options.body_bytes_max);
    let announced = match request.framing() {
        Framing::Length(length) => length,
        _ => 0,
    };
    of_route.unwrap_or(BODY_BYTES_MAX.max(announced))
}

impl<B> Service<http::Request<B>> for HandlerService
where
    B: http_body::Body + 'static,
    B::Error: Into<BoxError>,
{
    type Response = http::Response<SendBody>;
    type Error = Infallible;
    type Future = HandlerFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> HandlerFuture {
        let state = match attach(request) {
            Ok(request) => State::Running(self.next.endpoint.call(request)),
            Err(error) => State::Refused(Some(error.into_response())),
        };
        HandlerFuture { state }
    }
}

impl Future for HandlerFuture {
    type Output = Result<http::Response<SendBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = match &mut self.state {
            State::Running(running) => ready!(Pin::new(running).poll(cx)),
            State::Refused(response) => response.take().expect("the future has not been ready"),
        };
        Poll::Ready(Ok(to_http(response)))
    }
}

impl fmt::Debug for HandlerService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandlerService")
    }
}

impl fmt::Debug for HandlerFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandlerFuture")
    }
}
