//! The heads of h2's responses as ours.
//!
//! A head is written as one of HTTP/1.1 and decoded like one, so that the same rules and limits
//! hold. h2 has refused headers that HTTP/2 does not allow before, such as `Connection`.

use http::{StatusCode, Version, response};

use crate::protocol::decode::decode_response;
use crate::protocol::error::ProtocolError;
use crate::protocol::framing::Framing;
use crate::protocol::head::ResponseHead;
use crate::protocol::limits::Limits;
use crate::protocol::receive_buffer::ReceiveBuffer;

/// Converts the head of a response, which is the end of its stream or is followed by a body.
pub(super) fn convert(
    parts: &response::Parts,
    is_end: bool,
    to_head: bool,
    limits: &Limits,
) -> Result<ResponseHead, ProtocolError> {
    // It cannot be complete without an upgrade, and there is none (RFC 9113 section 8.6).
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(ProtocolError::UnexpectedResponse);
    }
    let mut text = format!("HTTP/1.1 {} \r\n", parts.status.as_str()).into_bytes();
    for (name, value) in &parts.headers {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    let mut buffer = ReceiveBuffer::default();
    buffer.append(&text);
    let decoded = decode_response(&mut buffer, &mut 0, to_head, limits)?;
    let mut head = decoded.ok_or(ProtocolError::HeadTooLarge)?;
    head.version = Version::HTTP_2;
    head.keep_alive = true;
    // The end of the stream is the end of the body, whatever frames it.
    head.framing = match head.framing {
        Framing::Chunked | Framing::UntilClose if is_end => Framing::Length(0),
        Framing::Chunked | Framing::UntilClose => Framing::Chunked,
        framing => framing,
    };
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(status: u16, lines: &[(&str, &str)]) -> response::Parts {
        let mut builder = http::Response::builder().status(status);
        for (name, value) in lines {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    fn decoded(status: u16, lines: &[(&str, &str)], is_end: bool, to_head: bool) -> ResponseHead {
        convert(&parts(status, lines), is_end, to_head, &Limits::default()).unwrap()
    }

    #[test]
    fn the_head_has_the_status_the_headers_and_the_version() {
        let head = decoded(404, &[("set-cookie", "a"), ("set-cookie", "b")], true, false);
        assert_eq!((head.status(), head.version()), (StatusCode::NOT_FOUND, Version::HTTP_2));
        assert_eq!(head.headers().get_all("set-cookie").iter().count(), 2);
        assert_eq!(head.reason(), "");
    }

    #[test]
    fn the_body_has_the_length_that_is_announced_or_ends_with_the_stream() {
        let length = [("content-length", "5")];
        assert_eq!(decoded(200, &length, false, false).framing(), Framing::Length(5));
        assert_eq!(decoded(200, &[], false, false).framing(), Framing::Chunked);
        assert_eq!(decoded(200, &[], true, false).framing(), Framing::Length(0));
        assert_eq!(decoded(200, &length, true, true).framing(), Framing::None);
        assert_eq!(decoded(304, &length, true, false).framing(), Framing::None);
        assert_eq!(decoded(204, &[], true, false).framing(), Framing::None);
    }

    #[test]
    fn the_limits_are_those_of_http1() {
        let limits = Limits { head_bytes_max: 100, headers_count_max: 2, ..Limits::default() };
        let error = |lines: &[(&str, &str)]| {
            convert(&parts(200, lines), true, false, &limits).map(|_| ()).unwrap_err()
        };
        let long = "x".repeat(100);
        assert_eq!(error(&[("a", long.as_str())]), ProtocolError::HeadTooLarge);
        let three = [("a", "1"), ("b", "2"), ("c", "3")];
        assert_eq!(error(&three), ProtocolError::TooManyHeaders);
    }

    #[test]
    fn there_is_no_switch_of_protocols() {
        let switched = convert(&parts(101, &[]), false, false, &Limits::default());
        assert_eq!(switched.map(|_| ()), Err(ProtocolError::UnexpectedResponse));
    }
}
