//! `/range/{n}`: the alphabet, repeated, whole or in parts.

use std::ops::Range;

use brigade::http::{Request, Response};
use brigade::time::sleep;
use bytes::Bytes;
use http::header::{ACCEPT_RANGES, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderValue};
use http::{Method, StatusCode};

use crate::byte_range::{self, Wanted};
use crate::failure::{EndpointResult, Failure};
use crate::go_duration::GoDuration;
use crate::params::{self, Params};

const BYTES_MAX: u64 = 1024 * 1024;
const TEXT: &str = "text/plain; charset=utf-8";

/// Waits for `duration`, then sends what the request's `Range` asks for.
pub(crate) async fn range(request: &mut Request, max: GoDuration) -> EndpointResult {
    let params = Params::of(request, &["duration"])?;
    let size = params::path_number(request, "count", "count", 1..=BYTES_MAX)?;
    let wait = params.duration("duration", GoDuration::ZERO, GoDuration::ZERO..=max)?;
    sleep(wait.to_std()).await;
    let tag = format!("\"range{size}\"");
    let mut response = match is_known(request, &tag) {
        true => Response::empty(StatusCode::NOT_MODIFIED),
        false => match wanted(request, &tag, size) {
            Wanted::All => Response::typed(TEXT, alphabet(0..size)),
            Wanted::Nothing => return Err(unsatisfiable(size)),
            Wanted::Parts(parts) => match &*parts {
                [part] => one_part(part.clone(), size),
                parts => many_parts(parts, size),
            },
        },
    };
    response.headers.insert(ETAG, header(tag));
    response.headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    Ok(response)
}

/// Returns `true` if the client already has the version `tag` (RFC 9110 section 13.1.2).
fn is_known(request: &Request, tag: &str) -> bool {
    let known = header_text(request, "if-none-match").unwrap_or_default();
    known
        .split(',')
        .map(str::trim)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

/// Returns what to send. `Range` applies only to `GET`, and only if `If-Range` names this version.
fn wanted(request: &Request, tag: &str, size: u64) -> Wanted {
    let is_current = header_text(request, "if-range").is_none_or(|wanted| wanted == tag);
    match header_text(request, "range") {
        Some(range) if is_current && *request.method() == Method::GET => {
            byte_range::parse(range, size)
        }
        _ => Wanted::All,
    }
}

fn header_text<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    str::from_utf8(request.header(name)?).ok()
}

fn alphabet(part: Range<u64>) -> Bytes {
    part.map(|offset| b'a' + (offset % 26) as u8).collect::<Vec<_>>().into()
}

fn one_part(part: Range<u64>, size: u64) -> Response {
    let content_range = header(content_range(&part, size));
    let response = Response::typed(TEXT, alphabet(part)).with_status(StatusCode::PARTIAL_CONTENT);
    response.with_header(CONTENT_RANGE, content_range)
}

/// A multipart body (RFC 9110 section 14.6). The boundary has no letters, so it is not in the data.
fn many_parts(parts: &[Range<u64>], size: u64) -> Response {
    const BOUNDARY: &str = "==0123456789==";
    let mut body = Vec::new();
    for part in parts {
        let range = content_range(part, size);
        let head =
            format!("--{BOUNDARY}\r\nContent-Type: {TEXT}\r\nContent-Range: {range}\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(&alphabet(part.clone()));
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    let content_type = header(format!("multipart/byteranges; boundary=\"{BOUNDARY}\""));
    let response = Response::new(body).with_status(StatusCode::PARTIAL_CONTENT);
    response.with_header(CONTENT_TYPE, content_type)
}

fn content_range(part: &Range<u64>, size: u64) -> String {
    format!("bytes {}-{}/{size}", part.start, part.end - 1)
}

fn unsatisfiable(size: u64) -> Failure {
    Failure::bad_request(format!("invalid range: there are {size} bytes"))
        .with_status(StatusCode::RANGE_NOT_SATISFIABLE)
        .with_header(CONTENT_RANGE, header(format!("bytes */{size}")))
}

fn header(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("the text is printable")
}
