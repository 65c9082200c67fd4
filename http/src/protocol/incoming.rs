//! The receiving half of a connection, the same for a server and a client.

// crates
use bytes::BytesMut;

// ours
use crate::protocol::body_decoder::{BodyDecoder, BodyEvent};
use crate::protocol::error::ProtocolError;
use crate::protocol::framing::Framing;
use crate::protocol::limits::Limits;
use crate::protocol::receive_buffer::ReceiveBuffer;

/// 32 KiB: twice what is copied rather than received in memory of its own.
const BODY_READ_LOG2_START: u8 = 15;
/// 8 KiB: a few packets.
const BODY_READ_LOG2_MIN: u8 = 13;
/// 1 MiB. The driver has a limit of its own, which is usually lower.
const BODY_READ_LOG2_MAX: u8 = 20;

/// What was received and not decoded, and what is still expected of the current message.
///
/// Holds no memory while nothing is received.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) buffer: ReceiveBuffer,
    body: BodyDecoder,
    /// How many bytes the current body may still have.
    body_allowance: u64,
    /// How much of an incomplete head has been searched for its end.
    pub(crate) head_scanned: u16,
    /// The size of the next read of a large body is two to the power of this.
    body_read_log2: u8,
    /// The last of these reads used little of its memory.
    was_read_small: bool,
    /// The peer sends no more.
    pub(crate) at_eof: bool,
    /// Nothing more is decoded. What is received is dropped.
    is_closed: bool,
    /// The error that ended the decoding.
    error: Option<ProtocolError>,
}

impl Incoming {
    /// Returns the state of a connection on which nothing was received.
    pub(crate) fn new() -> Self {
        Self {
            buffer: ReceiveBuffer::default(),
            body: BodyDecoder::Done,
            body_allowance: 0,
            head_scanned: 0,
            body_read_log2: BODY_READ_LOG2_START,
            was_read_small: false,
            at_eof: false,
            is_closed: false,
            error: None,
        }
    }

    /// Takes received bytes. They are copied once, into memory of exactly their size if nothing
    /// was left undecoded.
    #[inline]
    pub(crate) fn receive(&mut self, data: &[u8]) {
        if !self.is_closed {
            self.buffer.append(data);
        }
    }

    /// Returns how many bytes of a large body to read at once: more after a read that filled its
    /// memory, less after two in a row that used little of it. At most `bytes_max`.
    pub(crate) fn body_read_bytes(&self, bytes_max: usize) -> usize {
        (1 << self.body_read_log2).min(bytes_max)
    }

    /// Takes received bytes with their memory, which parts of a large body keep. They begin at
    /// `start`. Copies if less than half of the memory after that is used, or something was left
    /// undecoded.
    pub(crate) fn receive_owned(&mut self, data: Vec<u8>, start: usize) {
        let log2 = self.body_read_log2;
        let (length, room) = (data.len() - start, data.capacity() - start);
        if length == room && room >= 1 << log2 {
            self.body_read_log2 = (log2 + 1).min(BODY_READ_LOG2_MAX);
        }
        // One small read says little: it may be the line before a chunk.
        let is_small = length < room / 4;
        if is_small && self.was_read_small {
            self.body_read_log2 = (log2 - 1).max(BODY_READ_LOG2_MIN);
        }
        self.was_read_small = is_small;
        if !self.is_closed {
            self.buffer.append_owned(data, start);
        }
    }

    /// Notes that the peer sends no more.
    pub(crate) const fn receive_eof(&mut self) {
        self.at_eof = true;
    }

    /// Takes what a read returned: some bytes, or none at the end of the stream.
    pub(crate) fn receive_read(&mut self, data: &[u8]) {
        match data {
            [] => self.receive_eof(),
            _ => self.receive(data),
        }
    }

    /// Starts a message whose head was decoded.
    pub(crate) fn begin_body(&mut self, framing: Framing) {
        self.body = BodyDecoder::new(framing);
    }

    /// Sets how many bytes the current body may have.
    pub(crate) const fn set_body_limit(&mut self, bytes_max: u64) {
        self.body_allowance = bytes_max;
    }

    /// Checks the announced length of the current body against its limit.
    pub(crate) fn check_body_limit(&self) -> Result<(), ProtocolError> {
        match self.body.remaining() {
            Some(length) if length > self.body_allowance => Err(ProtocolError::BodyTooLarge),
            _ => Ok(()),
        }
    }

    /// Returns `true` if the end of the current body has been decoded, or there is no body.
    pub(crate) const fn is_body_done(&self) -> bool {
        self.body.is_done()
    }

    /// Returns how many bytes of the current body have not been decoded; `None` if unknown.
    pub(crate) const fn body_remaining(&self) -> Option<u64> {
        self.body.remaining()
    }

    /// Decodes the next part of the current body. An error is final: each later call returns it.
    pub(crate) fn next_body(&mut self, limits: &Limits) -> Result<BodyEvent, ProtocolError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        self.body.decode(&mut self.buffer, self.at_eof, &mut self.body_allowance, limits)
    }

    /// Closes because of `error`.
    pub(crate) fn fail(&mut self, error: ProtocolError) {
        self.error = Some(error);
        self.close();
    }

    /// Ends the decoding, and drops what was received.
    pub(crate) fn close(&mut self) {
        self.is_closed = true;
        self.buffer.clear();
    }

    /// Takes out what was received and not decoded.
    pub(crate) fn take_rest(&mut self) -> BytesMut {
        self.buffer.take_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Receives `count` bytes, with room for at most 64 KiB. Returns the size of the next read.
    fn after_read(incoming: &mut Incoming, count: usize) -> usize {
        let mut data = Vec::with_capacity(incoming.body_read_bytes(64 * 1024));
        data.resize(count, 0);
        incoming.receive_owned(data, 0);
        incoming.buffer.clear();
        incoming.body_read_bytes(64 * 1024)
    }

    #[test]
    fn reads_of_a_large_body_grow_and_shrink_with_what_arrives() {
        let mut incoming = Incoming::new();
        assert_eq!(incoming.body_read_bytes(64 * 1024), 32 * 1024);
        assert_eq!(incoming.body_read_bytes(1000), 1000);
        assert_eq!(after_read(&mut incoming, 32 * 1024), 64 * 1024);
        for _ in 0..20 {
            assert_eq!(after_read(&mut incoming, 64 * 1024), 64 * 1024);
        }
        // A small read between large ones changes nothing.
        for _ in 0..20 {
            assert_eq!(after_read(&mut incoming, 6), 64 * 1024);
            assert_eq!(after_read(&mut incoming, 64 * 1024), 64 * 1024);
        }
        for _ in 0..3 {
            after_read(&mut incoming, 1000);
        }
        assert!(after_read(&mut incoming, 1000) < 64 * 1024);
        for _ in 0..20 {
            after_read(&mut incoming, 1);
        }
        assert_eq!(incoming.body_read_bytes(64 * 1024), 8 * 1024);
    }
}
