//! The heads of h2's requests as ours. h2 has refused headers that HTTP/2 does not allow before,
//! such as `Connection`, by resetting the stream.

use std::rc::Rc;

use brigade_runtime::net::PeerAddr;
use h2::RecvStream;
use http::header::{CONTENT_LENGTH, COOKIE, HOST};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderName, HeaderValue, Version, request};

use crate::message::body::Body;
use crate::message::request::Request;
use crate::message::request_text::RequestText;
use crate::protocol::body_encoder::BodyLength;
use crate::protocol::error::ProtocolError;
use crate::protocol::framing::Framing;
use crate::protocol::limits::Limits;
use crate::server::http2::incoming::{BodyLink, IncomingParts};

/// A request with what its body has to know of its route, and leaves for its response.
pub(super) struct Converted {
    pub(super) request: Request,
    /// Absent if there is no body.
    pub(super) link: Option<Rc<BodyLink>>,
}

/// Converts a request.
///
/// # Errors
/// The error with which a server of HTTP/1.1 would refuse it.
pub(super) fn convert(
    request: http::Request<RecvStream>,
    limits: &Limits,
    peer: PeerAddr,
) -> Result<Converted, ProtocolError> {
    let (parts, incoming) = request.into_parts();
    let has_body = !incoming.is_end_stream();
    let mut request = head(&parts, has_body, limits)?;
    request.parts.head.version = Version::HTTP_2;
    request.parts.peer = peer;
    let length = match request.framing() {
        Framing::Length(length) if has_body => BodyLength::Known(length),
        Framing::None | Framing::Length(0) if !has_body => {
            return Ok(Converted { request, link: None });
        }
        _ if has_body => BodyLength::Unknown,
        _ => return Err(ProtocolError::UnexpectedEnd),
    };
    let link = Rc::new(BodyLink::new(request.expects_continue()));
    request.parts.body = Body::parts(IncomingParts::new(incoming, link.clone()), length);
    Ok(Converted { request, link: Some(link) })
}

/// Writes the head of a request as one of HTTP/1.1, and decodes it.
fn head(parts: &request::Parts, has_body: bool, limits: &Limits) -> Result<Request, ProtocolError> {
    let target = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let mut text = RequestText::new(parts.method.as_str(), target)?;
    text.header("host", host(parts)?);
    let (mut has_length, mut has_cookies) = (false, false);
    for (name, value) in &parts.headers {
        check_value(value)?;
        match *name {
            HOST => continue,
            COOKIE => has_cookies = true,
            // h2 refuses repeated lengths that differ.
            CONTENT_LENGTH if has_length => continue,
            CONTENT_LENGTH => {
                has_length = true;
                text.header(name.as_str(), value.as_bytes());
            }
            _ => text.header(name.as_str(), value.as_bytes()),
        }
    }
    if has_cookies {
        // HTTP/2 may send each on a line of its own (RFC 9113 section 8.2.3).
        text.joined_header(COOKIE.as_str(), values(parts, &COOKIE).map(HeaderValue::as_bytes));
    }
    if has_body && !has_length {
        text.header("transfer-encoding", b"chunked");
    }
    text.decode(limits)
}

/// Refuses a value with white space at its start or end (RFC 9113 section 8.2.1). HTTP/1.1 would
/// take it for the space around a value.
fn check_value(value: &HeaderValue) -> Result<(), ProtocolError> {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let bytes = value.as_bytes();
    match is_space(bytes.first()) || is_space(bytes.last()) {
        true => Err(ProtocolError::HeaderSpace),
        false => Ok(()),
    }
}

/// Returns the value of `Host`. It may be sent besides the authority if they are equal (RFC 9113
/// section 8.3.1).
fn host(parts: &request::Parts) -> Result<&[u8], ProtocolError> {
    let mut hosts = values(parts, &HOST);
    let host = hosts.next().map(HeaderValue::as_bytes);
    if hosts.next().is_some() {
        return Err(ProtocolError::HostRepeated);
    }
    let authority = parts.uri.authority().map(Authority::as_str).map(str::as_bytes);
    match (authority, host) {
        (Some(authority), Some(host)) if host != authority => Err(ProtocolError::HostInvalid),
        (Some(host), _) | (None, Some(host)) => Ok(host),
        (None, None) => Err(ProtocolError::HostMissing),
    }
}

/// Returns the values of a header. There are few headers, so that no hash is worth its cost.
fn values<'a>(
    parts: &'a request::Parts,
    name: &HeaderName,
) -> impl Iterator<Item = &'a HeaderValue> {
    parts.headers.iter().filter(move |(known, _)| *known == name).map(|(_, value)| value)
}
