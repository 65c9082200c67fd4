//! The header of a frame (RFC 6455 section 5.2).

use crate::websocket::error::WsError;
use crate::websocket::mask::Mask;

/// The longest payload of a control frame (RFC 6455 section 5.5).
pub(super) const CONTROL_BYTES_MAX: usize = 125;

const FINAL: u8 = 0x80;
const RESERVED: u8 = 0x70;
const CONTROL: u8 = 0x08;
const MASKED: u8 = 0x80;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Opcode {
    Continuation = 0x0,
    Text = 0x1,
    Binary = 0x2,
    Close = 0x8,
    Ping = 0x9,
    Pong = 0xA,
}

impl Opcode {
    pub(super) const fn is_control(self) -> bool {
        self as u8 & CONTROL != 0
    }

    const fn of(byte: u8) -> Option<Self> {
        Some(match byte & 0x0F {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return None,
        })
    }
}

/// The header of a frame that a client has sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) opcode: Opcode,
    /// The frame is the last one of its message.
    pub(super) is_final: bool,
    pub(super) payload_bytes: u64,
    pub(super) mask: Mask,
}

impl Header {
    /// Parses the header at the start of `input`. Returns it with its length, or `None` if `input`
    /// ends within it. An error is returned as soon as the bytes that cause it are there.
    ///
    /// # Errors
    /// [`WsError::Protocol`] if a client must not send it.
    pub(super) fn parse(input: &[u8]) -> Result<Option<(Self, usize)>, WsError> {
        let Some((&first, rest)) = input.split_first() else { return Ok(None) };
        if first & RESERVED != 0 {
            return Err(WsError::Protocol("a reserved bit is set"));
        }
        let Some(opcode) = Opcode::of(first) else {
            return Err(WsError::Protocol("the opcode is reserved"));
        };
        let is_final = first & FINAL != 0;
        if opcode.is_control() && !is_final {
            return Err(WsError::Protocol("a control frame is fragmented"));
        }
        let Some((&second, rest)) = rest.split_first() else { return Ok(None) };
        if second & MASKED == 0 {
            return Err(WsError::Protocol("a frame is not masked"));
        }
        let length = second & !MASKED;
        if opcode.is_control() && usize::from(length) > CONTROL_BYTES_MAX {
            return Err(WsError::Protocol("a control frame is longer than 125 bytes"));
        }
        let Some((payload_bytes, rest)) = parse_length(length, rest)? else { return Ok(None) };
        let Some((key, rest)) = rest.split_first_chunk() else { return Ok(None) };
        let header = Self { opcode, is_final, payload_bytes, mask: Mask::new(*key) };
        Ok(Some((header, input.len() - rest.len())))
    }
}

/// Parses the extended length that follows `length`, if there is one. Returns the length of the
/// payload and what follows.
fn parse_length(length: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, WsError> {
    let (bytes, rest, least) = match length {
        126 => match rest.split_first_chunk::<2>() {
            Some((bytes, rest)) => (u64::from(u16::from_be_bytes(*bytes)), rest, 126),
            None => return Ok(None),
        },
        127 => match rest.split_first_chunk::<8>() {
            Some((bytes, rest)) => (u64::from_be_bytes(*bytes), rest, 1 << 16),
            None => return Ok(None),
        },
        short => (u64::from(short), rest, 0),
    };
    if bytes < least || bytes > i64::MAX as u64 {
        return Err(WsError::Protocol("a length is not encoded in the shortest way"));
    }
    Ok(Some((bytes, rest)))
}

/// Appends the header of an unmasked, complete frame.
pub(super) fn encode_header(opcode: Opcode, payload_bytes: usize, out: &mut Vec<u8>) {
    let first = FINAL | opcode as u8;
    match payload_bytes {
        0..=125 => out.extend([first, payload_bytes as u8]),
        126..=0xFFFF => {
            let [high, low] = (payload_bytes as u16).to_be_bytes();
            out.extend([first, 126, high, low]);
        }
        _ => {
            out.extend([first, 127]);
            out.extend((payload_bytes as u64).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_parsed_once_all_of_it_is_there() {
        for (length, encoded) in [
            (0, vec![0x80]),
            (125, vec![0xFD]),
            (126, vec![0xFE, 0, 126]),
            (0xFFFF, vec![0xFE, 0xFF, 0xFF]),
            (0x1_0000, vec![0xFF, 0, 0, 0, 0, 0, 1, 0, 0]),
            (i64::MAX as u64, vec![0xFF, 0x7F, 255, 255, 255, 255, 255, 255, 255]),
        ] {
            let header = [vec![0x82], encoded, vec![1, 2, 3, 4]].concat();
            for end in 0..header.len() {
                assert!(Header::parse(&header[..end]).unwrap().is_none());
            }
            let input = [header.clone(), b"payload".to_vec()].concat();
            let (parsed, bytes) = Header::parse(&input).unwrap().unwrap();
            assert_eq!((parsed.payload_bytes, bytes), (length, header.len()));
            assert!(parsed.is_final && parsed.opcode == Opcode::Binary && bytes <= 14);
        }
    }

    #[test]
    fn lengths_that_are_not_the_shortest_or_exceed_63_bits_are_refused() {
        for long in [
            &[0x82, 0xFE, 0, 125][..],
            &[0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF],
            &[0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert!(Header::parse(&long[..long.len() - 1]).unwrap().is_none());
            assert!(matches!(Header::parse(long), Err(WsError::Protocol(_))), "{long:?}");
        }
    }

    #[test]
    fn headers_are_encoded_in_the_shortest_way() {
        let encoded = |bytes| {
            let mut out = Vec::new();
            encode_header(Opcode::Text, bytes, &mut out);
            out
        };
        assert_eq!(encoded(125), [0x81, 125]);
        assert_eq!(encoded(126), [0x81, 126, 0, 126]);
        assert_eq!(encoded(0xFFFF), [0x81, 126, 0xFF, 0xFF]);
        assert_eq!(encoded(0x1_0000), [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }
}
