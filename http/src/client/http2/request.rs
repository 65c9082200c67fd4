//! Requests as h2 sends them.

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, Version};

use crate::client::exchange::Outline;
use crate::protocol::body_encoder::BodyLength;
use crate::protocol::encode::check_request;
use crate::protocol::error::EncodeError;
use crate::protocol::headers::Headers;
use crate::protocol::syntax::{list_contains, trim_ows};

/// Headers that have no meaning in HTTP/2 (RFC 9113 section 8.2.2).
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// A request that can be sent, without its body.
pub(super) struct Converted {
    pub(super) request: Request<()>,
    /// The length of its body, if that is known.
    pub(super) length: Option<u64>,
}

/// Converts a request, by the rules of HTTP/1.1. The headers that are about a connection of that
/// are left out, and the host becomes the authority (RFC 9113 section 8.3.1).
pub(super) fn convert(outline: &Outline, length: BodyLength) -> Result<Converted, EncodeError> {
    let target = &outline.target;
    let checked =
        check_request(&outline.method, &target.path, &target.authority, &outline.headers, length)?;
    let authority = Authority::try_from(checked.host).map_err(|_| EncodeError::Host)?;
    let uri = Uri::builder()
        .scheme(Scheme::HTTPS)
        .authority(authority)
        .path_and_query(target.path.as_str())
        .build()
        .map_err(|_| EncodeError::Target)?;
    let mut headers = converted(&outline.headers);
    if let Some(length) = checked.content_length {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    let mut request = Request::new(());
    *request.method_mut() = outline.method.clone();
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = headers;
    Ok(Converted { request, length: checked.length })
}

fn converted(headers: &Headers) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(headers.len());
    let options = || headers.iter().filter(|(name, _)| *name == CONNECTION);
    for (name, value) in headers {
        let is_named = || {
            let name = name.as_str().as_bytes();
            options().any(|(_, options)| list_contains(options.as_bytes(), name))
        };
        if *name == TE {
            // Nothing else of it has a meaning, also if `Connection` names it.
            if list_contains(value.as_bytes(), b"trailers") {
                map.insert(TE, HeaderValue::from_static("trailers"));
            }
        } else if !is_of_the_connection(name) && !is_named() {
            map.append(name, trimmed(value));
        }
    }
    map
}

/// Returns `true` for headers that are not sent, or are sent in another form.
fn is_of_the_connection(name: &HeaderName) -> bool {
    const ALL: [HeaderName; 7] = [
        CONNECTION,
        CONTENT_LENGTH,
        HOST,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        TRANSFER_ENCODING,
        UPGRADE,
    ];
    ALL.contains(name)
}

/// Returns a value without the white space at its ends, which HTTP/2 forbids and HTTP/1.1 ignores
/// (RFC 9113 section 8.2.1).
fn trimmed(value: &HeaderValue) -> HeaderValue {
    let bytes = trim_ows(value.as_bytes());
    if bytes.len() == value.len() {
        return value.clone();
    }
    let mut trimmed = HeaderValue::from_bytes(bytes).expect("a part of a value is a value");
    trimmed.set_sensitive(value.is_sensitive());
    trimmed
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::client::target::Target;

    fn outline(method: Method, lines: &[(&str, &str)]) -> Outline {
        let mut headers = Headers::new();
        for (name, value) in lines {
            let value = HeaderValue::from_str(value).unwrap();
            headers.append(HeaderName::try_from(*name).unwrap(), value);
        }
        let target = Target::parse("https://example.org:8443/a?b").unwrap();
        Outline { method, target, headers, deadline: None }
    }

    fn sent(lines: &[(&str, &str)]) -> Vec<String> {
        let outline = outline(Method::GET, lines);
        let converted = convert(&outline, BodyLength::Empty).unwrap();
        let headers = converted.request.headers().iter();
        headers.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    #[test]
    fn headers_of_a_connection_are_left_out() {
        let lines = [
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("accept", "*/*"),
        ];
        assert_eq!(sent(&lines), ["accept: */*"]);
    }

    #[test]
    fn of_te_only_trailers_are_sent() {
        assert_eq!(sent(&[("te", "gzip;q=0.5, trailers"), ("connection", "te")]), ["te: trailers"]);
        assert!(sent(&[("te", "gzip")]).is_empty());
    }

    #[test]
    fn white_space_around_a_value_is_not_sent() {
        assert_eq!(sent(&[("x-a", " b\t"), ("x-c", "d e")]), ["x-a: b", "x-c: d e"]);
    }

    #[test]
    fn the_host_is_the_authority() {
        let authority = |lines: &[(&str, &str)]| {
            let request = convert(&outline(Method::GET, lines), BodyLength::Empty).unwrap().request;
            assert!(!request.headers().contains_key(HOST));
            request.uri().authority().unwrap().to_string()
        };
        assert_eq!(authority(&[]), "example.org:8443");
        assert_eq!(authority(&[("host", "other.example")]), "other.example");
        let malformed = outline(Method::GET, &[("host", "a b")]);
        let error = convert(&malformed, BodyLength::Empty).map(|_| ()).unwrap_err();
        assert_eq!(error, EncodeError::Host);
    }

    #[test]
    fn the_length_is_that_of_the_body_as_over_http1() {
        let length = |method, lines: &[(&str, &str)], length| {
            convert(&outline(method, lines), length).map(|converted| {
                let header = converted.request.headers().get(CONTENT_LENGTH);
                (header.map(|value| value.to_str().unwrap().to_owned()), converted.length)
            })
        };
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(length(Method::GET, &[], BodyLength::Empty), Ok((None, Some(0))));
        assert_eq!(length(Method::POST, &[], BodyLength::Empty), Ok((text("0"), Some(0))));
        assert_eq!(length(Method::PUT, &[], BodyLength::Known(5)), Ok((text("5"), Some(5))));
        assert_eq!(length(Method::PUT, &[], BodyLength::Unknown), Ok((None, None)));
        let declared = [("content-length", "7")];
        let known = length(Method::PUT, &declared, BodyLength::Unknown);
        assert_eq!(known, Ok((text("7"), Some(7))));
        let other = length(Method::PUT, &declared, BodyLength::Known(5));
        assert_eq!(other, Err(EncodeError::ContentLength));
        let encoded = [("transfer-encoding", "chunked")];
        let encoded = length(Method::PUT, &encoded, BodyLength::Unknown);
        assert_eq!(encoded, Err(EncodeError::TransferEncoding));
    }
}
