//! The receiving half of a connection, the same for a server and a client.

// crates
use bytes::BytesMut;

// ours
use crate::protocol::body_decoder::{BodyDecoder, BodyEvent};
use crate::protocol::error::ProtocolError;
use crate::protocol::framing::Framing;
use crate::protocol::limits::Limits;
use crate::protocol::receive_buffer::ReceiveBuffer;

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

    /// Takes received bytes with their memory, which parts of a large body keep. Copies if less
    /// than half of the capacity is used, or something was left undecoded.
    pub(crate) fn receive_owned(&mut self, data: Vec<u8>) {
        if !self.is_closed {
            self.buffer.append_owned(data);
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
