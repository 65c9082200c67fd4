//! The body of a request, as a handler pulls it.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use http::HeaderMap;

use crate::message::body_error::BodyError;
use crate::message::pipe::Pipe;
use crate::message::presence::Presence;
use crate::protocol::error::ProtocolError;

/// The body of a request, pulled part by part.
///
/// A part is read from the connection when it is asked for; a handler that does not ask stops
/// the peer from sending.
#[derive(Debug, Default)]
pub struct RequestBody {
    /// Absent where there is no body.
    pipe: Option<Rc<Pipe>>,
}

impl RequestBody {
    pub(crate) fn new(pipe: Option<Rc<Pipe>>) -> Self {
        Self { pipe }
    }

    /// A body that is all there.
    pub(crate) fn full(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            return Self::default();
        }
        let pipe = Pipe::new();
        pipe.push(bytes, Waker::noop());
        pipe.end(Ok(None), Waker::noop());
        Self::new(Some(Rc::new(pipe)))
    }

    /// Returns `true` if there is nothing to read, now or later.
    #[must_use]
    pub fn is_end(&self) -> bool {
        self.pipe.as_ref().is_none_or(|pipe| pipe.is_end())
    }

    /// The next part, never empty; `None` at the end. Cancellation safe.
    ///
    /// # Errors
    /// If the peer broke the protocol or a limit, or went away: then nothing more comes.
    pub async fn chunk(&mut self) -> Option<Result<Bytes, BodyError>> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// Ready with the next part; see [`RequestBody::chunk`].
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        match &self.pipe {
            None => Poll::Ready(None),
            Some(pipe) => pipe.poll_take(cx),
        }
    }

    /// Reads to the end and returns all of it, in one piece.
    ///
    /// # Errors
    /// [`ProtocolError::BodyTooLarge`] if it is more than `limit` bytes, and what
    /// [`RequestBody::chunk`] says.
    pub async fn collect(&mut self, limit: usize) -> Result<Bytes, BodyError> {
        let too_large = BodyError::Protocol(ProtocolError::BodyTooLarge);
        let Some(first) = self.chunk().await.transpose()? else { return Ok(Bytes::new()) };
        let Some(second) = self.chunk().await.transpose()? else {
            return if first.len() > limit { Err(too_large) } else { Ok(first) };
        };
        let mut all = BytesMut::with_capacity(2 * (first.len() + second.len()));
        all.extend_from_slice(&first);
        all.extend_from_slice(&second);
        while all.len() <= limit {
            match self.chunk().await.transpose()? {
                Some(part) => all.extend_from_slice(&part),
                None => return Ok(all.freeze()),
            }
        }
        Err(too_large)
    }

    /// The trailers, once the end has been read and if there were any (RFC 9110 section 6.5).
    #[must_use]
    pub fn trailers(&self) -> Option<HeaderMap> {
        self.pipe.as_ref()?.trailers()
    }
}

impl RequestBody {
    /// The pipe of a body that comes from no connection, which is made if there is none: through
    /// it a handler hears of its client's end.
    pub(crate) fn pipe(&mut self) -> Rc<Pipe> {
        self.pipe.get_or_insert_with(|| Rc::new(Pipe::ended())).clone()
    }

    /// Tells when the client has gone; `None` if nobody would say so.
    pub(crate) fn presence(&self) -> Option<Rc<Presence>> {
        Some(self.pipe.as_ref()?.presence())
    }
}

impl Stream for RequestBody {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_chunk(cx)
    }
}
