//! The body of the message that a connection is sending, the same for a server and a client.

// crates
use http::HeaderMap;

// ours
use crate::protocol::body_encoder::BodyEncoder;
use crate::protocol::error::EncodeError;

/// The body of the message that a connection is sending. Exists between the head and the end of
/// a message; at other times each method fails with [`EncodeError::OutOfTurn`].
#[derive(Debug)]
pub struct OutgoingBody {
    encoder: Option<BodyEncoder>,
}

impl OutgoingBody {
    /// Appends a part of the body, framed as the head says. Appends nothing if the message has no
    /// body, such as the response to `HEAD`. An empty part does not end the body.
    ///
    /// # Errors
    /// [`EncodeError::BodyTooLong`] if it is more than the head announced, and
    /// [`EncodeError::OutOfTurn`] before the head and after the end. Nothing is appended then.
    pub fn send_data(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.encoder()?.data(data, out)
    }

    /// Appends what precedes `length` bytes of the body that the caller writes itself, uncopied.
    /// Returns `true` if the caller has to write them and then call
    /// [`end_data`](Self::end_data), `false` if it must not, because the message has no body.
    ///
    /// # Errors
    /// As for [`send_data`](Self::send_data).
    pub fn begin_data(&mut self, length: usize, out: &mut Vec<u8>) -> Result<bool, EncodeError> {
        self.encoder()?.begin_data(length, out)
    }

    /// Appends what follows the bytes that [`begin_data`](Self::begin_data) announced.
    pub fn end_data(&self, out: &mut Vec<u8>) {
        if let Some(encoder) = &self.encoder {
            encoder.end_data(out);
        }
    }

    pub(crate) const fn none() -> Self {
        Self { encoder: None }
    }

    /// Starts the body of a message whose head was sent.
    pub(crate) const fn begin(&mut self, encoder: BodyEncoder) {
        self.encoder = Some(encoder);
    }

    /// Appends the end of the body, and ends it.
    pub(crate) fn end(
        &mut self,
        trailers: Option<&HeaderMap>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        self.encoder()?.end(trailers, out)?;
        self.encoder = None;
        Ok(())
    }

    /// Ends the body without sending anything.
    pub(crate) const fn clear(&mut self) {
        self.encoder = None;
    }

    /// Returns `true` between the head and the end of a message.
    pub(crate) const fn is_active(&self) -> bool {
        self.encoder.is_some()
    }

    /// Returns `true` if the message that was begun has no body.
    pub(crate) const fn is_dropped(&self) -> bool {
        matches!(self.encoder, Some(BodyEncoder::Dropped))
    }

    /// Returns `true` if only the end of the connection ends this body.
    pub(crate) const fn ends_by_closing(&self) -> bool {
        matches!(self.encoder, Some(BodyEncoder::UntilClose))
    }

    fn encoder(&mut self) -> Result<&mut BodyEncoder, EncodeError> {
        self.encoder.as_mut().ok_or(EncodeError::OutOfTurn)
    }
}
