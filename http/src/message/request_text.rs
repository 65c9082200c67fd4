//! Requests that were not received over HTTP/1.1.
//!
//! The head is written as one of HTTP/1.1 and decoded like one, so that the same rules and limits
//! hold for all requests.

use crate::message::parts::PartsBox;
use crate::message::request::Request;
use crate::protocol::decode::{check_incomplete_request, decode_request};
use crate::protocol::error::ProtocolError;
use crate::protocol::limits::Limits;
use crate::protocol::syntax::is_target;

/// More than most heads need.
const HEAD_BYTES: usize = 512;

/// The head of a request, as text that is being written.
pub(crate) struct RequestText {
    text: Vec<u8>,
}

impl RequestText {
    /// Begins a head with its request line.
    ///
    /// # Errors
    /// If the target is malformed.
    pub(crate) fn new(method: &str, target: &str) -> Result<Self, ProtocolError> {
        // The only part that may still contain a line end.
        if !is_target(target.as_bytes()) {
            return Err(ProtocolError::Target);
        }
        let mut text = Vec::with_capacity(HEAD_BYTES);
        for part in [method, " ", target, " HTTP/1.1\r\n"] {
            text.extend_from_slice(part.as_bytes());
        }
        Ok(Self { text })
    }

    /// Adds a header, whose name and value are valid.
    pub(crate) fn header(&mut self, name: &str, value: &[u8]) {
        self.joined_header(name, [value]);
    }

    /// Adds a header with all `values`, separated by `; ` as those of `Cookie` are. Adds nothing if
    /// there are no values.
    pub(crate) fn joined_header<'a>(
        &mut self,
        name: &str,
        values: impl IntoIterator<Item = &'a [u8]>,
    ) {
        let mut values = values.into_iter();
        let Some(first) = values.next() else { return };
        for part in [name.as_bytes(), b": ", first] {
            self.text.extend_from_slice(part);
        }
        for value in values {
            self.text.extend_from_slice(b"; ");
            self.text.extend_from_slice(value);
        }
        self.text.extend_from_slice(b"\r\n");
    }

    /// Ends and decodes the head. The request has version HTTP/1.1, no body, and no address.
    ///
    /// # Errors
    /// The error with which a server of HTTP/1.1 would refuse the request.
    pub(crate) fn decode(mut self, limits: &Limits) -> Result<Request, ProtocolError> {
        self.text.extend_from_slice(b"\r\n");
        let mut parts = PartsBox::new();
        match decode_request(&self.text, &mut 0, limits, &mut parts.head)? {
            Some(_) => Ok(Request { parts }),
            None => {
                check_incomplete_request(&self.text, limits)?;
                Err(ProtocolError::UnexpectedEnd)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_decoded_as_one_of_a_connection() {
        let mut text = RequestText::new("GET", "/a?b").unwrap();
        text.header("host", b"localhost");
        text.joined_header("cookie", [&b"a=1"[..], b"b=2", b"c=3"]);
        text.joined_header("x-none", []);
        let request = text.decode(&Limits::default()).unwrap();
        assert_eq!((request.path(), request.query()), ("/a", Some("b")));
        assert_eq!(request.header("cookie"), Some(&b"a=1; b=2; c=3"[..]));
        assert_eq!(request.headers().len(), 2);
    }

    #[test]
    fn a_head_that_a_server_would_refuse_is_an_error() {
        let error = |target: &str, lines: &[(&str, &[u8])], limits: &Limits| {
            let mut text = RequestText::new("GET", target)?;
            lines.iter().for_each(|(name, value)| text.header(name, value));
            text.decode(limits).map(drop)
        };
        let host = ("host", &b"a"[..]);
        let (limits, small) =
            (Limits::default(), Limits { head_bytes_max: 20, ..Limits::default() });
        assert_eq!(error("/ b", &[host], &limits), Err(ProtocolError::Target));
        assert_eq!(error("/", &[], &limits), Err(ProtocolError::HostMissing));
        assert_eq!(error("/", &[host, host], &limits), Err(ProtocolError::HostRepeated));
        assert_eq!(error("/", &[host, ("a", b"b")], &small), Err(ProtocolError::HeadTooLarge));
        assert_eq!(error("/", &[host], &limits), Ok(()));
    }
}
