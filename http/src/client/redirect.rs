//! What becomes of a request when its response is a redirect: method, body and headers, as browsers
//! do it (Fetch Standard, "HTTP-redirect fetch").

use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION,
    CONTENT_TYPE, COOKIE, EXPECT, HOST, LAST_MODIFIED, LOCATION, PROXY_AUTHORIZATION, TRAILER,
};
use http::{HeaderName, Method, StatusCode};

use crate::client::exchange::Outline;
use crate::message::body::Body;
use crate::message::client_error::ClientErrorKind;
use crate::protocol::head::ResponseHead;

/// Describes the body, so they mean nothing without it (RFC 9110 section 15.4).
const OF_THE_BODY: [HeaderName; 8] = [
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    CONTENT_LOCATION,
    CONTENT_TYPE,
    EXPECT,
    LAST_MODIFIED,
    TRAILER,
];

/// Meant for the server that the request was built for, and not for any other.
const OF_THE_SERVER: [HeaderName; 4] = [AUTHORIZATION, COOKIE, HOST, PROXY_AUTHORIZATION];

/// Returns where the response redirects to, if it does.
pub(super) fn location(head: &ResponseHead) -> Option<&[u8]> {
    let is_redirect = matches!(
        head.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    is_redirect.then(|| head.header(LOCATION.as_str())).flatten()
}

/// Turns a request into the one that follows a redirect to `location`. `again` is its body if that
/// can be sent again. Returns the body of the next request.
pub(super) fn follow(
    outline: &mut Outline,
    status: StatusCode,
    location: &[u8],
    again: Option<Body>,
) -> Result<Body, ClientErrorKind> {
    let refused = |reason| {
        let location = String::from_utf8_lossy(location).into();
        ClientErrorKind::Redirect { location, reason }
    };
    let target = outline.target.join(location).map_err(refused)?;
    let body = if becomes_get(&outline.method, status) {
        outline.method = Method::GET;
        OF_THE_BODY.iter().for_each(|name| {
            outline.headers.remove(name);
        });
        Body::empty()
    } else {
        again.ok_or_else(|| {
            refused("the body of the request is a stream, which cannot be sent again")
        })?
    };
    if target.origin != outline.target.origin {
        OF_THE_SERVER.iter().for_each(|name| {
            outline.headers.remove(name);
        });
    }
    outline.target = target;
    Ok(body)
}

/// Returns `true` if the next request is a `GET` without a body.
fn becomes_get(method: &Method, status: StatusCode) -> bool {
    match status {
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => *method == Method::POST,
        StatusCode::SEE_OTHER => *method != Method::GET && *method != Method::HEAD,
        _ => false,
    }
}
