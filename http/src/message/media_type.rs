//! What the body of a request says it is.

use crate::protocol::head::RequestHead;
use crate::protocol::syntax::trim_ows;

/// The media type of a request's body without its parameters: `application/json` (RFC 9110
/// section 8.3.1). To be compared without case.
pub(crate) fn media_type(head: &RequestHead) -> Option<&[u8]> {
    let value = head.header("content-type")?;
    let end = memchr::memchr(b';', value).unwrap_or(value.len());
    Some(trim_ows(&value[..end]))
}
