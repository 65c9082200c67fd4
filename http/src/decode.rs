//! From received bytes to heads.
//!
//! The parser, httparse, is lenient in places where leniency lets a request be smuggled; what it
//! lets through is refused here. A request goes one of two ways to the same result:
//!
//! 1. Nearly always the head is there as a whole and right. Then it is parsed at once, and its
//!    line ends are checked where the parser found them.
//! 2. Otherwise the lines are searched from where the last search stopped, so that a head which
//!    comes in pieces is searched once, and limits strike as soon as they are exceeded. What is
//!    wrong first, in the order of the bytes, decides; so the outcome does not depend on the cuts.

// std
use std::mem::MaybeUninit;

// crates
use http::{Method, StatusCode, Version};
use httparse::{Header, ParserConfig, Status};

// ours
use crate::buffer::ReceiveBuffer;
use crate::chunked::field_error;
use crate::error::ProtocolError;
use crate::fields::Fields;
use crate::framing::{Framing, LengthFields};
use crate::head::{RequestHead, ResponseHead, Span};
use crate::limits::Limits;
use crate::syntax::{
    find_blank_line, is_host_and_port, is_target, is_token, is_token_byte, list_contains,
    query_start,
};

/// As many header lines as [`Limits::headers_count_max`] can ask for.
type Lines<'a> = [MaybeUninit<Header<'a>>; u8::MAX as usize];

/// Takes a request's head from the front of `buffer`, and puts it where it is to be: it is too
/// large to be handed around. Returns `false` if it is not all there; then, and after an error,
/// what is in `head` means nothing.
///
/// `scanned` is 0 when a head begins, and kept between calls by the caller.
pub(crate) fn decode_request(
    buffer: &mut ReceiveBuffer,
    scanned: &mut u16,
    limits: &Limits,
    head: &mut RequestHead,
) -> Result<bool, ProtocolError> {
    let window = &buffer[..buffer.len().min(limits.head_bytes_max.into())];
    let mut lines: Lines<'_> = [const { MaybeUninit::uninit() }; u8::MAX as usize];
    let lines = &mut lines[..limits.headers_count_max.into()];
    let mut request = httparse::Request::new(&mut []);
    let parsed = if *scanned == 0 && window.first().is_some_and(|&byte| is_token_byte(byte)) {
        request.parse_with_uninit_headers(window, lines).ok()
    } else {
        None
    };
    let length = match parsed {
        Some(Status::Complete(end)) if is_right(&request, &window[..end], limits) => {
            interpret_request(&request, &window[..end], head)?;
            end
        }
        _ => {
            let Some(end) = find_request_end(window, scanned, limits)? else {
                return Ok(false);
            };
            parse_request(&window[..end], limits, head)?;
            end
        }
    };
    *scanned = 0;
    // After the target come a space, `HTTP/1.1`, CR and LF.
    head.fields = Fields::new(buffer.take(length), head.target.end + 11);
    Ok(true)
}

/// Returns `true` if each line ends in CR LF, and method and target are within their limits.
fn is_right(request: &httparse::Request<'_, '_>, head: &[u8], limits: &Limits) -> bool {
    let length = |part: Option<&str>| part.map_or(0, str::len);
    length(request.method) <= limits.method_bytes_max.into()
        && length(request.path) <= limits.target_bytes_max.into()
        && head.ends_with(b"\r\n\r\n")
        && request.headers.iter().all(|header| {
            // A name begins where the line before it ended.
            head[..offset(head, header.name.as_bytes())].ends_with(b"\r\n")
        })
}

fn find_request_end(
    window: &[u8],
    scanned: &mut u16,
    limits: &Limits,
) -> Result<Option<usize>, ProtocolError> {
    check_request_line(window, limits)?;
    find_head_end(window, scanned, limits)
}

/// Checks what can be told of a request line that may not be all there.
fn check_request_line(window: &[u8], limits: &Limits) -> Result<(), ProtocolError> {
    let method_max = usize::from(limits.method_bytes_max);
    let line = match memchr::memchr(b'\n', window) {
        Some(end) => &window[..end],
        None => window,
    };
    if line.first().is_some_and(|&byte| !is_token_byte(byte)) {
        return Err(ProtocolError::StartLine);
    }
    if line.len() <= method_max {
        return Ok(());
    }
    let Some(method_end) = memchr::memchr(b' ', &line[..=method_max]) else {
        let is_method = is_token(&line[..=method_max]);
        return Err(if is_method {
            ProtocolError::MethodTooLong
        } else {
            ProtocolError::StartLine
        });
    };
    let target = &line[method_end + 1..];
    let target_length = memchr::memchr(b' ', target).unwrap_or(target.len());
    if target_length > limits.target_bytes_max.into() {
        return Err(ProtocolError::TargetTooLong);
    }
    Ok(())
}

/// The length of the head with its blank line, if that is there.
fn find_head_end(
    window: &[u8],
    scanned: &mut u16,
    limits: &Limits,
) -> Result<Option<usize>, ProtocolError> {
    let mut from = usize::from(*scanned);
    let end = find_blank_line(window, &mut from).map_err(|_| ProtocolError::LineEnd)?;
    if end.is_none() && window.len() == usize::from(limits.head_bytes_max) {
        return Err(ProtocolError::HeadTooLarge);
    }
    *scanned = u16::try_from(from).unwrap_or(u16::MAX);
    Ok(end)
}

/// Parses a head whose lines all end in CR LF, the last of them blank.
fn parse_request(
    bytes: &[u8],
    limits: &Limits,
    head: &mut RequestHead,
) -> Result<(), ProtocolError> {
    let mut lines: Lines<'_> = [const { MaybeUninit::uninit() }; u8::MAX as usize];
    let lines = &mut lines[..limits.headers_count_max.into()];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(bytes, lines) {
        Ok(Status::Complete(end)) if end == bytes.len() => interpret_request(&request, bytes, head),
        Ok(_) => Err(ProtocolError::StartLine),
        Err(httparse::Error::Version) if says_other_version(bytes) => {
            Err(ProtocolError::VersionUnsupported)
        }
        Err(error) => Err(field_error(error)),
    }
}

/// Returns `true` if the request line ends in a well-formed version (RFC 9112 section 2.3).
fn says_other_version(head: &[u8]) -> bool {
    let line_end = memchr::memchr(b'\r', head).unwrap_or(head.len());
    let version = head[..line_end].splitn(3, |&byte| byte == b' ').nth(2).unwrap_or_default();
    match version.strip_prefix(b"HTTP/") {
        Some([major, b'.', minor]) => major.is_ascii_digit() && minor.is_ascii_digit(),
        _ => false,
    }
}

/// Decides what a well-formed head means, and whether that makes sense. Fills `head` but for its
/// bytes, which are borrowed meanwhile.
fn interpret_request(
    request: &httparse::Request<'_, '_>,
    bytes: &[u8],
    head: &mut RequestHead,
) -> Result<(), ProtocolError> {
    let version = version(request.version);
    let method = method(request.method.unwrap_or_default())?;
    let target = span(bytes, request.path.unwrap_or_default().as_bytes());
    let parts = split_target(&method, bytes, target)?;
    let known = KnownFields::gather(request.headers);
    let host = host(&known, bytes, version)?;
    let framing = known.length.of_request(version)?;
    let is_new = version == Version::HTTP_11;
    if known.expects_other {
        return Err(ProtocolError::Expectation);
    }
    head.wants_upgrade = is_new
        && known.upgrade
        && known.connection_upgrade
        && method == Method::GET
        && !framing.has_body();
    head.method = method;
    head.framing = framing;
    head.target = target;
    head.path = parts.path;
    head.authority = parts.authority.unwrap_or(host);
    head.version = version;
    head.keep_alive = known.keeps_connection(version);
    head.expects_continue = is_new && known.expects_continue && framing.has_body();
    Ok(())
}

fn method(name: &str) -> Result<Method, ProtocolError> {
    match name {
        "GET" => Ok(Method::GET),
        "CONNECT" | "TRACE" => Err(ProtocolError::MethodUnsupported),
        _ => Method::from_bytes(name.as_bytes()).map_err(|_| ProtocolError::StartLine),
    }
}

struct TargetParts {
    /// Of a target in absolute form.
    authority: Option<Span>,
    path: Span,
}

/// Takes a target apart (RFC 9112 section 3.2).
fn split_target(method: &Method, head: &[u8], target: Span) -> Result<TargetParts, ProtocolError> {
    let text = &head[usize::from(target.start)..usize::from(target.end)];
    if !is_target(text) {
        return Err(ProtocolError::Target);
    }
    let part = |start: usize, end: usize| Span {
        start: target.start + start as u16,
        end: target.start + end as u16,
    };
    let path_end = |from: usize| from + query_start(&text[from..]);
    match text {
        [b'/', ..] => Ok(TargetParts { authority: None, path: part(0, path_end(0)) }),
        b"*" if method == Method::OPTIONS => Ok(TargetParts { authority: None, path: target }),
        _ => {
            let authority_start = scheme_length(text).ok_or(ProtocolError::Target)?;
            let rest = &text[authority_start..];
            let authority_end = authority_start
                + rest.iter().position(|byte| b"/?".contains(byte)).unwrap_or(rest.len());
            if !is_host_and_port(&text[authority_start..authority_end]) {
                return Err(ProtocolError::Target);
            }
            Ok(TargetParts {
                authority: Some(part(authority_start, authority_end)),
                path: part(authority_end, path_end(authority_end)),
            })
        }
    }
}

/// The length of `http://` or `https://`, if `target` begins with that.
fn scheme_length(target: &[u8]) -> Option<usize> {
    [&b"http://"[..], b"https://"]
        .into_iter()
        .find(|scheme| target.get(..scheme.len()).is_some_and(|t| t.eq_ignore_ascii_case(scheme)))
        .map(<[u8]>::len)
}

/// The one host that a request has to name (RFC 9112 section 3.2).
fn host(known: &KnownFields<'_>, head: &[u8], version: Version) -> Result<Span, ProtocolError> {
    match known.host {
        _ if known.host_repeated => Err(ProtocolError::HostRepeated),
        Some(host) if is_host_and_port(host) => Ok(span(head, host)),
        Some(_) => Err(ProtocolError::HostInvalid),
        None if version == Version::HTTP_10 => Ok(Span::default()),
        None => Err(ProtocolError::HostMissing),
    }
}

/// The headers that decide how a message is read.
#[derive(Default)]
struct KnownFields<'a> {
    length: LengthFields<'a>,
    host: Option<&'a [u8]>,
    host_repeated: bool,
    close: bool,
    keep_alive: bool,
    connection_upgrade: bool,
    upgrade: bool,
    expects_continue: bool,
    expects_other: bool,
}

impl<'a> KnownFields<'a> {
    fn gather(headers: &[Header<'a>]) -> Self {
        let mut known = Self::default();
        for header in headers {
            known.note(header.name.as_bytes(), header.value);
        }
        known
    }

    fn note(&mut self, name: &[u8], value: &'a [u8]) {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        match name.len() {
            4 if is(b"host") => self.host_repeated |= self.host.replace(value).is_some(),
            6 if is(b"expect") => {
                let is_continue = value.eq_ignore_ascii_case(b"100-continue");
                self.expects_continue |= is_continue;
                self.expects_other |= !is_continue;
            }
            7 if is(b"upgrade") => self.upgrade = true,
            10 if is(b"connection") => {
                self.close |= list_contains(value, b"close");
                self.keep_alive |= list_contains(value, b"keep-alive");
                self.connection_upgrade |= list_contains(value, b"upgrade");
            }
            14 if is(b"content-length") => self.length.note_content_length(value),
            17 if is(b"transfer-encoding") => self.length.note_transfer_encoding(value),
            _ => {}
        }
    }

    /// RFC 9112 section 9.3.
    fn keeps_connection(&self, version: Version) -> bool {
        !self.close && (version == Version::HTTP_11 || self.keep_alive)
    }
}

/// Takes a response's head from the front of `buffer`; `None` if it is not all there.
///
/// `to_head` says whether the request was `HEAD`; `scanned` is as for [`decode_request`].
pub(crate) fn decode_response(
    buffer: &mut ReceiveBuffer,
    scanned: &mut u16,
    to_head: bool,
    limits: &Limits,
) -> Result<Option<ResponseHead>, ProtocolError> {
    let window = &buffer[..buffer.len().min(limits.head_bytes_max.into())];
    let begins_right = window.iter().zip(b"HTTP/1.").all(|(is, should_be)| is == should_be);
    if !begins_right {
        return Err(ProtocolError::StartLine);
    }
    let Some(end) = find_head_end(window, scanned, limits)? else {
        return Ok(None);
    };
    let head = parse_response(&window[..end], to_head, limits)?;
    *scanned = 0;
    Ok(Some(head.attach(buffer)))
}

/// A response's head without its bytes, which are borrowed while it is made.
struct DecodedResponse {
    framing: Framing,
    reason: Span,
    status: StatusCode,
    version: Version,
    keep_alive: bool,
    fields_start: u16,
    length: u16,
}

impl DecodedResponse {
    fn attach(self, buffer: &mut ReceiveBuffer) -> ResponseHead {
        ResponseHead {
            fields: Fields::new(buffer.take(self.length.into()), self.fields_start),
            framing: self.framing,
            reason: self.reason,
            status: self.status,
            version: self.version,
            keep_alive: self.keep_alive,
        }
    }
}

fn parse_response(
    head: &[u8],
    to_head: bool,
    limits: &Limits,
) -> Result<DecodedResponse, ProtocolError> {
    let mut lines: Lines<'_> = [const { MaybeUninit::uninit() }; u8::MAX as usize];
    let lines = &mut lines[..limits.headers_count_max.into()];
    let mut response = httparse::Response::new(&mut []);
    match ParserConfig::default().parse_response_with_uninit_headers(&mut response, head, lines) {
        Ok(Status::Complete(end)) if end == head.len() => {}
        Ok(_) => return Err(ProtocolError::StartLine),
        Err(error) => return Err(field_error(error)),
    }
    let version = version(response.version);
    let status = StatusCode::from_u16(response.code.unwrap_or_default())
        .map_err(|_| ProtocolError::StartLine)?;
    let known = KnownFields::gather(response.headers);
    let line_end = memchr::memchr(b'\n', head).unwrap_or_default();
    let reason = response.reason.filter(|reason| !reason.is_empty()).unwrap_or_default();
    Ok(DecodedResponse {
        framing: known.length.of_response(to_head, status, version)?,
        reason: if reason.is_empty() { Span::default() } else { span(head, reason.as_bytes()) },
        status,
        version,
        keep_alive: known.keeps_connection(version),
        fields_start: (line_end + 1) as u16,
        length: head.len() as u16,
    })
}

fn version(minor: Option<u8>) -> Version {
    if minor == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 }
}

/// Where in `head` its `part` lies; heads are no longer than a `u16` can say.
fn span(head: &[u8], part: &[u8]) -> Span {
    let start = offset(head, part) as u16;
    Span { start, end: start + part.len() as u16 }
}

fn offset(head: &[u8], part: &[u8]) -> usize {
    part.as_ptr().addr() - head.as_ptr().addr()
}
