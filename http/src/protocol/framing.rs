//! The length of a message body, determined in the order of RFC 9112 section 6.3.

// crates
use http::{StatusCode, Version};

// ours
use crate::protocol::error::ProtocolError;
use crate::protocol::syntax::{is_token, list_members, parse_decimal, trim_ows};

/// How the end of a body is recognized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// The body has this many bytes.
    Length(u64),
    /// The body comes in chunks (RFC 9112 section 7.1).
    Chunked,
    /// The body ends when the connection does. Only responses have this framing.
    UntilClose,
}

impl Framing {
    /// Returns `true` if at least one byte follows the head. That includes a chunked body without
    /// data, which still has a last chunk.
    #[must_use]
    pub const fn has_body(self) -> bool {
        !matches!(self, Self::None | Self::Length(0))
    }

    /// Returns the length of the body, if the head announces it.
    #[must_use]
    pub const fn length(self) -> Option<u64> {
        match self {
            Self::None => Some(0),
            Self::Length(length) => Some(length),
            Self::Chunked | Self::UntilClose => None,
        }
    }
}

/// The fields of a head that determine the length of its body, as they were sent.
#[derive(Debug, Default)]
pub(crate) struct LengthFields<'a> {
    content_length: Field<'a>,
    transfer_encoding: Field<'a>,
}

#[derive(Debug, Default)]
enum Field<'a> {
    #[default]
    Absent,
    Once(&'a [u8]),
    Repeated,
}

impl<'a> Field<'a> {
    fn record(&mut self, value: &'a [u8]) {
        *self = match self {
            Self::Absent => Self::Once(value),
            Self::Once(_) | Self::Repeated => Self::Repeated,
        };
    }

    fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

impl<'a> LengthFields<'a> {
    pub(crate) fn record_content_length(&mut self, value: &'a [u8]) {
        self.content_length.record(value);
    }

    pub(crate) fn record_transfer_encoding(&mut self, value: &'a [u8]) {
        self.transfer_encoding.record(value);
    }

    /// Returns the framing of a request.
    pub(crate) fn of_request(&self, version: Version) -> Result<Framing, ProtocolError> {
        // Rules 1 and 2 are about responses.
        // 3: with both fields the request may be a smuggling attempt, so it is refused.
        // 4: the last coding must be chunked, and we implement no other.
        // 5 and 6: a valid Content-Length is the length.
        // 7: with neither field there is no body.
        Ok(self.declared(version)?.unwrap_or(Framing::None))
    }

    /// Returns the framing of a response. `to_head` is `true` if the request was `HEAD`.
    pub(crate) fn of_response(
        &self,
        to_head: bool,
        status: StatusCode,
        version: Version,
    ) -> Result<Framing, ProtocolError> {
        // 1: these have no body, whatever the fields say.
        let bodiless = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if to_head || status.is_informational() || bodiless {
            return Ok(Framing::None);
        }
        // 2 is about CONNECT, which is never sent.
        // 3 to 6 are applied as strictly as for requests.
        // 8: with neither field the body ends when the connection does.
        Ok(self.declared(version)?.unwrap_or(Framing::UntilClose))
    }

    #[inline]
    fn declared(&self, version: Version) -> Result<Option<Framing>, ProtocolError> {
        if !self.transfer_encoding.is_absent() && !self.content_length.is_absent() {
            return Err(ProtocolError::LengthAndEncoding);
        }
        match self.transfer_encoding {
            Field::Absent => {}
            // RFC 9112 section 6.1: the framing of such a message is faulty.
            _ if version == Version::HTTP_10 => return Err(ProtocolError::EncodingInOldVersion),
            Field::Repeated => return Err(ProtocolError::TransferEncoding),
            Field::Once(value) => return transfer_encoding(value).map(Some),
        }
        match self.content_length {
            Field::Absent => Ok(None),
            Field::Repeated => Err(ProtocolError::ContentLengthRepeated),
            Field::Once(value) => {
                let length = parse_decimal(value).ok_or(ProtocolError::ContentLength)?;
                Ok(Some(Framing::Length(length)))
            }
        }
    }
}

fn transfer_encoding(value: &[u8]) -> Result<Framing, ProtocolError> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(Framing::Chunked);
    }
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let is_other = |coding: &[u8]| {
        is_token(coding) && !is_chunked(coding) && !coding.eq_ignore_ascii_case(b"identity")
    };
    let last_comma = memchr::memrchr(b',', value).ok_or(ProtocolError::TransferEncoding)?;
    let (others, last) = (&value[..last_comma], &value[last_comma + 1..]);
    if is_chunked(trim_ows(last)) && list_members(others).all(is_other) {
        Err(ProtocolError::EncodingUnsupported)
    } else {
        Err(ProtocolError::TransferEncoding)
    }
}
