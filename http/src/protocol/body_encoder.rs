//! The body of a message that is being sent, and the accounts of its length.

// crates
use http::HeaderMap;

// ours
use crate::protocol::chunked::{CHUNK_END, write_chunk_size, write_last_chunk};
use crate::protocol::error::EncodeError;

/// How long the body of a message to be sent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none.
    Empty,
    /// So many bytes, which will be sent exactly.
    Known(u64),
    /// Whatever comes until the end is declared: chunks, or to an HTTP/1.0 peer bytes until the
    /// connection is closed.
    Unknown,
}

/// How the body that is being sent is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyEncoder {
    /// So many bytes are to follow as they are.
    Length(u64),
    /// Chunks.
    Chunked,
    /// Bytes as they are; the end of the connection ends them.
    UntilClose,
    /// A body that this message may not have is dropped.
    Dropped,
}

impl BodyEncoder {
    /// Appends what has to come before `length` bytes of the body, and accounts for them.
    ///
    /// Returns `true` if those bytes and [`end_data`](Self::end_data) are to follow, `false` if
    /// they are to be left out.
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

    /// Appends what has to come after the bytes that [`begin_data`](Self::begin_data) announced.
    pub(crate) fn end_data(&self, out: &mut Vec<u8>) {
        if *self == Self::Chunked {
            out.extend_from_slice(CHUNK_END);
        }
    }

    /// Appends a part of the body.
    pub(crate) fn data(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if self.begin_data(data.len(), out)? {
            out.extend_from_slice(data);
            self.end_data(out);
        }
        Ok(())
    }

    /// Appends what ends the body. Trailers are left out unless the body comes in chunks.
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
