//! Cross-origin requests: pages of every site may read the responses.

use brigade::http::{Request, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, HeaderValue, VARY,
};
use http::{Method, StatusCode};

const METHODS: &str = "GET, POST, HEAD, PUT, DELETE, PATCH, OPTIONS";

/// Returns the response to `OPTIONS` for any path; `None` for other methods.
pub(crate) fn preflight(request: &Request) -> Option<Response> {
    if *request.method() != Method::OPTIONS {
        return None;
    }
    let mut response = Response::empty(StatusCode::OK)
        .with_header(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS))
        .with_header(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600"))
        .with_header(VARY, HeaderValue::from_static("Access-Control-Request-Headers"));
    if let Some(headers) = echoed(request, "access-control-request-headers") {
        response.headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, headers);
    }
    Some(response)
}

/// Adds the headers that let the page which sent `request` read `response`.
pub(crate) fn allow(request: &Request, mut response: Response) -> Response {
    let origin = echoed(request, "origin").unwrap_or(HeaderValue::from_static("*"));
    response.headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    response.headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    // A cache must not give a page the response for another one.
    response.headers.append(VARY, HeaderValue::from_static("Origin"));
    response
}

fn echoed(request: &Request, name: &str) -> Option<HeaderValue> {
    let value = request.header(name).filter(|value| !value.is_empty())?;
    HeaderValue::from_bytes(value).ok()
}
