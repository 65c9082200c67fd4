//! The parts of a streamed body: as everything reads them, and as a connection sends them.

use std::fmt;
use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use http::HeaderMap;
use pin_project_lite::pin_project;

use crate::message::body_error::BoxError;

/// A part of a streamed body.
#[derive(Debug)]
pub enum Part {
    /// Bytes of the body.
    Data(Bytes),
    /// Headers after the body; the last part. They are sent only if the body is sent in chunks (RFC
    /// 9110 section 6.5).
    Trailers(HeaderMap),
}

pub(crate) type PartStream = Pin<Box<dyn PartSource>>;

/// A stream of the parts of a body. A connection that sends it asks for parts that need not be
/// in memory; everything else polls it as a [`Stream`].
pub(crate) trait PartSource: Stream<Item = Result<Part, BoxError>> {
    /// Polls for the next part to send. A body is polled either with this or as a stream.
    fn poll_outgoing(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<OutgoingItem>>;
}

pub(crate) type OutgoingItem = Result<OutgoingPart, BoxError>;

/// A part of a body as it is sent.
#[derive(Debug)]
pub(crate) enum OutgoingPart {
    Data(Bytes),
    Trailers(HeaderMap),
    File(FilePart),
}

impl OutgoingPart {
    /// Returns the number of its bytes; 0 for trailers.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Data(data) => data.len(),
            Self::Trailers(_) => 0,
            Self::File(part) => part.len(),
        }
    }
}

impl From<Part> for OutgoingPart {
    fn from(part: Part) -> Self {
        match part {
            Part::Data(data) => Self::Data(data),
            Part::Trailers(trailers) => Self::Trailers(trailers),
        }
    }
}

/// Bytes of a file that the system copies to the socket.
pub(crate) struct FilePart {
    pub(crate) file: Arc<dyn SendFile>,
    /// What has not been sent.
    pub(crate) left: Range<u64>,
}

/// A file whose bytes the system can copy to a socket.
pub(crate) trait SendFile {
    /// Sends bytes from the start of `part`. Returns how many.
    ///
    /// # Errors
    /// `WouldBlock` if the socket accepts none, a
    /// [`FileError`](crate::message::file_error::FileError) if the file has none there or cannot be
    /// read, and those of a socket.
    fn send(&self, socket: BorrowedFd<'_>, part: &Range<u64>) -> io::Result<usize>;
}

impl FilePart {
    /// Returns the number of bytes that have not been sent.
    pub(crate) const fn len(&self) -> usize {
        (self.left.end - self.left.start) as usize
    }
}

impl fmt::Debug for FilePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FilePart").field(&self.left).finish()
    }
}

pin_project! {
    /// A source whose parts are all in memory.
    pub(crate) struct InMemory<S> {
        #[pin]
        stream: S,
    }
}

impl<S> InMemory<S> {
    pub(crate) const fn new(stream: S) -> Self {
        Self { stream }
    }
}

impl<S: Stream<Item = Result<Part, BoxError>>> Stream for InMemory<S> {
    type Item = Result<Part, BoxError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.project().stream.poll_next(cx)
    }
}

impl<S: Stream<Item = Result<Part, BoxError>>> PartSource for InMemory<S> {
    fn poll_outgoing(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<OutgoingItem>> {
        self.poll_next(cx).map_ok(OutgoingPart::from)
    }
}
