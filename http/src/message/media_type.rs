//! The media type of a request's body.

use crate::protocol::head::RequestHead;
use crate::protocol::syntax::trim_ows;

/// Returns the media type of a request's body without its parameters, such as `application/json`
/// (RFC 9110 section 8.3.1). It is case-insensitive.
pub(crate) fn media_type(head: &RequestHead) -> Option<&[u8]> {
    let value = head.header("content-type")?;
    let end = memchr::memchr(b';', value).unwrap_or(value.len());
    Some(trim_ows(&value[..end]))
}
