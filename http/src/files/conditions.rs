//! Whether the version that there is is wanted, in the order of RFC 9110 section 13.2.2.

use std::time::SystemTime;

use http::{Method, StatusCode};

use crate::files::version::Version;
use crate::protocol::head::RequestHead;

/// `None` if the request is to be served; otherwise 304 or 412.
pub(super) fn evaluate(head: &RequestHead, version: &Version) -> Option<StatusCode> {
    let is_read = matches!(*head.method(), Method::GET | Method::HEAD);
    if head.header("if-match").is_some() {
        if !lists_tag(head, "if-match", |tag| is_same(tag, &version.etag)) {
            return Some(StatusCode::PRECONDITION_FAILED);
        }
    } else if is_changed_after(head, "if-unmodified-since", version) == Some(true) {
        return Some(StatusCode::PRECONDITION_FAILED);
    }
    if head.header("if-none-match").is_some() {
        if lists_tag(head, "if-none-match", |tag| is_alike(tag, &version.etag)) {
            let refused = StatusCode::PRECONDITION_FAILED;
            return Some(if is_read { StatusCode::NOT_MODIFIED } else { refused });
        }
    } else if is_read && is_changed_after(head, "if-modified-since", version) == Some(false) {
        return Some(StatusCode::NOT_MODIFIED);
    }
    None
}

/// Whether the range that a request asks for may be sent (RFC 9110 section 13.1.5): without a
/// condition, or if the client's part is of this very version.
pub(super) fn allow_range(head: &RequestHead, version: &Version) -> bool {
    let Some(value) = head.header("if-range") else { return true };
    if value.starts_with(b"\"") || value.starts_with(b"W/") {
        return is_same(value, &version.etag);
    }
    // A time tells versions apart only if they cannot have the same (section 8.8.2.2).
    version.is_settled && version.modified.is_some() && date(value) == version.modified
}

/// Whether the file has changed since the date of a header; `None` without a valid one.
fn is_changed_after(head: &RequestHead, name: &str, version: &Version) -> Option<bool> {
    let date = date(head.header(name)?)?;
    Some(version.modified? > date)
}

fn date(value: &[u8]) -> Option<SystemTime> {
    httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()
}

/// Whether one of the entity tags of a header is as `matches` says. `*` stands for any.
fn lists_tag(head: &RequestHead, name: &str, matches: impl Fn(&[u8]) -> bool) -> bool {
    let lines =
        head.header_lines().filter(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()));
    lines.into_iter().any(|(_, value)| value == b"*" || Tags { rest: value }.any(&matches))
}

/// Goes through a list of entity tags, up to what is none.
struct Tags<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Tags<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let is_between = |byte: &u8| matches!(byte, b' ' | b'\t' | b',');
        let start = self.rest.iter().position(|byte| !is_between(byte))?;
        let tag = &self.rest[start..];
        let quoted = tag.strip_prefix(b"W/").unwrap_or(tag).strip_prefix(b"\"")?;
        let closing = memchr::memchr(b'"', quoted)?;
        let length = tag.len() - quoted.len() + closing + 1;
        self.rest = &tag[length..];
        Some(&tag[..length])
    }
}

/// The strong comparison (RFC 9110 section 8.8.3.2).
fn is_same(tag: &[u8], ours: &str) -> bool {
    !ours.starts_with("W/") && tag == ours.as_bytes()
}

/// The weak comparison.
fn is_alike(tag: &[u8], ours: &str) -> bool {
    let ours = ours.as_bytes();
    tag.strip_prefix(b"W/").unwrap_or(tag) == ours.strip_prefix(b"W/").unwrap_or(ours)
}
