//! An application that shows axum's middleware and tower-http's layers.

use std::any::Any;
use std::time::Duration;

use axum::Router;
use axum::error_handling::HandleErrorLayer;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use brigade::bridge::send;
use brigade::time;
use tower::{BoxError, ServiceBuilder};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{Any as AnyOrigin, CorsLayer};
use tower_http::decompression::RequestDecompressionLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::propagate_header::PropagateHeaderLayer;
use tower_http::request_id::{
    MakeRequestId, PropagateRequestIdLayer, RequestId, SetRequestIdLayer,
};
use tower_http::sensitive_headers::SetSensitiveHeadersLayer;
use tower_http::set_header::{SetRequestHeaderLayer, SetResponseHeaderLayer};
use tower_http::set_status::SetStatusLayer;
use tower_http::trace::TraceLayer;
use tower_http::validate_request::ValidateRequestHeaderLayer;

/// How long a handler may take.
pub(crate) const TIME_LIMIT: Duration = Duration::from_millis(20);
const TRACE_ID: HeaderName = HeaderName::from_static("x-trace");
const STEP: HeaderName = HeaderName::from_static("x-step");

/// Makes the same id for each request, so that responses can be compared.
#[derive(Clone)]
struct SameId;

impl MakeRequestId for SameId {
    fn make_request_id<B>(&mut self, _: &axum::http::Request<B>) -> Option<RequestId> {
        Some(RequestId::new(HeaderValue::from_static("id-1")))
    }
}

/// Shows the headers that layers have set.
async fn show(request: Request) -> String {
    let value = |name: &HeaderName| request.headers().get_all(name).iter().collect::<Vec<_>>();
    format!("{:?} {:?} {:?}", value(&STEP), value(&TRACE_ID), value(&header::AUTHORIZATION))
}

fn long() -> MethodRouter {
    get(|| async { "a line that is sent again and again\n".repeat(100) })
}

fn panicked(cause: Box<dyn Any + Send + 'static>) -> Response {
    let cause = cause.downcast_ref::<&str>().copied().unwrap_or("unknown");
    (StatusCode::INTERNAL_SERVER_ERROR, format!("caught: {cause}")).into_response()
}

/// Lets nobody pass but those with a key.
async fn authorize(request: Request, next: Next) -> Result<Response, StatusCode> {
    let key = request.headers().get(header::AUTHORIZATION);
    if key.is_none_or(|key| key != "Bearer key") {
        return Err(StatusCode::UNAUTHORIZED);
    }
    Ok(next.run(request).await)
}

async fn count_length(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, 10_000).await.unwrap();
    parts.headers.insert("x-length", body.len().into());
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, body.into())
}

fn middlewares() -> Router {
    let refuse = |error: BoxError| async move { (StatusCode::BAD_GATEWAY, format!("no: {error}")) };
    let fail = tower::filter::FilterLayer::new(|request: Request| {
        if request.uri().query() == Some("fail") { Err("as asked") } else { Ok(request) }
    });
    let failing = ServiceBuilder::new().layer(HandleErrorLayer::new(refuse)).layer(fail);
    let step = |request: Request, next: Next| async move {
        let mut response = next.run(request).await;
        response.headers_mut().append("x-order", HeaderValue::from_static("inner"));
        response
    };
    let outer = |request: Request, next: Next| async move {
        let mut response = next.run(request).await;
        response.headers_mut().append("x-order", HeaderValue::from_static("outer"));
        response
    };
    Router::new()
        .route("/authorized", get(show).layer(middleware::from_fn(authorize)))
        .route("/mapped", long().layer(middleware::map_response(count_length)))
        .route("/failing", get(show).layer(failing))
        .route(
            "/ordered",
            get(show).layer(middleware::from_fn(step)).layer(middleware::from_fn(outer)),
        )
        .route_layer(SetResponseHeaderLayer::appending(
            HeaderName::from_static("x-route"),
            HeaderValue::from_static("found"),
        ))
}

fn tower_http() -> Router {
    let cors = CorsLayer::new()
        .allow_origin(["https://one.example".parse().unwrap()])
        .allow_methods([Method::GET, Method::PUT])
        .allow_headers([header::CONTENT_TYPE])
        .allow_credentials(true)
        .max_age(Duration::from_secs(60));
    let open = CorsLayer::new().allow_origin(AnyOrigin).expose_headers([STEP]);
    let set = SetRequestHeaderLayer::overriding(STEP, HeaderValue::from_static("set"));
    let ids = ServiceBuilder::new()
        .layer(SetRequestIdLayer::new(TRACE_ID, SameId))
        .layer(PropagateRequestIdLayer::new(TRACE_ID));
    let panics = || async { panic!("on purpose") as &'static str };
    let accept = ValidateRequestHeaderLayer::accept("application/json");
    let hidden = SetSensitiveHeadersLayer::new([header::AUTHORIZATION]);
    let echo = |body: String| async move { body };
    Router::new()
        .route("/traced", get(show).layer(TraceLayer::new_for_http()))
        .route("/cors", get(show).put(show).layer(cors))
        .route("/open-cors", get(show).layer(open))
        .route("/compressed", long().layer(CompressionLayer::new()))
        .route("/decompressed", post(echo).layer(RequestDecompressionLayer::new()))
        .route("/set", get(show).layer(set))
        .route("/id", get(show).layer(ids))
        .route("/json-only", get(show).layer(accept))
        .route("/hidden", get(show).layer(hidden))
        .route("/propagated", get(show).layer(PropagateHeaderLayer::new(STEP)))
        .route("/status", get(show).layer(SetStatusLayer::new(StatusCode::ACCEPTED)))
        .route("/limited", post(echo).layer(RequestBodyLimitLayer::new(10)))
        .route("/caught", get(panics).layer(CatchPanicLayer::custom(panicked)))
}

pub(crate) fn layers() -> Router {
    middlewares().merge(tower_http()).layer(SetResponseHeaderLayer::if_not_present(
        header::SERVER,
        HeaderValue::from_static("axum"),
    ))
}

/// Limits the time of handlers by brigade's timer, as tower-http's `TimeoutLayer` does by tokio's.
pub(crate) async fn time_limit(request: Request, next: Next) -> Response {
    let limited = send(time::timeout(TIME_LIMIT, next.run(request))).await;
    limited.unwrap_or_else(|_| StatusCode::REQUEST_TIMEOUT.into_response())
}
