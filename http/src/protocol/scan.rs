//! Reads request heads of the usual form in one pass.
//!
//! The scan takes only heads that are certainly valid. It leaves everything else to the parser:
//! other methods and versions, targets in absolute form, unusual white space, incomplete heads and
//! errors. So it reports no error itself, and the parser would read the heads that it takes in the
//! same way; a property test in `decode` checks that.

// crates
use http::{Method, Version};

// ours
use crate::protocol::fields::Span;
use crate::protocol::head::RequestHead;
use crate::protocol::known_fields::KnownFields;
use crate::protocol::limits::Limits;
use crate::protocol::syntax::{path_length, query_length, token_length, value_length};

/// Follows the target in a request line. A line of HTTP/1.0 has the same length.
pub(crate) const AFTER_TARGET: &[u8] = b" HTTP/1.1\r\n";

/// Reads the head at the start of `window`: the request line into `head`, the header lines into
/// `known`. Returns the length of the head, or `None` if it is left to the parser; `head` and
/// `known` are unspecified then.
pub(crate) fn scan_request<'a>(
    window: &'a [u8],
    limits: &Limits,
    head: &mut RequestHead,
    known: &mut KnownFields<'a>,
) -> Option<usize> {
    let target_start = scan_method(window, limits, head)?;
    let lines_start = scan_target(window, target_start, limits, head)?;
    scan_lines(window, lines_start, limits, known)
}

/// Returns the offset of the target.
fn scan_method(window: &[u8], limits: &Limits, head: &mut RequestHead) -> Option<usize> {
    let (method, length) = match window {
        [b'G', b'E', b'T', b' ', ..] => (Method::GET, "GET".len()),
        [b'P', b'O', b'S', b'T', b' ', ..] => (Method::POST, "POST".len()),
        [b'P', b'U', b'T', b' ', ..] => (Method::PUT, "PUT".len()),
        [b'H', b'E', b'A', b'D', b' ', ..] => (Method::HEAD, "HEAD".len()),
        _ => return None,
    };
    head.method = method;
    (length <= limits.method_bytes_max.into()).then_some(length + 1)
}

/// Returns the offset of the header lines.
fn scan_target(
    window: &[u8],
    start: usize,
    limits: &Limits,
    head: &mut RequestHead,
) -> Option<usize> {
    let text = &window[start..];
    let path_end = path_length(text);
    let end = match text.get(path_end) {
        Some(b'?') => path_end + query_length(&text[path_end..]),
        _ => path_end,
    };
    let (target, rest) = text.split_at(end);
    let is_plain = target.first() == Some(&b'/')
        && end <= limits.target_bytes_max.into()
        && rest.starts_with(AFTER_TARGET);
    if !is_plain {
        return None;
    }
    let span = |length: usize| Span { start: start as u16, end: (start + length) as u16 };
    head.version = Version::HTTP_11;
    head.target = span(end);
    head.path = span(path_end);
    head.authority = Span::default();
    Some(start + end + AFTER_TARGET.len())
}

/// Returns the offset of the first byte after the blank line.
fn scan_lines<'a>(
    window: &'a [u8],
    start: usize,
    limits: &Limits,
    known: &mut KnownFields<'a>,
) -> Option<usize> {
    let mut rest = &window[start..];
    // One more for the blank line.
    for _ in 0..usize::from(limits.headers_count_max) + 1 {
        if let [b'\r', b'\n', rest @ ..] = rest {
            return Some(window.len() - rest.len());
        }
        let (name, [b':', b' ', after_name @ ..]) = rest.split_at(token_length(rest)) else {
            return None;
        };
        let (value, [b'\r', b'\n', next @ ..]) = after_name.split_at(value_length(after_name))
        else {
            return None;
        };
        // White space around a value is not part of it. The parser trims it and takes empty values.
        let is_trimmed = matches!(value, [first, .., last] if *first != b' ' && *last != b' ')
            || matches!(value, [only] if *only != b' ');
        if name.is_empty() || !is_trimmed {
            return None;
        }
        known.record(name, value);
        rest = next;
    }
    None
}
