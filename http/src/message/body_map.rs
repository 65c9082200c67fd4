//! Bodies that are changed or observed while they are read.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use brigade_runtime::server::draining;
use bytes::Bytes;
use futures_core::Stream;

use crate::message::body::{Body, BodyKind};
use crate::message::body_error::{BodyError, BoxError};
use crate::message::part::Part;
use crate::protocol::body_encoder::BodyLength;
use crate::protocol::error::ProtocolError;

impl Body {
    /// Calls `inspect` with each part that is read, for counting or hashing. Length and trailers
    /// stay. A full body is a single part, and is passed at once.
    #[must_use]
    pub fn inspect(self, mut inspect: impl FnMut(&[u8]) + 'static) -> Self {
        let length = self.length();
        self.map(length, move |data| {
            inspect(&data);
            data
        })
    }

    /// Replaces each part by what `map` makes of it. The length is unknown from then on, unless the
    /// body is full: then it is a single part, and is replaced at once. Trailers stay.
    #[must_use]
    pub fn map_data(self, map: impl FnMut(Bytes) -> Bytes + 'static) -> Self {
        self.map(BodyLength::Unknown, map)
    }

    /// Ends the body when the server starts to shut down; see
    /// [`draining`](crate::draining). For a body that would never end, such as a stream of events:
    /// otherwise it is cut at the drain deadline. A body of known length stays as it is, since it
    /// would be incomplete.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// use brigade_http::{BodyError, Body, Bytes, Request};
    /// use futures_util::stream;
    ///
    /// async fn ticks(_request: Request) -> Body {
    ///     let ticks = stream::unfold(0, async |n| {
    ///         brigade_runtime::time::sleep(Duration::from_secs(1)).await;
    ///         Some((Ok::<_, BodyError>(Bytes::from(format!("{n}\n"))), n + 1))
    ///     });
    ///     Body::stream(ticks).until_draining()
    /// }
    /// ```
    #[must_use]
    pub fn until_draining(self) -> Self {
        match self.length() {
            BodyLength::Unknown => {
                let draining = Some(Box::pin(draining()) as _);
                Self::parts(UntilDraining { body: self, draining }, BodyLength::Unknown)
            }
            BodyLength::Empty | BodyLength::Known(_) => self,
        }
    }

    /// Ends the body with [`ProtocolError::BodyTooLarge`] as soon as it is longer than `bytes_max`,
    /// unless its length is known.
    pub(crate) fn limited(mut self, bytes_max: u64) -> Self {
        self.replace(|body| match body.kind {
            BodyKind::Stream(_, BodyLength::Unknown) => {
                Self::parts(Limited { body, left: bytes_max }, BodyLength::Unknown)
            }
            kind => Self { kind },
        });
        self
    }

    fn map(mut self, length: BodyLength, mut map: impl FnMut(Bytes) -> Bytes + 'static) -> Self {
        self.replace(|body| match body.kind {
            BodyKind::Full(bytes) => map(bytes).into(),
            BodyKind::Incoming(_) | BodyKind::Stream(..) => {
                Self::parts(Mapped { body, map: Box::new(map) }, length)
            }
            kind => Self { kind },
        });
        self
    }
}

/// The parts of a body, changed by `map`.
struct Mapped {
    body: Body,
    map: Box<dyn FnMut(Bytes) -> Bytes>,
}

impl Stream for Mapped {
    type Item = Result<Part, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { body, map } = &mut *self;
        Poll::Ready(match ready!(body.poll_part(cx)) {
            Some(Ok(Part::Data(data))) => Some(Ok(Part::Data(map(data)))),
            part => part.map(|part| part.map_err(BodyError::into_cause)),
        })
    }
}

/// The parts of a body that may be only this long.
struct Limited {
    body: Body,
    left: u64,
}

impl Stream for Limited {
    type Item = Result<Part, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let part = ready!(self.body.poll_part(cx));
        if let Some(Ok(Part::Data(data))) = &part {
            match self.left.checked_sub(data.len() as u64) {
                Some(left) => self.left = left,
                None => return Poll::Ready(Some(Err(ProtocolError::BodyTooLarge.into()))),
            }
        }
        Poll::Ready(part.map(|part| part.map_err(BodyError::into_cause)))
    }
}

/// The parts of a body until the server shuts down.
struct UntilDraining {
    body: Body,
    /// `None` once the server shuts down.
    draining: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl Stream for UntilDraining {
    type Item = Result<Part, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(draining) = &mut self.draining else { return Poll::Ready(None) };
        if draining.as_mut().poll(cx).is_ready() {
            self.draining = None;
            self.body = Body::empty();
            return Poll::Ready(None);
        }
        self.body.poll_part(cx).map_err(BodyError::into_cause)
    }
}
