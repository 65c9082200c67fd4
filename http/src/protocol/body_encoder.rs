//! Encodes the body of a message and checks it against the announced length.

// crates
use http::HeaderMap;

// ours
use crate::protocol::chunked::{CHUNK_END, write_chunk_size, write_last_chunk};
use crate::protocol::error::EncodeError;

/// The length of a body to send, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// There is no body.
    Empty,
    /// Exactly this many bytes.
    Known(u64),
    /// Not known before the end. The body is sent in chunks, or, to an HTTP/1.0 peer, ends when the
    /// connection does.
    Unknown,
}

/// The framing of a body that is being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyEncoder {
    /// This many bytes are left to send.
    Length(u64),
    /// Chunks.
    Chunked,
    /// Plain bytes until the connection is closed.
    UntilClose,
    /// The message may not have a body: data is discarded.
    Dropped,
}

impl BodyEncoder {
    /// Appends the framing before `length` bytes of the body, and counts them as sent.
    ///
    /// Returns `true` if the caller has to send those bytes and then call
    /// [`end_data`](Self::end_data), `false` if it has to leave them out.
    pub(crate) fn begin_data(
        &mut self,
        length: usize,
        out: &mut Vec<u8>,
    ) -> Result<bool, EncodeError> {
        if length == 0 {
            return Ok(false);
        }
        match self {
            Self::Length(left) => {
                let length = length as u64;
                *left = left
                    .checked_sub(length)
                    .ok_or_else(|| EncodeError::BodyTooLong(length - *left))?;
            }
            Self::Chunked => write_chunk_size(length, out),
            Self::UntilClose => {}
            Self::Dropped => return Ok(false),
        }
        Ok(true)
    }

    /// Appends the framing after the bytes announced to [`begin_data`](Self::begin_data).
    pub(crate) fn end_data(&self, out: &mut Vec<u8>) {
        if *self == Self::Chunked {
            out.extend_from_slice(CHUNK_END);
        }
    }

    /// Appends a part of the body with its framing.
    pub(crate) fn data(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if self.begin_data(data.len(), out)? {
            out.extend_from_slice(data);
            self.end_data(out);
        }
        Ok(())
    }

    /// Appends the end of the body. Trailers are sent only if the body comes in chunks.
    pub(crate) fn end(
        &self,
        trailers: Option<&HeaderMap>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        match self {
            Self::Length(0) | Self::UntilClose | Self::Dropped => Ok(()),
            Self::Length(left) => Err(EncodeError::BodyTooShort(*left)),
            Self::Chunked => write_last_chunk(trailers, out),
        }
    }
}
