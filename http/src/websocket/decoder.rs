//! From bytes to messages: joins fragments, removes masks, checks texts. Does no I/O.
//!
//! What `receive` gets is decoded in place, up to the end of the first message. Only what follows
//! it is kept, and decoded by `decode_kept`. So a connection on which nothing is incomplete owns no
//! buffer. The payload of a large frame is received directly into its message: see
//! `payload_buffer`.

use std::mem;

use bytes::Bytes;
use bytestring::ByteString;

use crate::websocket::close_code;
use crate::websocket::error::WsError;
use crate::websocket::frame::{Header, Opcode};
use crate::websocket::mask::Mask;
use crate::websocket::message::{CloseFrame, Message};
use crate::websocket::utf8;

/// If at least this much of a payload is missing, it is received directly into its message, which
/// costs less than copying that much.
const LARGE_PAYLOAD_BYTES: u64 = 16 * 1024;
/// How much is allocated for a payload at once. A peer that announces more has to send it first.
const GROWTH_BYTES: u64 = 64 * 1024;

/// What a client has sent, and the messages in it.
#[derive(Debug)]
pub(super) struct Decoder {
    frame_bytes_max: usize,
    message_bytes_max: usize,
    /// Received and not decoded yet.
    kept: Vec<u8>,
    /// How much of `kept` was decoded.
    decoded: usize,
    /// What is kept is the beginning of a frame, and cannot be decoded before its rest is there.
    is_incomplete: bool,
    /// The frame whose payload is being received.
    frame: Option<Frame>,
    /// The message whose fragments are being received.
    message: Option<Partial>,
}

/// A data frame of whose payload a part is missing.
#[derive(Clone, Copy, Debug)]
struct Frame {
    missing: u64,
    is_final: bool,
    mask: Mask,
}

/// A message that is not complete.
#[derive(Debug, Default)]
struct Partial {
    is_text: bool,
    bytes: Vec<u8>,
    /// Up to where a text is known to be UTF-8.
    checked: usize,
}

/// A message, or `None` after a part of one.
type Decoded = Option<Message>;

impl Decoder {
    pub(super) fn new(frame_bytes_max: usize, message_bytes_max: usize) -> Self {
        Self {
            frame_bytes_max,
            message_bytes_max,
            kept: Vec::new(),
            decoded: 0,
            is_incomplete: false,
            frame: None,
            message: None,
        }
    }

    /// Keeps `input`, without decoding it.
    pub(super) fn keep(&mut self, input: &[u8]) {
        if self.kept.is_empty() {
            self.kept = input.to_vec();
        } else {
            self.kept.extend_from_slice(input);
        }
        self.is_incomplete = false;
    }

    /// Returns `true` if [`decode_kept`](Self::decode_kept) may return something.
    pub(super) fn has_kept(&self) -> bool {
        !self.kept.is_empty() && !self.is_incomplete
    }

    /// Decodes `input`, up to the end of the first frame in it, and keeps the rest.
    ///
    /// # Errors
    /// If the peer violates the protocol or a limit. Nothing can be decoded afterwards.
    pub(super) fn receive(&mut self, input: &[u8]) -> Result<Decoded, WsError> {
        if !self.kept.is_empty() {
            self.keep(input);
            return self.decode_kept();
        }
        let (decoded, used) = self.decode(input)?;
        if used < input.len() {
            self.kept = input[used..].to_vec();
        }
        Ok(decoded)
    }

    /// Decodes what is kept, up to the end of the first frame in it.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub(super) fn decode_kept(&mut self) -> Result<Decoded, WsError> {
        let kept = mem::take(&mut self.kept);
        let (decoded, used) = self.decode(&kept[self.decoded..])?;
        self.decoded += used;
        if self.is_incomplete {
            self.kept = kept[mem::take(&mut self.decoded)..].to_vec();
        } else if self.decoded < kept.len() {
            self.kept = kept;
        } else {
            self.decoded = 0;
        }
        Ok(decoded)
    }

    /// Decodes up to the end of the first frame in `input`. Returns how many bytes were used.
    fn decode(&mut self, input: &[u8]) -> Result<(Decoded, usize), WsError> {
        if self.frame.is_some() {
            return self.decode_payload(input);
        }
        let Some((header, header_bytes)) = Header::parse(input)? else {
            self.is_incomplete = true;
            return Ok((None, 0));
        };
        let payload = &input[header_bytes..];
        if header.opcode.is_control() {
            let Some(payload) = payload.get(..header.payload_bytes as usize) else {
                self.is_incomplete = true;
                return Ok((None, 0));
            };
            return Ok((Some(control(header, payload)?), header_bytes + payload.len()));
        }
        self.begin_frame(header)?;
        let (decoded, used) = self.decode_payload(payload)?;
        Ok((decoded, header_bytes + used))
    }

    /// Notes the frame of `header`, if it may be sent now.
    fn begin_frame(&mut self, header: Header) -> Result<(), WsError> {
        if header.payload_bytes > self.frame_bytes_max as u64 {
            return Err(WsError::TooLarge { max: self.frame_bytes_max });
        }
        match (header.opcode, &self.message) {
            (Opcode::Continuation, None) => {
                return Err(WsError::Protocol("a continuation frame continues no message"));
            }
            (Opcode::Continuation, Some(_)) => {}
            (_, Some(_)) => {
                return Err(WsError::Protocol("a message begins within another one"));
            }
            (opcode, None) => {
                let is_text = opcode == Opcode::Text;
                self.message = Some(Partial { is_text, ..Partial::default() });
            }
        }
        let received = self.message.as_ref().map_or(0, |message| message.bytes.len() as u64);
        if received.saturating_add(header.payload_bytes) > self.message_bytes_max as u64 {
            return Err(WsError::TooLarge { max: self.message_bytes_max });
        }
        let Header { payload_bytes: missing, is_final, mask, .. } = header;
        self.frame = Some(Frame { missing, is_final, mask });
        Ok(())
    }

    /// Decodes what `input` has of the current frame's payload.
    fn decode_payload(&mut self, input: &[u8]) -> Result<(Decoded, usize), WsError> {
        let (Some(frame), Some(message)) = (&self.frame, &mut self.message) else {
            return Ok((None, 0));
        };
        let length = frame.missing.min(input.len() as u64) as usize;
        message.reserve(frame.missing);
        let start = message.bytes.len();
        message.bytes.extend_from_slice(&input[..length]);
        Ok((self.end_part(start)?, length))
    }

    /// Unmasks and checks the payload that was appended to the message at `start`. Returns the
    /// message if that was the last of it.
    fn end_part(&mut self, start: usize) -> Result<Decoded, WsError> {
        let (Some(frame), Some(message)) = (&mut self.frame, &mut self.message) else {
            return Ok(None);
        };
        let part = &mut message.bytes[start..];
        frame.mask.apply(part);
        frame.missing -= part.len() as u64;
        let is_whole = frame.missing == 0 && frame.is_final;
        if frame.missing == 0 {
            self.frame = None;
        }
        if !is_whole {
            if message.is_text {
                message.checked = utf8::check(&message.bytes, message.checked)?;
            }
            return Ok(None);
        }
        let Some(Partial { is_text, mut bytes, .. }) = self.message.take() else {
            return Ok(None);
        };
        bytes.shrink_to_fit();
        match is_text {
            true => ByteString::try_from(bytes).map_or(Err(WsError::Utf8), |text| Ok(text.into())),
            false => Ok(Message::binary(bytes)),
        }
        .map(Some)
    }

    /// Returns a buffer in whose spare capacity the next bytes can be received, without a copy, if
    /// many bytes of a payload are missing. Call [`end_receive`](Self::end_receive) afterwards.
    pub(super) fn payload_buffer(&mut self) -> Option<&mut Vec<u8>> {
        let missing = self.frame.as_ref()?.missing;
        if missing < LARGE_PAYLOAD_BYTES || !self.kept.is_empty() {
            return None;
        }
        let message = self.message.as_mut()?;
        message.reserve(missing);
        Some(&mut message.bytes)
    }

    /// Decodes what was appended to the [`payload_buffer`](Self::payload_buffer), which had
    /// `before` bytes.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub(super) fn end_receive(&mut self, before: usize) -> Result<Decoded, WsError> {
        if let (Some(frame), Some(message)) = (&self.frame, &mut self.message) {
            // The buffer may have room for more than the payload.
            let end = before.saturating_add(frame.missing as usize);
            if message.bytes.len() > end {
                self.kept = message.bytes.split_off(end);
            }
        }
        self.end_part(before)
    }
}

impl Partial {
    /// Makes room for some of the `missing` bytes of a frame, unless there is enough for a read.
    fn reserve(&mut self, missing: u64) {
        let room = (self.bytes.capacity() - self.bytes.len()) as u64;
        if room >= missing.min(LARGE_PAYLOAD_BYTES) {
            return;
        }
        let more = missing.min(GROWTH_BYTES) as usize;
        match self.bytes.is_empty() {
            true => self.bytes.reserve_exact(more),
            false => self.bytes.reserve(more),
        }
    }
}

/// Decodes a control frame.
fn control(mut header: Header, payload: &[u8]) -> Result<Message, WsError> {
    let mut payload = payload.to_vec();
    header.mask.apply(&mut payload);
    let payload = Bytes::from(payload);
    match header.opcode {
        Opcode::Ping => Ok(Message::Ping(payload)),
        Opcode::Pong => Ok(Message::Pong(payload)),
        _ => decode_close(&payload),
    }
}

/// Decodes the payload of a close frame (RFC 6455 section 5.5.1).
fn decode_close(payload: &Bytes) -> Result<Message, WsError> {
    let Some((code, _)) = payload.split_first_chunk() else {
        return match payload.is_empty() {
            true => Ok(Message::Close(None)),
            false => Err(WsError::Protocol("a close frame has half a code")),
        };
    };
    let code = u16::from_be_bytes(*code);
    if !close_code::is_sendable(code) {
        return Err(WsError::Protocol("a close frame has a reserved code"));
    }
    let reason = ByteString::try_from(payload.slice(2..)).map_err(|_| WsError::Utf8)?;
    Ok(Message::Close(Some(CloseFrame { code, reason })))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

    /// Encodes a frame as a client does. `first` is its first byte.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        crate::websocket::frame::encode_header(Opcode::Text, payload.len(), &mut frame);
        frame[0] = first;
        frame[1] |= 0x80;
        frame.extend(KEY);
        frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
        frame
    }

    /// Decodes all of `parts`, which arrive one after the other.
    fn decode<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Message>, String> {
        let mut decoder = Decoder::new(100_000, 200_000);
        let mut messages = Vec::new();
        for part in parts {
            let mut decoded = match decoder.payload_buffer() {
                Some(buffer) => {
                    let before = buffer.len();
                    buffer.extend_from_slice(part);
                    decoder.end_receive(before)
                }
                None => decoder.receive(part),
            };
            loop {
                messages.extend(decoded.map_err(|error| error.to_string())?);
                if !decoder.has_kept() {
                    break;
                }
                decoded = decoder.decode_kept();
            }
        }
        assert!(decoder.kept.is_empty() && decoder.kept.capacity() == 0 && decoder.decoded == 0);
        assert!(decoder.frame.is_none() && decoder.message.is_none());
        Ok(messages)
    }

    #[test]
    fn messages_are_the_same_wherever_the_bytes_are_cut() {
        let input = [
            frame(0x81, "grüße".as_bytes()),
            frame(0x02, &[7; 300]),
            frame(0x89, b"there?"),
            frame(0x00, b""),
            frame(0x80, &[8; 40]),
            frame(0x82, b""),
            frame(0x01, "κόσ".as_bytes()),
            frame(0x8A, b""),
            frame(0x80, "με".as_bytes()),
            frame(0x88, &[[0x03, 0xE8].as_slice(), b"enough"].concat()),
        ]
        .concat();
        let expected = vec![
            Message::text("grüße"),
            Message::Ping("there?".into()),
            Message::binary([vec![7; 300], vec![8; 40]].concat()),
            Message::binary(""),
            Message::Pong("".into()),
            Message::text("κόσμε"),
            Message::close(1000, "enough"),
        ];
        assert_eq!(decode([&input[..]]).unwrap(), expected);
        assert_eq!(decode(input.chunks(1)).unwrap(), expected);
        for cut in 1..input.len() {
            let (start, end) = input.split_at(cut);
            assert_eq!(decode([start, end]).unwrap(), expected, "cut at {cut}");
        }
    }

    #[test]
    fn a_large_payload_is_received_in_place_together_with_what_follows_it() {
        let large: Vec<u8> = (0..90_000_u32).map(|n| n as u8).collect();
        let input =
            [frame(0x02, &large), frame(0x80, &large), frame(0x81, b"next"), frame(0x89, b"ping")]
                .concat();
        let expected = vec![
            Message::binary([&large[..], &large].concat()),
            Message::text("next"),
            Message::Ping("ping".into()),
        ];
        for size in [1, 1_000, 16_383, 50_000, 89_000, 90_020, 200_000] {
            assert_eq!(decode(input.chunks(size)).unwrap(), expected, "in parts of {size}");
        }
    }

    #[test]
    fn a_message_and_a_frame_are_refused_by_their_announced_size() {
        let mut decoder = Decoder::new(10, 15);
        let header = &frame(0x82, &[0; 11])[..6];
        assert!(matches!(decoder.receive(header), Err(WsError::TooLarge { max: 10 })));
        let mut decoder = Decoder::new(10, 15);
        assert_eq!(decoder.receive(&frame(0x02, &[0; 10])).unwrap(), None);
        let header = &frame(0x80, &[0; 6])[..6];
        assert!(matches!(decoder.receive(header), Err(WsError::TooLarge { max: 15 })));
    }

    #[test]
    fn an_announced_payload_is_allocated_as_it_arrives() {
        let mut decoder = Decoder::new(1 << 30, 1 << 30);
        let header = [0x82, 0xFF, 0, 0, 0, 0, 0x20, 0, 0, 0, 1, 2, 3, 4];
        decoder.receive(&header).unwrap();
        let allocated = decoder.payload_buffer().unwrap().capacity();
        assert!(allocated <= 64 * 1024, "{allocated}");
    }
}
