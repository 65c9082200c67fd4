//! Requests as nearly all clients write them, read in one pass.
//!
//! This takes what is beyond doubt and leaves everything else to the parser: other methods and
//! versions, targets in absolute form, white space in odd places, heads that are not all there,
//! and whatever is wrong. So it finds no error, and what it takes the parser would read in the
//! same way; a property test in `decode` holds the two together.

// crates
use http::{Method, Version};

// ours
use crate::protocol::fields::Span;
use crate::protocol::head::RequestHead;
use crate::protocol::known_fields::KnownFields;
use crate::protocol::limits::Limits;
use crate::protocol::syntax::{query_start, target_length, token_length, value_length};

/// What follows the target.
const VERSION: &[u8] = b" HTTP/1.1\r\n";

/// Reads the head that `window` begins with: its request line into `head`, and of its headers
/// into `known`. Returns its length, or `None` if it is one for the parser; then what is in `head`
/// and `known` means nothing.
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

/// Returns where the target begins.
fn scan_method(window: &[u8], limits: &Limits, head: &mut RequestHead) -> Option<usize> {
    let (method, length) = match window {
        [b'G', b'E', b'T', b' ', ..] => (Method::GET, 3),
        [b'P', b'O', b'S', b'T', b' ', ..] => (Method::POST, 4),
        [b'P', b'U', b'T', b' ', ..] => (Method::PUT, 3),
        [b'H', b'E', b'A', b'D', b' ', ..] => (Method::HEAD, 4),
        _ => return None,
    };
    head.method = method;
    (length <= limits.method_bytes_max.into()).then_some(length + 1)
}

/// Returns where the header lines begin.
fn scan_target(
    window: &[u8],
    start: usize,
    limits: &Limits,
    head: &mut RequestHead,
) -> Option<usize> {
    let text = &window[start..];
    let end = target_length(text);
    let (target, rest) = text.split_at(end);
    let is_plain = target.first() == Some(&b'/')
        && end <= limits.target_bytes_max.into()
        && rest.starts_with(VERSION);
    if !is_plain {
        return None;
    }
    let span = |length: usize| Span { start: start as u16, end: (start + length) as u16 };
    head.version = Version::HTTP_11;
    head.target = span(end);
    head.path = span(query_start(target));
    head.authority = Span::default();
    Some(start + end + VERSION.len())
}

/// Returns where the head ends, behind its blank line.
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
        let (name, [b':', b' ', behind @ ..]) = rest.split_at(token_length(rest)) else {
            return None;
        };
        let (value, [b'\r', b'\n', next @ ..]) = behind.split_at(value_length(behind)) else {
            return None;
        };
        // White space at the ends of a value is not part of it, and a value may be empty.
        let is_trimmed = matches!(value, [first, .., last] if *first != b' ' && *last != b' ')
            || matches!(value, [only] if *only != b' ');
        if name.is_empty() || !is_trimmed {
            return None;
        }
        known.note(name, value);
        rest = next;
    }
    None
}
