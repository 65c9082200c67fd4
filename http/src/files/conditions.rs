//! Conditional requests, evaluated in the order of RFC 9110 section 13.2.2.

use std::time::SystemTime;

use http::{Method, StatusCode};

use crate::files::version::Version;
use crate::protocol::head::RequestHead;

/// Returns the status 304 or 412 if a condition of the request fails, otherwise `None`.
pub(super) fn evaluate(head: &RequestHead, version: &Version) -> Option<StatusCode> {
    let is_read = matches!(*head.method(), Method::GET | Method::HEAD);
    if head.header("if-match").is_some() {
        if !lists_tag(head, "if-match", |tag| matches_strongly(tag, &version.etag)) {
            return Some(StatusCode::PRECONDITION_FAILED);
        }
    } else if is_changed_after(head, "if-unmodified-since", version) == Some(true) {
        return Some(StatusCode::PRECONDITION_FAILED);
    }
    if head.header("if-none-match").is_some() {
        if lists_tag(head, "if-none-match", |tag| matches_weakly(tag, &version.etag)) {
            return Some(match is_read {
                true => StatusCode::NOT_MODIFIED,
                false => StatusCode::PRECONDITION_FAILED,
            });
        }
    } else if is_read && is_changed_after(head, "if-modified-since", version) == Some(false) {
        return Some(StatusCode::NOT_MODIFIED);
    }
    None
}

/// Returns `true` if the range of a request may be sent: there is no `If-Range`, or it names
/// exactly this version (RFC 9110 section 13.1.5).
pub(super) fn allow_range(head: &RequestHead, version: &Version) -> bool {
    let Some(value) = head.header("if-range") else { return true };
    if value.starts_with(b"\"") || value.starts_with(b"W/") {
        return matches_strongly(value, &version.etag);
    }
    // A date identifies a version only if no other version can have it (section 8.8.2.2).
    version.is_modified_unique && version.modified.is_some() && date(value) == version.modified
}

/// Returns whether the file has changed after the date in a header, or `None` without a valid date.
fn is_changed_after(head: &RequestHead, name: &str, version: &Version) -> Option<bool> {
    let date = date(head.header(name)?)?;
    Some(version.modified? > date)
}

fn date(value: &[u8]) -> Option<SystemTime> {
    httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()
}

/// Returns `true` if an entity tag in the header `name` matches. `*` matches always.
fn lists_tag(head: &RequestHead, name: &str, matches: impl Fn(&[u8]) -> bool) -> bool {
    let lines =
        head.header_lines().filter(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()));
    lines.into_iter().any(|(_, value)| value == b"*" || Tags { rest: value }.any(&matches))
}

/// An iterator over a list of entity tags. It ends at the first malformed one.
struct Tags<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Tags<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let is_separator = |byte: &u8| matches!(byte, b' ' | b'\t' | b',');
        let start = self.rest.iter().position(|byte| !is_separator(byte))?;
        let tag = &self.rest[start..];
        let quoted = tag.strip_prefix(b"W/").unwrap_or(tag).strip_prefix(b"\"")?;
        let closing = memchr::memchr(b'"', quoted)?;
        let length = tag.len() - quoted.len() + closing + 1;
        self.rest = &tag[length..];
        Some(&tag[..length])
    }
}

/// Compares strongly (RFC 9110 section 8.8.3.2).
fn matches_strongly(tag: &[u8], ours: &str) -> bool {
    !ours.starts_with("W/") && tag == ours.as_bytes()
}

/// Compares weakly (RFC 9110 section 8.8.3.2).
fn matches_weakly(tag: &[u8], ours: &str) -> bool {
    let ours = ours.as_bytes();
    tag.strip_prefix(b"W/").unwrap_or(tag) == ours.strip_prefix(b"W/").unwrap_or(ours)
}
