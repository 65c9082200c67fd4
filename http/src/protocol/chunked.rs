//! The chunked transfer coding (RFC 9112 section 7.1).
//!
//! The decoder is strict: it refuses the white space that the grammar allows around chunk
//! extensions. Two readers that disagree about a size line disagree about where the next request
//! begins, which is how requests are smuggled.

// crates
use bytes::Bytes;
use http::{HeaderMap, HeaderName, header};

// ours
use crate::protocol::error::{EncodeError, ProtocolError};
use crate::protocol::fields::Fields;
use crate::protocol::limits::Limits;
use crate::protocol::receive_buffer::ReceiveBuffer;
use crate::protocol::syntax::{find_blank_line, is_token_byte};

/// The digits of the largest size that fits 64 bits.
const SIZE_DIGITS_MAX: u8 = 16;

/// Follows the data of a chunk.
pub(crate) const CHUNK_END: &[u8; 2] = b"\r\n";

/// Ends the trailers.
const BLANK_LINE: &[u8; 2] = b"\r\n";

/// The result of one decoding step.
#[derive(Debug)]
pub(crate) enum Chunk {
    /// More bytes are needed.
    NeedData,
    /// A part of the body: a chunk, or as much of it as was received.
    Data(Bytes),
    /// The end of the body, with its trailers if there are any.
    End(Option<Box<HeaderMap>>),
}

/// The position of the next byte in the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The first digit of a chunk's size.
    FirstDigit,
    /// The other digits of the size, or what follows them.
    Digits,
    /// The first character of an extension's name.
    NameStart,
    /// The other characters of the name, or what follows it.
    Name,
    /// The first character of an extension's value: an opening quote, or the start of a token.
    ValueStart,
    /// The other characters of a value without quotes, or what follows it.
    Value,
    /// Between quotes.
    Quoted,
    /// After a backslash between quotes.
    Escaped,
    /// After the closing quote.
    QuotedEnd,
    /// The LF at the end of the size line.
    SizeLineFeed,
    /// The data of the chunk.
    Data,
    /// The CR after the data.
    DataReturn,
    /// The LF after the data.
    DataLineFeed,
    /// After the last chunk: the trailers and the blank line.
    Trailers,
}

/// Decodes the body of one message, however it is cut into pieces.
#[derive(Debug)]
pub(crate) struct ChunkedDecoder {
    /// The size read so far; then the number of bytes that the chunk still lacks.
    left: u64,
    /// Bytes of the current size line.
    line_bytes: u32,
    /// Bytes of extensions in all chunks so far.
    extension_bytes: u32,
    /// By how many bytes the framing exceeds the data so far.
    overhead_bytes: u32,
    /// How many bytes of the trailers have been searched for their end.
    trailers_scanned: u16,
    /// Digits of the current size.
    digits: u8,
    state: State,
}

impl ChunkedDecoder {
    pub(crate) const fn new() -> Self {
        Self {
            left: 0,
            line_bytes: 0,
            extension_bytes: 0,
            overhead_bytes: 0,
            trailers_scanned: 0,
            digits: 0,
            state: State::FirstDigit,
        }
    }

    /// Takes the next part of the body out of `buffer`. Must not be called after the end or an
    /// error.
    ///
    /// `allowance` is how many more bytes the body may have. The size of each chunk is deducted.
    pub(crate) fn decode(
        &mut self,
        buffer: &mut ReceiveBuffer,
        allowance: &mut u64,
        limits: &Limits,
    ) -> Result<Chunk, ProtocolError> {
        loop {
            match self.state {
                _ if buffer.is_empty() => return Ok(Chunk::NeedData),
                State::Data => return Ok(Chunk::Data(self.data(buffer))),
                State::Trailers => return self.trailers(buffer, limits),
                _ => self.framing(buffer, allowance, limits)?,
            }
        }
    }

    fn data(&mut self, buffer: &mut ReceiveBuffer) -> Bytes {
        let count = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        self.left -= count as u64;
        if self.left == 0 {
            self.state = State::DataReturn;
        }
        buffer.take(count)
    }

    /// Consumes framing up to the next data or the trailers.
    fn framing(
        &mut self,
        buffer: &mut ReceiveBuffer,
        allowance: &mut u64,
        limits: &Limits,
    ) -> Result<(), ProtocolError> {
        let mut used = 0;
        for &byte in buffer.iter() {
            used += 1;
            self.state = self.step(byte, limits)?;
            if self.state == State::Data {
                self.begin_chunk(allowance, limits)?;
            }
            if matches!(self.state, State::Data | State::Trailers) {
                break;
            }
        }
        buffer.skip(used);
        Ok(())
    }

    /// Returns the state after `byte`.
    fn step(&mut self, byte: u8, limits: &Limits) -> Result<State, ProtocolError> {
        self.line_bytes = self.line_bytes.saturating_add(1);
        match self.state {
            State::FirstDigit | State::Digits => self.size_digit(byte),
            State::SizeLineFeed if byte != b'\n' => Err(ProtocolError::LineEnd),
            State::SizeLineFeed if self.left == 0 => Ok(State::Trailers),
            State::SizeLineFeed => Ok(State::Data),
            State::DataReturn if byte == b'\r' => Ok(State::DataLineFeed),
            State::DataLineFeed if byte == b'\n' => {
                self.digits = 0;
                self.line_bytes = 0;
                Ok(State::FirstDigit)
            }
            State::DataReturn | State::DataLineFeed => Err(ProtocolError::ChunkEnd),
            _ => {
                self.extension_bytes = self.extension_bytes.saturating_add(1);
                if self.extension_bytes > limits.chunk_extension_bytes_max {
                    return Err(ProtocolError::ChunkExtensionsTooLong);
                }
                self.extension(byte).ok_or(ProtocolError::ChunkExtension)
            }
        }
    }

    fn size_digit(&mut self, byte: u8) -> Result<State, ProtocolError> {
        match (char::from(byte).to_digit(16), self.state) {
            (Some(_), _) if self.digits == SIZE_DIGITS_MAX => Err(ProtocolError::ChunkSize),
            (Some(digit), _) => {
                self.digits += 1;
                self.left = self.left << 4 | u64::from(digit);
                Ok(State::Digits)
            }
            (None, State::Digits) if byte == b'\r' => Ok(State::SizeLineFeed),
            (None, State::Digits) if byte == b';' => Ok(State::NameStart),
            _ => Err(ProtocolError::ChunkSize),
        }
    }

    /// Returns the state after `byte` of an extension (RFC 9112 section 7.1.1), or `None` if the
    /// grammar does not allow it there.
    fn extension(&self, byte: u8) -> Option<State> {
        let is_text = matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
        match (self.state, byte) {
            (State::NameStart | State::Name, _) if is_token_byte(byte) => Some(State::Name),
            (State::ValueStart | State::Value, _) if is_token_byte(byte) => Some(State::Value),
            (State::Name, b'=') => Some(State::ValueStart),
            (State::ValueStart, b'"') => Some(State::Quoted),
            (State::Quoted, b'"') => Some(State::QuotedEnd),
            (State::Quoted, b'\\') => Some(State::Escaped),
            (State::Quoted | State::Escaped, _) if is_text => Some(State::Quoted),
            (State::Name | State::Value | State::QuotedEnd, b';') => Some(State::NameStart),
            (State::Name | State::Value | State::QuotedEnd, b'\r') => Some(State::SizeLineFeed),
            _ => None,
        }
    }

    /// Checks a chunk against the limits once its size line is complete.
    fn begin_chunk(&mut self, allowance: &mut u64, limits: &Limits) -> Result<(), ProtocolError> {
        *allowance = allowance.checked_sub(self.left).ok_or(ProtocolError::BodyTooLarge)?;
        let data = u32::try_from(self.left).unwrap_or(u32::MAX);
        let framing = self.line_bytes.saturating_add(CHUNK_END.len() as u32);
        self.overhead_bytes = self.overhead_bytes.saturating_add(framing).saturating_sub(data);
        if self.overhead_bytes > limits.chunk_overhead_bytes_max {
            return Err(ProtocolError::ChunkOverhead);
        }
        Ok(())
    }

    fn trailers(
        &mut self,
        buffer: &mut ReceiveBuffer,
        limits: &Limits,
    ) -> Result<Chunk, ProtocolError> {
        let size_max = usize::from(limits.trailer_bytes_max).max(BLANK_LINE.len());
        let window = &buffer[..buffer.len().min(size_max)];
        let mut scanned = usize::from(self.trailers_scanned);
        let end = find_blank_line(window, &mut scanned).map_err(|_| ProtocolError::LineEnd)?;
        let Some(end) = end else {
            if window.len() == size_max {
                return Err(ProtocolError::TrailersTooLarge);
            }
            self.trailers_scanned = u16::try_from(scanned).unwrap_or(u16::MAX);
            return Ok(Chunk::NeedData);
        };
        if end == BLANK_LINE.len() {
            buffer.skip(end);
            return Ok(Chunk::End(None));
        }
        check_fields(&window[..end], limits)?;
        let trailers = Box::new(Fields::new(&buffer[..end], 0).to_map());
        buffer.skip(end);
        Ok(Chunk::End(Some(trailers)))
    }
}

/// Checks trailer lines by the rules for headers.
fn check_fields(block: &[u8], limits: &Limits) -> Result<(), ProtocolError> {
    let mut headers = [httparse::EMPTY_HEADER; u8::MAX as usize];
    let count_max = usize::from(limits.headers_count_max);
    match httparse::parse_headers(block, &mut headers[..count_max]) {
        Ok(httparse::Status::Complete((end, _))) if end == block.len() => Ok(()),
        Ok(_) => Err(ProtocolError::LineEnd),
        Err(error) => Err(field_error(error)),
    }
}

/// Returns our error for an error of the parser.
pub(crate) fn field_error(error: httparse::Error) -> ProtocolError {
    match error {
        httparse::Error::HeaderName => ProtocolError::HeaderName,
        httparse::Error::HeaderValue => ProtocolError::HeaderValue,
        httparse::Error::TooManyHeaders => ProtocolError::TooManyHeaders,
        httparse::Error::NewLine => ProtocolError::LineEnd,
        httparse::Error::Status | httparse::Error::Token | httparse::Error::Version => {
            ProtocolError::StartLine
        }
    }
}

/// Appends the size line of a chunk of `size` bytes. The data and [`CHUNK_END`] have to follow.
/// `size` is not 0; see [`write_last_chunk`] for that.
pub(crate) fn write_chunk_size(size: usize, out: &mut Vec<u8>) {
    let digits = (size.max(1).ilog2() / 4 + 1) as usize;
    let at = |place: usize| b"0123456789abcdef"[(size >> (4 * place)) & 0xf];
    out.extend((0..digits).rev().map(at));
    out.extend_from_slice(b"\r\n");
}

/// Appends the last chunk, which has no data, and the trailers. Appends nothing after an error.
pub(crate) fn write_last_chunk(
    trailers: Option<&HeaderMap>,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let start = out.len();
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers.into_iter().flatten() {
        let splits = memchr::memchr3(b'\r', b'\n', 0, value.as_bytes()).is_some();
        if splits || !is_allowed_in_trailers(name) {
            out.truncate(start);
            return Err(EncodeError::Trailer);
        }
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(BLANK_LINE);
    Ok(())
}

/// Returns `false` for fields that a recipient needs before the body: those for framing, routing,
/// authentication and the content's format (RFC 9110 section 6.5.1).
pub(crate) fn is_allowed_in_trailers(name: &HeaderName) -> bool {
    const FORBIDDEN: [HeaderName; 13] = [
        header::TRANSFER_ENCODING,
        header::CONTENT_LENGTH,
        header::CONNECTION,
        header::UPGRADE,
        header::TRAILER,
        header::TE,
        header::HOST,
        header::EXPECT,
        header::AUTHORIZATION,
        header::SET_COOKIE,
        header::CONTENT_ENCODING,
        header::CONTENT_TYPE,
        header::CONTENT_RANGE,
    ];
    !FORBIDDEN.contains(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_without_leading_zeros() {
        for size in [1, 9, 10, 15, 16, 255, 256, 0x1000, 0xfff_ffff, usize::MAX] {
            let mut out = Vec::new();
            write_chunk_size(size, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("{size:x}\r\n"));
        }
    }
}
