//! Decodes the body of a received message.

// crates
use bytes::Bytes;
use http::HeaderMap;

// ours
use crate::protocol::chunked::{Chunk, ChunkedDecoder};
use crate::protocol::error::ProtocolError;
use crate::protocol::framing::Framing;
use crate::protocol::limits::Limits;
use crate::protocol::receive_buffer::ReceiveBuffer;

/// The rest of a body that is being received.
#[derive(Debug)]
pub(crate) enum BodyDecoder {
    /// The body is complete.
    Done,
    /// This many bytes are left.
    Length(u64),
    /// The body comes in chunks.
    Chunked(ChunkedDecoder),
    /// The body ends when the connection does.
    UntilClose,
}

/// What `next_body` of a connection found.
#[derive(Debug)]
pub enum BodyEvent {
    /// No complete part is there: receive more, then ask again.
    NeedData,
    /// A part of the body, never empty.
    Data(Bytes),
    /// The end of the body, with its trailers if there were any.
    End(Option<Box<HeaderMap>>),
}

impl BodyDecoder {
    pub(crate) const fn new(framing: Framing) -> Self {
        match framing {
            Framing::None | Framing::Length(0) => Self::Done,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(ChunkedDecoder::new()),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    /// Returns `true` if the body is complete.
    pub(crate) const fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// Returns how many bytes are left, if that is known.
    pub(crate) const fn remaining(&self) -> Option<u64> {
        match self {
            Self::Done => Some(0),
            Self::Length(left) => Some(*left),
            Self::Chunked(_) | Self::UntilClose => None,
        }
    }

    /// Takes the next part out of `buffer`. The decoder is done after the end.
    ///
    /// `at_eof` is `true` if nothing will be appended to `buffer`. `allowance` is how many more
    /// bytes the body may have.
    pub(crate) fn decode(
        &mut self,
        buffer: &mut ReceiveBuffer,
        at_eof: bool,
        allowance: &mut u64,
        limits: &Limits,
    ) -> Result<BodyEvent, ProtocolError> {
        let part = match self {
            Self::Done => BodyEvent::End(None),
            Self::Length(left) if *left > *allowance => return Err(ProtocolError::BodyTooLarge),
            Self::Length(0) => BodyEvent::End(None),
            Self::Length(left) => {
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
                *left -= count as u64;
                take(count, buffer, allowance)
            }
            Self::UntilClose if buffer.is_empty() && at_eof => BodyEvent::End(None),
            Self::UntilClose if buffer.len() as u64 > *allowance => {
                return Err(ProtocolError::BodyTooLarge);
            }
            Self::UntilClose => take(buffer.len(), buffer, allowance),
            Self::Chunked(chunks) => match chunks.decode(buffer, allowance, limits)? {
                Chunk::NeedData => BodyEvent::NeedData,
                Chunk::Data(data) => BodyEvent::Data(data),
                Chunk::End(trailers) => BodyEvent::End(trailers),
            },
        };
        match part {
            BodyEvent::End(_) => *self = Self::Done,
            BodyEvent::NeedData if at_eof => return Err(ProtocolError::UnexpectedEnd),
            BodyEvent::NeedData | BodyEvent::Data(_) => {}
        }
        Ok(part)
    }
}

fn take(count: usize, buffer: &mut ReceiveBuffer, allowance: &mut u64) -> BodyEvent {
    if count == 0 {
        return BodyEvent::NeedData;
    }
    *allowance = allowance.saturating_sub(count as u64);
    BodyEvent::Data(buffer.take(count))
}
