//! Decodes the heads of requests and responses.
//!
//! The parser, httparse, accepts some heads with which a request could be smuggled; they are
//! refused here. A request head is read in one of two ways, with the same result:
//!
//! 1. A complete, valid head of the usual form, as nearly all are, is read in one pass by `scan`.
//! 2. For any other head, the end is searched first, from where the last search stopped. So a head
//!    that arrives in pieces is searched once, and a limit takes effect as soon as it is exceeded.
//!    The complete head is then parsed. The first error in the order of the bytes is reported, so
//!    the result does not depend on how the head was cut into pieces.

// std
use std::mem::MaybeUninit;

// crates
use http::{Method, StatusCode, Version};
use httparse::{Header, ParserConfig, Status};

// ours
use crate::protocol::chunked::field_error;
use crate::protocol::error::ProtocolError;
use crate::protocol::fields::{Fields, Span};
use crate::protocol::head::{RequestHead, ResponseHead};
use crate::protocol::known_fields::KnownFields;
use crate::protocol::limits::Limits;
use crate::protocol::receive_buffer::ReceiveBuffer;
use crate::protocol::scan::{AFTER_TARGET, scan_request};
use crate::protocol::syntax::{
    find_blank_line, is_host_and_port, is_target, is_token, is_token_byte, query_start, trim_ows,
};

/// Room for as many header lines as [`Limits::headers_count_max`] can allow.
type Lines<'a> = [MaybeUninit<Header<'a>>; u8::MAX as usize];

/// Decodes the request head at the start of `received` into `head`, which is too large to return.
/// Returns the head's length, or `None` if it is incomplete. `head` is unspecified after `None` and
/// after an error.
///
/// The caller keeps `scanned` between calls; it is 0 at the start of a head.
#[inline(always)]
pub(crate) fn decode_request(
    received: &[u8],
    scanned: &mut u16,
    limits: &Limits,
    head: &mut RequestHead,
) -> Result<Option<usize>, ProtocolError> {
    let window = &received[..received.len().min(limits.head_bytes_max.into())];
    let length = read_request(window, scanned, limits, head)?;
    if let Some(length) = length {
        *scanned = 0;
        let lines_start = head.target.end + AFTER_TARGET.len() as u16;
        head.fields.fill(&window[..length], lines_start);
    }
    Ok(length)
}

/// Reads a head into `head`, except for `head.fields`, and returns its length, or `None` if it is
/// incomplete.
fn read_request(
    window: &[u8],
    scanned: &mut u16,
    limits: &Limits,
    head: &mut RequestHead,
) -> Result<Option<usize>, ProtocolError> {
    let mut known = KnownFields::default();
    if *scanned == 0
        && let Some(length) = scan_request(window, limits, head, &mut known)
    {
        interpret(head, &known, window)?;
        return Ok(Some(length));
    }
    let Some(length) = find_request_end(window, scanned, limits)? else {
        return Ok(None);
    };
    parse_request(&window[..length], limits, head)?;
    Ok(Some(length))
}

fn find_request_end(
    window: &[u8],
    scanned: &mut u16,
    limits: &Limits,
) -> Result<Option<usize>, ProtocolError> {
    check_request_line(window, limits)?;
    find_head_end(window, scanned, limits)
}

/// Checks what is there of a request line, which may be incomplete.
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

/// Returns the length of the head including its blank line, or `None` if that has not arrived.
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

/// Parses a head whose lines all end in CR LF, the last of them blank. Not inlined, since `lines`
/// takes 8 KiB of stack.
#[inline(never)]
fn parse_request(
    bytes: &[u8],
    limits: &Limits,
    head: &mut RequestHead,
) -> Result<(), ProtocolError> {
    let mut lines: Lines<'_> = [const { MaybeUninit::uninit() }; u8::MAX as usize];
    let lines = &mut lines[..limits.headers_count_max.into()];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(bytes, lines) {
        Ok(Status::Complete(end)) if end == bytes.len() => {
            read_request_line(&request, bytes, head)?;
            interpret(head, &gather(request.headers), bytes)
        }
        Ok(_) => Err(ProtocolError::StartLine),
        Err(error) => Err(parse_error(error, bytes)),
    }
}

/// Checks an incomplete head, of which nothing more will come: returns the error that it has
/// whatever would have followed, such as a control character in a value or a second `Host`.
#[cold]
pub(crate) fn check_incomplete_request(
    received: &[u8],
    limits: &Limits,
) -> Result<(), ProtocolError> {
    let window = &received[..received.len().min(limits.head_bytes_max.into())];
    let lines_end = memchr::memrchr(b'\n', window).map_or(0, |end| end + 1);
    // What is there of the last line.
    let mut lines: Lines<'_> = [const { MaybeUninit::uninit() }; u8::MAX as usize];
    let lines = &mut lines[..limits.headers_count_max.into()];
    let mut request = httparse::Request::new(&mut []);
    let parsed = request.parse_with_uninit_headers(window, lines);
    parsed.map_err(|error| parse_error(error, window))?;
    // The complete lines, as if they were all.
    let head = match window[..lines_end].is_empty() {
        false => window[..lines_end].to_vec(),
        true => match window.iter().filter(|&&byte| byte == b' ').count() {
            0 => return Ok(()),
            // The target may be incomplete, so only its characters count.
            1 => return check_words(window),
            _ => {
                let version = memchr::memrchr(b' ', window).unwrap_or_default();
                [&window[..version], AFTER_TARGET].concat()
            }
        },
    };
    let parse =
        |rest: &[u8]| parse_request(&[&head, rest].concat(), limits, &mut RequestHead::empty());
    match parse(b"\r\n") {
        // It may be in the lines that are missing.
        Err(ProtocolError::HostMissing) => parse(b"Host: a\r\n\r\n"),
        parsed => parsed,
    }
}

/// Checks the method and the first characters of the target.
fn check_words(line: &[u8]) -> Result<(), ProtocolError> {
    let space = memchr::memchr(b' ', line).unwrap_or(line.len());
    let (name, target) = line.split_at(space);
    method(std::str::from_utf8(name).map_err(|_| ProtocolError::StartLine)?)?;
    if !is_target(target.trim_ascii_start()) {
        return Err(ProtocolError::Target);
    }
    Ok(())
}

fn parse_error(error: httparse::Error, head: &[u8]) -> ProtocolError {
    match error {
        httparse::Error::Version if has_well_formed_version(head) => {
            ProtocolError::VersionUnsupported
        }
        error => field_error(error),
    }
}

/// Returns `true` if the request line ends in a well-formed version (RFC 9112 section 2.3).
fn has_well_formed_version(head: &[u8]) -> bool {
    let line_end = memchr::memchr(b'\r', head).unwrap_or(head.len());
    let version = head[..line_end].splitn(3, |&byte| byte == b' ').nth(2).unwrap_or_default();
    match version.strip_prefix(b"HTTP/") {
        Some([major, b'.', minor]) => major.is_ascii_digit() && minor.is_ascii_digit(),
        _ => false,
    }
}

fn read_request_line(
    request: &httparse::Request<'_, '_>,
    bytes: &[u8],
    head: &mut RequestHead,
) -> Result<(), ProtocolError> {
    head.version = version(request.version);
    head.method = method(request.method.unwrap_or_default())?;
    head.target = span(bytes, request.path.unwrap_or_default().as_bytes());
    let parts = split_target(&head.method, bytes, head.target)?;
    head.path = parts.path;
    head.authority = parts.authority.unwrap_or_default();
    Ok(())
}

/// Interprets the header lines in `known` and checks that they agree. The request line is in `head`
/// already. `head` is complete afterwards, except for `head.fields`.
#[inline(always)]
fn interpret(
    head: &mut RequestHead,
    known: &KnownFields<'_>,
    bytes: &[u8],
) -> Result<(), ProtocolError> {
    let version = head.version;
    let host = host(known, bytes, version)?;
    let framing = known.length.of_request(version)?;
    let is_new = version == Version::HTTP_11;
    if known.expects_other {
        return Err(ProtocolError::Expectation);
    }
    // The authority of a target in absolute form takes precedence.
    if head.authority.is_empty() {
        head.authority = host;
    }
    let may_upgrade = is_new && head.method == Method::GET && !framing.has_body();
    head.wants_upgrade = may_upgrade && known.wants_upgrade();
    head.framing = framing;
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
    /// Only of a target in absolute form.
    authority: Option<Span>,
    path: Span,
}

/// Splits a target into its parts (RFC 9112 section 3.2).
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

/// Returns the length of `http://` or `https://` if `target` begins with it.
fn scheme_length(target: &[u8]) -> Option<usize> {
    [&b"http://"[..], b"https://"]
        .into_iter()
        .find(|scheme| target.get(..scheme.len()).is_some_and(|t| t.eq_ignore_ascii_case(scheme)))
        .map(<[u8]>::len)
}

/// Returns the value of the one `Host` that a request must have (RFC 9112 section 3.2).
#[inline(always)]
fn host(known: &KnownFields<'_>, head: &[u8], version: Version) -> Result<Span, ProtocolError> {
    match known.host {
        _ if known.host_repeated => Err(ProtocolError::HostRepeated),
        Some(host) if is_host_and_port(host) => Ok(span(head, host)),
        Some(_) => Err(ProtocolError::HostInvalid),
        None if version == Version::HTTP_10 => Ok(Span::default()),
        None => Err(ProtocolError::HostMissing),
    }
}

fn gather<'a>(headers: &[Header<'a>]) -> KnownFields<'a> {
    let mut known = KnownFields::default();
    for header in headers {
        known.record(header.name.as_bytes(), header.value);
    }
    known
}

/// Takes a response head from the front of `buffer`. Returns `None` if it is incomplete.
///
/// `to_head` is `true` if the request was `HEAD`; `scanned` is as for [`decode_request`].
pub(crate) fn decode_response(
    buffer: &mut ReceiveBuffer,
    scanned: &mut u16,
    to_head: bool,
    limits: &Limits,
) -> Result<Option<ResponseHead>, ProtocolError> {
    let window = &buffer[..buffer.len().min(limits.head_bytes_max.into())];
    let has_version = window.iter().zip(b"HTTP/1.").all(|(byte, expected)| byte == expected);
    if !has_version {
        return Err(ProtocolError::StartLine);
    }
    let Some(end) = find_head_end(window, scanned, limits)? else {
        return Ok(None);
    };
    let head = &window[..end];
    let head = match parse_response(head, to_head, limits) {
        // A folded line, perhaps. Servers are not expected to send one, so it is not searched for
        // in every head.
        Err(ProtocolError::HeaderName) => parse_response(&unfolded(head)?, to_head, limits)?,
        parsed => parsed?,
    };
    *scanned = 0;
    buffer.skip(end);
    Ok(Some(head))
}

/// Returns `head` with each folded header line joined by a space, as a user agent has to read it
/// (RFC 9112 section 5.2). Returns an error if a field that frames the message is folded: another
/// recipient may have read it in another way.
fn unfolded(head: &[u8]) -> Result<Vec<u8>, ProtocolError> {
    let mut joined: Vec<u8> = Vec::with_capacity(head.len());
    // The offset in `joined` of the last line that was not a continuation.
    let mut line_start = 0;
    for (index, line) in head.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let is_continuation = matches!(line, [b' ' | b'\t', ..]);
        // The line before the first header is the status line, which cannot be continued.
        if !is_continuation || index < 2 {
            line_start = joined.len();
            joined.extend_from_slice(line);
            continue;
        }
        let name = joined[line_start..].split(|&byte| byte == b':').next().unwrap_or_default();
        if name.eq_ignore_ascii_case(b"content-length") {
            return Err(ProtocolError::ContentLength);
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return Err(ProtocolError::TransferEncoding);
        }
        let before = trim_ows(joined[line_start..].strip_suffix(b"\r\n").unwrap_or_default());
        joined.truncate(line_start + before.len());
        joined.push(b' ');
        joined.extend_from_slice(trim_ows(line.strip_suffix(b"\r\n").unwrap_or_default()));
        joined.extend_from_slice(b"\r\n");
    }
    Ok(joined)
}

fn parse_response(
    head: &[u8],
    to_head: bool,
    limits: &Limits,
) -> Result<ResponseHead, ProtocolError> {
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
    let known = gather(response.headers);
    let line_end = memchr::memchr(b'\n', head).unwrap_or_default();
    let reason = response.reason.filter(|reason| !reason.is_empty()).unwrap_or_default();
    Ok(ResponseHead {
        fields: Fields::new(head, (line_end + 1) as u16),
        framing: known.length.of_response(to_head, status, version)?,
        reason: if reason.is_empty() { Span::default() } else { span(head, reason.as_bytes()) },
        status,
        version,
        keep_alive: known.keeps_connection(version),
    })
}

fn version(minor: Option<u8>) -> Version {
    if minor == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 }
}

/// Returns the position of `part`, a slice of `head`. Heads are shorter than 64 KiB.
fn span(head: &[u8], part: &[u8]) -> Span {
    let start = offset(head, part) as u16;
    Span { start, end: start + part.len() as u16 }
}

fn offset(head: &[u8], part: &[u8]) -> usize {
    part.as_ptr().addr() - head.as_ptr().addr()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads `bytes` by the scan alone or by the parser alone. Returns `None` if the scan leaves
    /// them to the parser, or the head is incomplete.
    fn read(bytes: &[u8], by_scan: bool) -> Option<Result<String, ProtocolError>> {
        let limits = Limits { headers_count_max: 3, target_bytes_max: 8, ..Limits::default() };
        let mut head = RequestHead::empty();
        let mut known = KnownFields::default();
        let result = if by_scan {
            let length = scan_request(bytes, &limits, &mut head, &mut known)?;
            interpret(&mut head, &known, bytes).map(|()| length)
        } else {
            match find_request_end(bytes, &mut 0, &limits) {
                Ok(None) => return None,
                Ok(Some(length)) => {
                    parse_request(&bytes[..length], &limits, &mut head).map(|()| length)
                }
                Err(error) => Err(error),
            }
        };
        Some(result.map(|length| {
            head.fields.fill(&bytes[..length], 0);
            describe(&head)
        }))
    }

    /// Decodes the head at the start of `bytes` into `head`, and describes all of it.
    fn decode(bytes: &[u8], head: &mut RequestHead) -> Option<Result<String, ProtocolError>> {
        match decode_request(bytes, &mut 0, &Limits::default(), head) {
            Ok(Some(_)) => Some(Ok(format!("{} {:?}", describe(head), head.headers()))),
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        }
    }

    fn describe(head: &RequestHead) -> String {
        format!(
            "{head:?} {:?} {:?} {}{}{}",
            head.path,
            head.authority,
            u8::from(head.keep_alive),
            u8::from(head.expects_continue),
            u8::from(head.wants_upgrade)
        )
    }

    /// Pieces of heads, most of them valid.
    fn piece() -> impl Strategy<Value = Vec<u8>> {
        let words = "GET |POST |HEAD |PUT |get |/|/a?b|/a?b?c|*|http://h/| HTTP/1.1\r\n\
            | HTTP/1.0\r\n|HTTP/1.1|Host: a\r\n|host: b:80\r\n|Host:a\r\n|Host: \r\n|Host : a\r\n\
            |Connection: close\r\n|Connection: upgrade, x\r\n|Upgrade: y\r\n\
            |Expect: 100-continue\r\n|Content-Length: 5\r\n|Transfer-Encoding: chunked\r\n\
            |A: a longer value, of more than one block\r\n|A: b \r\n|A:  b\r\n|A: b\tc\r\n\
            |\r\n|\n|\r|\r\n\r\n| |:|é|: ";
        let words: Vec<&str> = words.split('|').collect();
        prop_oneof![
            20 => proptest::sample::select(words).prop_map(|word| word.as_bytes().to_vec()),
            1 => any::<u8>().prop_map(|byte| vec![byte]),
        ]
    }

    /// A request of the usual form with a few random bytes in it.
    fn altered() -> impl Strategy<Value = Vec<u8>> {
        let lines = "(Host: [a-z0-9:]{1,9}\r\n)?([A-Za-z-]{1,9}: [ -~]{0,40}\r\n){0,4}";
        let usual = format!("(GET|POST|PUT|HEAD) /[a-z?]{{0,8}} HTTP/1.1\r\n{lines}\r\n");
        let changes = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
        (proptest::string::string_regex(&usual).unwrap(), changes).prop_map(|(text, changes)| {
            let mut bytes = text.into_bytes();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        })
    }

    fn any_head() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            proptest::collection::vec(piece(), 3..9).prop_map(|pieces| pieces.concat()),
            altered(),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn the_scan_and_the_parser_agree(bytes in any_head()) {
            if let Some(scanned) = read(&bytes, true) {
                prop_assert_eq!(Some(scanned), read(&bytes, false));
            }
        }

        #[test]
        fn a_reused_head_holds_nothing_of_the_head_before(
            heads in proptest::collection::vec(any_head(), 1..4),
        ) {
            let mut reused = RequestHead::empty();
            for head in heads {
                let fresh = decode(&head, &mut RequestHead::empty());
                prop_assert_eq!(decode(&head, &mut reused), fresh);
            }
        }
    }

    #[test]
    fn the_scan_and_the_parser_agree_on_every_byte_at_every_place() {
        let usual = b"GET /a?b HTTP/1.1\r\nHost: h:80\r\nLong-Name: a value of 20 bytes\r\n\r\n";
        let mut taken = 0;
        for at in 0..usual.len() {
            for byte in 0..=u8::MAX {
                let mut bytes = usual.to_vec();
                bytes[at] = byte;
                let scanned = read(&bytes, true);
                taken += usize::from(scanned.is_some());
                if scanned.is_some() {
                    assert_eq!(scanned, read(&bytes, false), "{byte} at {at}");
                }
            }
        }
        assert!(taken > 3000, "the scan took only {taken} requests");
    }

    #[test]
    fn the_scan_takes_requests_of_the_usual_form() {
        let line = "/ HTTP/1.1\r\nHost: a:80\r\n";
        let agent = "User-Agent: curl/8.5.0\r\nAccept: */*\r\n";
        for method in ["GET", "HEAD", "POST", "PUT"] {
            let request = format!("{method} {line}{agent}\r\n");
            assert!(matches!(read(request.as_bytes(), true), Some(Ok(_))), "{request}");
        }
        for (request, error) in [
            ("GET / HTTP/1.1\r\n\r\n", ProtocolError::HostMissing),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", ProtocolError::HostRepeated),
        ] {
            assert_eq!(read(request.as_bytes(), true), Some(Err(error)));
        }
    }
}
