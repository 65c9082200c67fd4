//! Compresses bodies while they are sent.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use brigade_runtime::task;
use bytes::{Bytes, BytesMut};
use compression_codecs::EncodeV2;
use futures_core::Stream;
use http::HeaderMap;

use crate::message::body::{Body, BodyKind};
use crate::message::body_error::{BodyError, BoxError};
use crate::message::codec::{self, poll_proceed};
use crate::message::content_coding::{Accepted, ContentCoding};
use crate::message::part::Part;
use crate::protocol::body_encoder::BodyLength;
use crate::protocol::head::RequestHead;

/// A full body of at most this length is compressed at once, so that its length is known. Longer
/// ones are compressed in pieces, so that other tasks run in between.
const AT_ONCE_BYTES_MAX: usize = 16 * 1024;

impl ContentCoding {
    /// Returns `true` if the client of `head` refuses content that is not compressed.
    pub(crate) fn is_required(head: &RequestHead) -> bool {
        Accepted { head }.quality(|name| name.eq_ignore_ascii_case(b"identity")) == Some(0)
    }
}

impl Body {
    /// Returns the body compressed, or as it is if that would not make it shorter.
    ///
    /// A stream is compressed while it is read. What its parts contain is passed on at the latest
    /// when the next part is not there yet, so that events arrive when they are sent.
    pub(crate) fn compress(mut self, coding: ContentCoding) -> Result<Self, Self> {
        if let Some(observer) = self.take_observer() {
            let observed = |mut body: Self| {
                body.observe(observer);
                body
            };
            return match self.compress(coding) {
                Ok(compressed) => Ok(observed(compressed)),
                Err(body) => Err(observed(body)),
            };
        }
        match &self.kind {
            BodyKind::Full(bytes) if bytes.len() <= AT_ONCE_BYTES_MAX => {
                match compress_at_once(bytes.clone(), coding) {
                    Ok(compressed) if compressed.len() < bytes.len() => Ok(compressed.into()),
                    _ => Err(self),
                }
            }
            BodyKind::Full(_) | BodyKind::Incoming(_) | BodyKind::Stream(..) => {
                let encoder = codec::encoder(coding);
                let compressed = Compressed {
                    body: self,
                    encoder,
                    input: Bytes::new(),
                    stage: Stage::Flushed,
                    trailers: None,
                };
                Ok(Self::parts(compressed, BodyLength::Unknown))
            }
            _ => Err(self),
        }
    }
}

fn compress_at_once(mut input: Bytes, coding: ContentCoding) -> io::Result<Bytes> {
    let mut encoder = codec::encoder(coding);
    let mut all = BytesMut::new();
    while !input.is_empty() {
        let (output, ()) = codec::run(&mut input, |input, output| encoder.encode(input, output))?;
        all.extend_from_slice(&output);
    }
    loop {
        let (output, is_complete) = codec::run(&mut input, |_, output| encoder.finish(output))?;
        all.extend_from_slice(&output);
        if is_complete {
            return Ok(all.freeze());
        }
    }
}

/// The parts of a body, compressed.
///
/// ```text
///            part                     no part there              all output taken
///   Flushed ──────► Encoding ◄──────► Flushing ──────────────────────► Flushed
///                      │    more parts
///                      └───── end ──► Finishing ── all output taken ─► Finished
/// ```
struct Compressed {
    body: Body,
    encoder: Box<dyn EncodeV2>,
    /// What has not been encoded of the last part.
    input: Bytes,
    stage: Stage,
    /// Those of the body, once it has ended.
    trailers: Option<HeaderMap>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The encoder holds back nothing.
    Flushed,
    /// The encoder may hold back output.
    Encoding,
    /// The output that the encoder holds back is taken from it.
    Flushing,
    /// The same, after the end of the body.
    Finishing,
    Finished,
}

impl Compressed {
    /// Gets the next part of the body into `input`, or decides what to do without one.
    fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        self.stage = match self.body.poll_part(cx) {
            Poll::Ready(Some(Ok(Part::Data(data)))) => {
                self.input = data;
                Stage::Encoding
            }
            Poll::Ready(Some(Ok(Part::Trailers(trailers)))) => {
                self.trailers = Some(trailers);
                Stage::Finishing
            }
            Poll::Ready(None) => Stage::Finishing,
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
            // Parts may be there if the body only had to let other tasks run.
            Poll::Pending if self.stage == Stage::Flushed || !task::has_budget_remaining() => {
                return Poll::Pending;
            }
            Poll::Pending => Stage::Flushing,
        };
        Poll::Ready(Ok(()))
    }

    /// Runs the encoder once. Returns its output, which may be empty.
    fn encode(&mut self) -> io::Result<Bytes> {
        let Self { encoder, input, stage, .. } = self;
        let (output, next) = codec::run(input, |input, output| {
            Ok(match *stage {
                Stage::Flushing if encoder.flush(output)? => Stage::Flushed,
                Stage::Finishing if encoder.finish(output)? => Stage::Finished,
                Stage::Encoding => encoder.encode(input, output).map(|()| Stage::Encoding)?,
                stage => stage,
            })
        })?;
        *stage = next;
        Ok(output)
    }
}

impl Stream for Compressed {
    type Item = Result<Part, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match self.stage {
                Stage::Finished => {
                    return Poll::Ready(self.trailers.take().map(|it| Ok(Part::Trailers(it))));
                }
                Stage::Flushed | Stage::Encoding if self.input.is_empty() => {
                    ready!(self.poll_input(cx)).map_err(BodyError::into_cause)?;
                }
                _ => {
                    ready!(poll_proceed(cx));
                    let output = self.encode()?;
                    if !output.is_empty() {
                        return Poll::Ready(Some(Ok(Part::Data(output))));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::message::request::Request;

    #[test]
    fn plain_content_is_refused_only_if_the_client_says_so() {
        for (accepted, expected) in [
            ("gzip, identity;q=0", true),
            ("gzip, *;q=0", true),
            ("gzip, identity;q=0.1, *;q=0", false),
            ("gzip", false),
        ] {
            let request = Request::builder(Method::GET, "/").header("accept-encoding", accepted);
            let is_required = ContentCoding::is_required(&request.build().unwrap());
            assert_eq!(is_required, expected, "{accepted}");
        }
    }
}
