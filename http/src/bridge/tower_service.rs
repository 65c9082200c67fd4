//! Our router as a service of tower and hyper.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::bridge::from_http::from_http;
use crate::bridge::http_response::to_http;
use crate::message::body_error::BoxError;
use crate::message::response::{IntoResponse, Response};
use crate::message::send_body::SendBody;
use crate::protocol::limits::Limits;
use crate::routing::router::Router;
use crate::routing::service::Service;

/// A router as a [`tower_service::Service`] and, with the feature `hyper`, as a service of hyper;
/// see [`Router::into_tower_service`].
#[derive(Clone)]
pub struct TowerService {
    service: Rc<Service>,
}

/// The response of a [`TowerService`].
pub struct ServiceFuture {
    response: Pin<Box<dyn Future<Output = Response>>>,
}

impl Router {
    /// Converts the router into a service of tower, for other servers and for tests. Its clones
    /// share the router.
    ///
    /// A request is checked as a server checks it, with the default [`Limits`](crate::Limits): what
    /// a server refuses gets the same response. The address of the client is taken from a
    /// [`PeerAddr`](brigade_runtime::net::PeerAddr) or [`Peer`](crate::Peer) among its extensions,
    /// and is `0.0.0.0:0` if there is none. The extensions are themselves an extension of the
    /// request that handlers see: `http::Extensions`. Responses that start another protocol are not
    /// supported, and become a 426.
    ///
    /// # Panics
    /// As [`Router::into_service`] does.
    ///
    /// # Examples
    /// ```
    /// use brigade_http::{Body, Router, get};
    /// use tower_service::Service;
    ///
    /// let mut service = Router::new().route("/", get(async || "hello")).into_tower_service();
    /// let response = service.call(http::Request::new(Body::empty()));
    /// let response = brigade_runtime::run(response).unwrap();
    /// assert_eq!(response.status(), 200);
    /// ```
    #[must_use]
    pub fn into_tower_service(self) -> TowerService {
        TowerService { service: Rc::new(self.into_service()) }
    }
}

impl TowerService {
    fn respond<B>(&self, request: http::Request<B>) -> ServiceFuture
    where
        B: http_body::Body + 'static,
        B::Error: Into<BoxError>,
    {
        let request = from_http(request, &Limits::default());
        let service = self.service.clone();
        let response = Box::pin(async move {
            match request {
                Ok(request) => service.call(request).await,
                Err(error) => error.into_response(),
            }
        });
        ServiceFuture { response }
    }
}

impl<B> tower_service::Service<http::Request<B>> for TowerService
where
    B: http_body::Body + 'static,
    B::Error: Into<BoxError>,
{
    type Response = http::Response<SendBody>;
    type Error = Infallible;
    type Future = ServiceFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> ServiceFuture {
        self.respond(request)
    }
}

#[cfg(feature = "hyper")]
impl<B> ::hyper::service::Service<http::Request<B>> for TowerService
where
    B: http_body::Body + 'static,
    B::Error: Into<BoxError>,
{
    type Response = http::Response<SendBody>;
    type Error = Infallible;
    type Future = ServiceFuture;

    fn call(&self, request: http::Request<B>) -> ServiceFuture {
        self.respond(request)
    }
}

impl Future for ServiceFuture {
    type Output = Result<http::Response<SendBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.response.as_mut().poll(cx).map(|mut response| {
            if response.is_upgrade() {
                response.refuse_upgrade();
            }
            Ok(to_http(response))
        })
    }
}

impl fmt::Debug for TowerService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TowerService")
    }
}

impl fmt::Debug for ServiceFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceFuture")
    }
}
