//! Encodes the heads of requests and responses.
//!
//! The encoder adds the headers for framing. The caller may set these:
//!
//! - `Content-Length` has an effect on a response to `HEAD`, on a 304, and on a body of unknown
//!   length, which is then sent with that length. On any other message it is refused unless it
//!   equals the length of the body.
//! - `Transfer-Encoding` is refused.
//! - `Connection: close` in a response closes the connection after it. Other options of its
//!   `Connection`, and its `Keep-Alive`, are left out. In a request both are sent unchanged.
//! - `Upgrade` adds `Connection: upgrade`.
//! - `Date` replaces the one that is added otherwise.

// std
use std::ops::ControlFlow;

// crates
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};

// ours
use crate::protocol::body_encoder::{BodyEncoder, BodyLength};
use crate::protocol::date::DATE_BYTES;
use crate::protocol::error::EncodeError;
use crate::protocol::headers::Headers;
use crate::protocol::syntax::{is_host_and_port, is_target, list_contains, parse_decimal};

/// Ends the last line and the head. Each line is written with the line end before it, which makes
/// fewer writes.
const HEAD_END: &[u8; 4] = b"\r\n\r\n";

/// Reserved for a head at once. A larger head reserves more.
const HEAD_BYTES_USUAL: usize = 256;

/// What the encoding of a response depends on in its request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestContext {
    /// The method was `HEAD`.
    pub(crate) is_head: bool,
    /// The version was HTTP/1.0.
    pub(crate) is_http_10: bool,
    /// The connection can be kept.
    pub(crate) keep_alive: bool,
}

/// Appends the head of a response. Returns the encoder of its body, and whether the connection is
/// kept open. Appends nothing if it returns an error.
pub(crate) fn encode_response(
    status: StatusCode,
    headers: &Headers,
    length: BodyLength,
    request: RequestContext,
    date: &[u8; DATE_BYTES],
    out: &mut Vec<u8>,
) -> Result<(BodyEncoder, bool), EncodeError> {
    let start = out.len();
    out.reserve(HEAD_BYTES_USUAL);
    write_status_line(status, out);
    let result = write_response_fields(status, headers, length, request, date, out);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn write_response_fields(
    status: StatusCode,
    headers: &Headers,
    length: BodyLength,
    request: RequestContext,
    date: &[u8; DATE_BYTES],
    out: &mut Vec<u8>,
) -> Result<(BodyEncoder, bool), EncodeError> {
    let mut declared = None;
    let mut close = false;
    let mut upgrade = status == StatusCode::SWITCHING_PROTOCOLS;
    let mut dated = status.is_informational();
    for (name, value) in headers {
        if *name == CONTENT_TYPE {
            // Nearly every response has it, so its name is written by one copy.
            out.extend_from_slice(b"\r\ncontent-type: ");
            out.extend_from_slice(value.as_bytes());
            continue;
        }
        let name = name.as_str();
        match name {
            "connection" => {
                close |= list_contains(value.as_bytes(), b"close");
                continue;
            }
            // It means nothing in HTTP/1.1, and would promise a time that nobody keeps.
            "keep-alive" => continue,
            "date" => dated = true,
            "upgrade" => upgrade = true,
            _ if check_framing(name, value, &mut declared)?.is_break() => continue,
            _ => {}
        }
        write_field(name, value, out);
    }
    let (field, body) = response_framing(status, length, declared, request)?;
    field.write(out);
    let keep_alive = request.keep_alive && !close && body != BodyEncoder::UntilClose;
    let persistence = match status.is_informational() {
        true => None,
        false => persistence(keep_alive, request.is_http_10),
    };
    write_connection(upgrade, persistence, out);
    match dated {
        true => out.extend_from_slice(HEAD_END),
        false => write_date_and_end(date, out),
    }
    Ok((body, keep_alive))
}

fn write_date_and_end(date: &[u8; DATE_BYTES], out: &mut Vec<u8>) {
    const NAME: &[u8] = b"\r\ndate: ";
    const VALUE_END: usize = NAME.len() + DATE_BYTES;
    let mut line = *b"\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n";
    line[NAME.len()..VALUE_END].copy_from_slice(date);
    out.extend_from_slice(&line);
}

/// The header for the length of a body.
enum LengthField {
    Nothing,
    Length(u64),
    Chunked,
}

impl LengthField {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Nothing => {}
            Self::Length(length) => {
                out.extend_from_slice(b"\r\ncontent-length: ");
                out.extend_from_slice(itoa::Buffer::new().format(*length).as_bytes());
            }
            Self::Chunked => out.extend_from_slice(b"\r\ntransfer-encoding: chunked"),
        }
    }
}

/// Returns the header for the length of a response's body, and the encoder of the body (RFC 9112
/// section 6.3, RFC 9110 sections 8.6 and 15).
fn response_framing(
    status: StatusCode,
    length: BodyLength,
    declared: Option<u64>,
    request: RequestContext,
) -> Result<(LengthField, BodyEncoder), EncodeError> {
    if status.is_informational() || status == StatusCode::NO_CONTENT {
        return Ok((LengthField::Nothing, BodyEncoder::Dropped));
    }
    if status == StatusCode::NOT_MODIFIED {
        let field = declared.map_or(LengthField::Nothing, LengthField::Length);
        return Ok((field, BodyEncoder::Dropped));
    }
    if status == StatusCode::RESET_CONTENT {
        return Ok((LengthField::Length(0), BodyEncoder::Dropped));
    }
    if request.is_head {
        let field = match (declared, length) {
            (Some(length), _) | (None, BodyLength::Known(length)) => LengthField::Length(length),
            // It has the body that HEAD asks for, which says nothing of the one for GET.
            (None, BodyLength::Empty) => LengthField::Nothing,
            (None, BodyLength::Unknown) if request.is_http_10 => LengthField::Nothing,
            (None, BodyLength::Unknown) => LengthField::Chunked,
        };
        return Ok((field, BodyEncoder::Dropped));
    }
    Ok(match agreed_length(length, declared)? {
        Some(length) => (LengthField::Length(length), BodyEncoder::Length(length)),
        None if request.is_http_10 => (LengthField::Nothing, BodyEncoder::UntilClose),
        None => (LengthField::Chunked, BodyEncoder::Chunked),
    })
}

/// Returns the length from the body or from the caller's `Content-Length`, or `None` if both leave
/// it open.
fn agreed_length(length: BodyLength, declared: Option<u64>) -> Result<Option<u64>, EncodeError> {
    let known = match length {
        BodyLength::Empty => 0,
        BodyLength::Known(length) => length,
        BodyLength::Unknown => return Ok(declared),
    };
    if declared.is_some_and(|declared| declared != known) {
        return Err(EncodeError::ContentLength);
    }
    Ok(Some(known))
}

/// Checks a header for its effect on framing. Breaks if the header must not be written.
fn check_framing(
    name: &str,
    value: &HeaderValue,
    declared: &mut Option<u64>,
) -> Result<ControlFlow<()>, EncodeError> {
    match name {
        "transfer-encoding" => return Err(EncodeError::TransferEncoding),
        "content-length" => {}
        _ => return Ok(ControlFlow::Continue(())),
    }
    let length = parse_decimal(value.as_bytes()).ok_or(EncodeError::ContentLength)?;
    match declared.replace(length) {
        Some(other) if other != length => Err(EncodeError::ContentLength),
        _ => Ok(ControlFlow::Break(())),
    }
}

fn write_status_line(status: StatusCode, out: &mut Vec<u8>) {
    if status == StatusCode::OK {
        return out.extend_from_slice(b"HTTP/1.1 200 OK");
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
}

/// Returns the option of `Connection` without which the peer would assume the opposite (RFC 9112
/// section 9.3).
fn persistence(keep_alive: bool, old: bool) -> Option<&'static [u8]> {
    match (keep_alive, old) {
        (false, _) => Some(b"close"),
        (true, true) => Some(b"keep-alive"),
        (true, false) => None,
    }
}

/// Writes `Connection`, unless it would be empty. A message with `Upgrade` has to list that (RFC
/// 9110 section 7.8).
fn write_connection(upgrade: bool, persistence: Option<&[u8]>, out: &mut Vec<u8>) {
    let options: [&[u8]; 2] = match (upgrade, persistence) {
        (false, None) => return,
        (false, Some(option)) => [b"", option],
        (true, None) => [b"", b"upgrade"],
        (true, Some(option)) => [b"upgrade, ", option],
    };
    out.extend_from_slice(b"\r\nconnection: ");
    out.extend_from_slice(options[0]);
    out.extend_from_slice(options[1]);
}

fn write_field(name: &str, value: &HeaderValue, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
}

/// What is known of a request that can be sent.
#[cfg_attr(not(all(feature = "tls", feature = "http2")), expect(dead_code, reason = "no HTTP/2"))]
pub(crate) struct CheckedRequest<'a> {
    /// The value of `Host`.
    pub(crate) host: &'a [u8],
    /// The length of the body; `None` if that is open.
    pub(crate) length: Option<u64>,
    /// The value of `Content-Length`, if it is sent.
    pub(crate) content_length: Option<u64>,
}

/// Checks a request as [`encode_request`] does, for one that is sent in another form.
#[cfg_attr(not(all(feature = "tls", feature = "http2")), expect(dead_code, reason = "no HTTP/2"))]
pub(crate) fn check_request<'a>(
    method: &Method,
    target: &str,
    authority: &'a str,
    headers: &'a Headers,
    length: BodyLength,
) -> Result<CheckedRequest<'a>, EncodeError> {
    check_target(method, target)?;
    let host = host(authority, headers)?;
    let mut declared = None;
    for (name, value) in headers {
        // Whether it is written does not matter here.
        let _ = check_framing(name.as_str(), value, &mut declared)?;
    }
    let length = agreed_length(length, declared)?;
    let content_length = match request_framing(method, length).0 {
        LengthField::Length(length) => Some(length),
        LengthField::Nothing | LengthField::Chunked => None,
    };
    Ok(CheckedRequest { host, length, content_length })
}

/// Appends the head of a request. Returns the encoder of its body, and whether the request lets the
/// server keep the connection open. Appends nothing if it returns an error.
///
/// `authority` is the value of `Host`, unless `headers` contains one.
pub(crate) fn encode_request(
    method: &Method,
    target: &str,
    authority: &str,
    headers: &Headers,
    length: BodyLength,
    out: &mut Vec<u8>,
) -> Result<(BodyEncoder, bool), EncodeError> {
    let start = out.len();
    let result = write_request(method, target, authority, headers, length, out);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn write_request(
    method: &Method,
    target: &str,
    authority: &str,
    headers: &Headers,
    length: BodyLength,
    out: &mut Vec<u8>,
) -> Result<(BodyEncoder, bool), EncodeError> {
    check_target(method, target)?;
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1");
    out.extend_from_slice(b"\r\nhost: ");
    out.extend_from_slice(host(authority, headers)?);
    let mut declared = None;
    let mut keep_alive = true;
    let (mut upgrade, mut lists_upgrade) = (false, false);
    for (name, value) in headers {
        let name = name.as_str();
        match name {
            "host" => continue,
            "connection" => {
                keep_alive &= !list_contains(value.as_bytes(), b"close");
                lists_upgrade |= list_contains(value.as_bytes(), b"upgrade");
            }
            "upgrade" => upgrade = true,
            _ if check_framing(name, value, &mut declared)?.is_break() => continue,
            _ => {}
        }
        write_field(name, value, out);
    }
    let (field, body) = request_framing(method, agreed_length(length, declared)?);
    field.write(out);
    write_connection(upgrade && !lists_upgrade, None, out);
    out.extend_from_slice(HEAD_END);
    Ok((body, keep_alive))
}

fn check_target(method: &Method, target: &str) -> Result<(), EncodeError> {
    let is_asterisk = target == "*" && method == Method::OPTIONS;
    let has_form = target.starts_with('/') || target.starts_with("http") || is_asterisk;
    if *method == Method::CONNECT || !has_form || !is_target(target.as_bytes()) {
        return Err(EncodeError::Target);
    }
    Ok(())
}

/// Returns the value of `Host`.
fn host<'a>(authority: &'a str, headers: &'a Headers) -> Result<&'a [u8], EncodeError> {
    let host = match headers.value(&http::header::HOST) {
        Some(host) => host.as_bytes(),
        None => authority.as_bytes(),
    };
    if is_host_and_port(host) { Ok(host) } else { Err(EncodeError::Host) }
}

/// Returns the header for the length of a request's body, and the encoder of the body. The length
/// of an empty body is sent only if the method usually has one (RFC 9110 section 8.6).
fn request_framing(method: &Method, length: Option<u64>) -> (LengthField, BodyEncoder) {
    let expects_body = matches!(*method, Method::POST | Method::PUT | Method::PATCH);
    match length {
        None => (LengthField::Chunked, BodyEncoder::Chunked),
        Some(0) if !expects_body => (LengthField::Nothing, BodyEncoder::Length(0)),
        Some(length) => (LengthField::Length(length), BodyEncoder::Length(length)),
    }
}
