//! Decompresses bodies while they are read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use compression_codecs::DecodeV2;
use futures_core::Stream;
use http::HeaderMap;

use crate::message::body::Body;
use crate::message::body_error::{BodyError, BoxError};
use crate::message::codec::{self, poll_proceed};
use crate::message::content_coding::ContentCoding;
use crate::message::part::Part;
use crate::protocol::body_encoder::BodyLength;
use crate::protocol::error::ProtocolError;

impl ContentCoding {
    /// Returns the coding of this name.
    pub(crate) fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|coding| coding.is_named(name))
    }
}

impl Body {
    /// Returns the body decompressed, while it is read, in parts of a few KiB. Reading fails with
    /// [`ProtocolError::BodyTooLarge`] as soon as there are more than `bytes_max` bytes, so the
    /// work and memory for a short body that would become very long are bounded.
    pub(crate) fn decompress(self, coding: ContentCoding, bytes_max: u64) -> Self {
        if self.is_end() {
            return self;
        }
        let decompressed = Decompressed {
            body: self,
            decoder: codec::decoder(coding),
            coding,
            input: Bytes::new(),
            stage: Stage::Start,
            bytes_left: bytes_max,
            trailers: None,
        };
        Self::parts(decompressed, BodyLength::Unknown)
    }
}

/// The parts of a body, decompressed.
struct Decompressed {
    body: Body,
    decoder: Box<dyn DecodeV2>,
    coding: ContentCoding,
    /// What has not been decoded of the last part.
    input: Bytes,
    stage: Stage,
    /// How many more bytes may be returned.
    bytes_left: u64,
    /// Those of the body, once it has ended.
    trailers: Option<HeaderMap>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing was received.
    Start,
    /// The decoder needs input.
    Decoding,
    /// The decoder may have more output.
    Draining,
    /// What was received is complete.
    Complete,
    /// The body has ended.
    Ended,
}

impl Decompressed {
    /// Gets the next part of the body into `input`.
    fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        match ready!(self.body.poll_part(cx)) {
            Some(Ok(Part::Data(data))) => {
                self.input = data;
                return Poll::Ready(Ok(()));
            }
            Some(Ok(Part::Trailers(trailers))) => self.trailers = Some(trailers),
            None => {}
            Some(Err(error)) => return Poll::Ready(Err(error)),
        }
        Poll::Ready(match self.stage {
            Stage::Start | Stage::Complete => {
                self.stage = Stage::Ended;
                Ok(())
            }
            _ => Err(BodyError::Coding(io::ErrorKind::UnexpectedEof.into())),
        })
    }

    /// Runs the decoder once. Returns its output, which may be empty.
    fn decode(&mut self) -> Result<Bytes, BodyError> {
        if self.stage == Stage::Complete {
            // The content may consist of several members or frames (RFC 1952 section 2.2, RFC 8878
            // section 3.1).
            if self.coding == ContentCoding::Brotli {
                return Err(BodyError::Coding(io::ErrorKind::InvalidData.into()));
            }
            self.decoder.reinit().map_err(BodyError::Coding)?;
        }
        let before = self.input.len();
        let decoder = &mut self.decoder;
        let decoded = codec::run(&mut self.input, |input, output| {
            let is_complete = decoder.decode(input, output)?;
            Ok((is_complete, output.has_no_spare_space()))
        });
        let (output, (is_complete, is_full)) = match decoded {
            // Without input a decoder that has no more output may call that an error.
            Err(_) if before == 0 => (Bytes::new(), (false, false)),
            decoded => decoded.map_err(BodyError::Coding)?,
        };
        self.stage = match (is_complete, is_full) {
            (true, _) => Stage::Complete,
            (false, true) => Stage::Draining,
            (false, false) => Stage::Decoding,
        };
        let is_stuck = output.is_empty() && self.input.len() == before && before > 0;
        if is_stuck && !is_complete {
            return Err(BodyError::Coding(io::ErrorKind::InvalidData.into()));
        }
        match self.bytes_left.checked_sub(output.len() as u64) {
            Some(left) => self.bytes_left = left,
            None => return Err(ProtocolError::BodyTooLarge.into()),
        }
        Ok(output)
    }
}

impl Stream for Decompressed {
    type Item = Result<Part, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if self.stage == Stage::Ended {
                return Poll::Ready(self.trailers.take().map(|it| Ok(Part::Trailers(it))));
            }
            if self.input.is_empty() && self.stage != Stage::Draining {
                ready!(self.poll_input(cx)).map_err(BodyError::into_cause)?;
                continue;
            }
            ready!(poll_proceed(cx));
            let output = self.decode().map_err(BodyError::into_cause)?;
            if !output.is_empty() {
                return Poll::Ready(Some(Ok(Part::Data(output))));
            }
        }
    }
}
