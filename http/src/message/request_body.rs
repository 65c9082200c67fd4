//! The body of a request, as the handler reads it.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use brigade_runtime::task;
use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use http::HeaderMap;

use crate::message::body_error::BodyError;
use crate::message::pipe::Pipe;
use crate::message::presence::Presence;
use crate::protocol::error::ProtocolError;

/// The body of a request, read part by part.
///
/// A part is read from the connection only when the handler wants it. While the handler reads
/// nothing, the client cannot send more than a buffer full.
#[derive(Debug, Default)]
pub struct RequestBody {
    /// `None` if there is no body.
    pipe: Option<Rc<Pipe>>,
}

impl RequestBody {
    pub(crate) fn new(pipe: Option<Rc<Pipe>>) -> Self {
        Self { pipe }
    }

    /// Creates a body that is complete.
    pub(crate) fn full(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            return Self::default();
        }
        let pipe = Pipe::new();
        pipe.push(bytes, Waker::noop());
        pipe.end(Ok(None), Waker::noop());
        Self::new(Some(Rc::new(pipe)))
    }

    /// Returns `true` if the end of the body has been read, or there is no body.
    #[must_use]
    pub fn is_end(&self) -> bool {
        self.pipe.as_ref().is_none_or(|pipe| pipe.is_end())
    }

    /// Reads the next part, which is never empty. Returns `None` at the end.
    ///
    /// # Errors
    /// If the client violated the protocol or a limit, or disconnected. Every further call returns
    /// the same error.
    ///
    /// # Cancel safety
    /// Dropping the future loses no data.
    pub async fn chunk(&mut self) -> Option<Result<Bytes, BodyError>> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// Polls for the next part; see [`RequestBody::chunk`].
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        match &self.pipe {
            None => task::poll_proceed(cx).map(|()| None),
            Some(pipe) => {
                if pipe.is_ready() {
                    ready!(task::poll_proceed(cx));
                }
                pipe.poll_take(cx)
            }
        }
    }

    /// Reads the rest of the body and returns it in one piece.
    ///
    /// # Errors
    /// [`ProtocolError::BodyTooLarge`] if it is longer than `limit` bytes, and the errors of
    /// [`RequestBody::chunk`].
    ///
    /// # Cancel safety
    /// Dropping the future loses the parts that it has read.
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

    /// Returns the trailers, if there are any and the end has been read (RFC 9110 section 6.5).
    #[must_use]
    pub fn trailers(&self) -> Option<HeaderMap> {
        self.pipe.as_ref()?.trailers()
    }
}

impl RequestBody {
    /// Returns the pipe of a body that does not come from a connection. Creates it if there is
    /// none, so that the handler can notice a disconnect.
    pub(crate) fn pipe(&mut self) -> Rc<Pipe> {
        self.pipe.get_or_insert_with(|| Rc::new(Pipe::ended())).clone()
    }

    /// Returns the presence of the client, or `None` if nothing would report a disconnect.
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
