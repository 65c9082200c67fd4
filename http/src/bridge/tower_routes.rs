//! Services of tower as routes.

use std::future::poll_fn;

use tower_service::Service;

use crate::bridge::http_response::from_http;
use crate::bridge::to_http::{to_http, without_segments};
use crate::message::body_error::BoxError;
use crate::message::handler_error::HandlerError;
use crate::message::request::Request;
use crate::message::response::Response;
use crate::message::send_body::SendBody;
use crate::routing::method_router::any;
use crate::routing::router::Router;

/// # Services of tower, such as an axum router (feature `tower`)
///
/// A service receives the request with a body that is read as it arrives. Among its extensions are
/// the address of the client, as a [`PeerAddr`](brigade_runtime::net::PeerAddr) and, over TCP, as a
/// [`Peer`](crate::Peer), and what layers have put into the extension `http::Extensions`. The
/// service needs to be neither `Send` nor `Sync`, and is cloned for each request. If its future
/// fails, the response is a 500, and the error is logged. If the client disconnects, the future is
/// dropped.
impl Router {
    /// Handles the requests for `path`, of all methods, by a service of tower. The service sees the
    /// whole path.
    ///
    /// # Panics
    /// As [`Router::route`] does.
    ///
    /// # Examples
    /// ```
    /// use brigade_http::Router;
    ///
    /// let axum = axum::Router::new().route("/about", axum::routing::get(|| async { "axum" }));
    /// let router = Router::new().route_service("/about", axum);
    /// ```
    #[must_use]
    pub fn route_service<S, B>(self, path: &str, service: S) -> Self
    where
        S: Service<http::Request<SendBody>, Response = http::Response<B>> + Clone + 'static,
        S::Error: Into<BoxError>,
        B: http_body::Body + 'static,
        B::Error: Into<BoxError>,
    {
        self.route(path, any(respond(service, 0)))
    }

    /// Handles the requests below `prefix` that no route matches by a service of tower, which sees
    /// the path without the prefix, as with [`Router::nest`].
    ///
    /// # Panics
    /// As [`Router::nest`] does.
    #[must_use]
    pub fn nest_service<S, B>(self, prefix: &str, service: S) -> Self
    where
        S: Service<http::Request<SendBody>, Response = http::Response<B>> + Clone + 'static,
        S::Error: Into<BoxError>,
        B: http_body::Body + 'static,
        B::Error: Into<BoxError>,
    {
        let segments = prefix.split('/').filter(|segment| !segment.is_empty()).count();
        self.nest(prefix, Self::new().fallback(respond(service, segments)))
    }

    /// Handles the requests that no route matches by a service of tower.
    ///
    /// # Examples
    /// ```
    /// use axum::extract::Path;
    /// use brigade_http::{Router, get};
    ///
    /// async fn greet(Path(name): Path<String>) -> String {
    ///     format!("Hello, {name}!")
    /// }
    ///
    /// let axum = axum::Router::new().route("/greet/{name}", axum::routing::get(greet));
    /// let router = Router::new().route("/", get(async || "brigade")).fallback_service(axum);
    /// ```
    #[must_use]
    pub fn fallback_service<S, B>(self, service: S) -> Self
    where
        S: Service<http::Request<SendBody>, Response = http::Response<B>> + Clone + 'static,
        S::Error: Into<BoxError>,
        B: http_body::Body + 'static,
        B::Error: Into<BoxError>,
    {
        self.fallback(respond(service, 0))
    }
}

/// Returns a handler that calls a clone of `service` without the first `segments` of the path.
fn respond<S, B>(
    service: S,
    segments: usize,
) -> impl AsyncFn(Request) -> Result<Response, HandlerError>
where
    S: Service<http::Request<SendBody>, Response = http::Response<B>> + Clone + 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body + 'static,
    B::Error: Into<BoxError>,
{
    async move |request: Request| {
        let mut request = to_http(request);
        if segments > 0 {
            *request.uri_mut() = without_segments(request.uri(), segments);
        }
        call(service.clone(), request).await
    }
}

/// Calls a service once it is ready.
///
/// # Errors
/// A 500 if the service fails.
pub(super) async fn call<S, R, B>(mut service: S, request: R) -> Result<Response, HandlerError>
where
    S: Service<R, Response = http::Response<B>>,
    S::Error: Into<BoxError>,
    B: http_body::Body + 'static,
    B::Error: Into<BoxError>,
{
    poll_fn(|cx| service.poll_ready(cx)).await.map_err(HandlerError::internal)?;
    let response = service.call(request).await.map_err(HandlerError::internal)?;
    Ok(from_http(response).await)
}
