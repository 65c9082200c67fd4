//! The body of a response.

use std::cmp::Ordering;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use brigade_runtime::task;
use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use http::HeaderMap;

use crate::message::body_error::BoxError;
use crate::message::failure::Failure;
use crate::message::upgrade::Upgraded;
use crate::protocol::body_encoder::BodyLength;
use crate::protocol::error::{EncodeError, ProtocolError};

/// The body of a response: empty, full, or a stream.
#[derive(Default)]
pub struct Body {
    pub(crate) kind: BodyKind,
}

#[derive(Default)]
pub(crate) enum BodyKind {
    #[default]
    Empty,
    Full(Bytes),
    Stream(PartStream, BodyLength),
    /// Starts another protocol on the connection.
    Upgrade(Upgrade),
    /// The text of an error, which the application may replace.
    Error(Box<ErrorBody>),
}

/// The body of an error response.
pub(crate) struct ErrorBody {
    pub(crate) text: Bytes,
    pub(crate) failure: Box<Failure>,
}

pub(crate) type Upgrade = Box<dyn FnOnce(Upgraded) -> Pin<Box<dyn Future<Output = ()>>>>;

pub(crate) type PartStream = Pin<Box<dyn Stream<Item = Result<Part, BoxError>>>>;

/// A part of a streamed body.
#[derive(Debug)]
pub enum Part {
    /// Bytes of the body.
    Data(Bytes),
    /// Headers after the body; the last part. They are sent only if the body is sent in chunks (RFC
    /// 9110 section 6.5).
    Trailers(HeaderMap),
}

impl Body {
    /// Creates an empty body.
    #[must_use]
    pub const fn empty() -> Self {
        Self { kind: BodyKind::Empty }
    }

    /// Creates a body of unknown length, which is sent in chunks. If the stream ends with an error,
    /// the connection is closed before the end of the body, so that the client notices.
    pub fn stream<S, E>(stream: S) -> Self
    where
        S: Stream<Item = Result<Bytes, E>> + 'static,
        E: Into<BoxError> + 'static,
    {
        Self::parts(DataOnly { stream: Box::pin(stream) }, BodyLength::Unknown)
    }

    /// Creates a body of `length` bytes. If the stream yields fewer or more, the connection is
    /// closed.
    pub fn stream_with_length<S, E>(length: u64, stream: S) -> Self
    where
        S: Stream<Item = Result<Bytes, E>> + 'static,
        E: Into<BoxError> + 'static,
    {
        Self::parts(DataOnly { stream: Box::pin(stream) }, BodyLength::Known(length))
    }

    /// Creates a body from a stream of parts, the last of which may be trailers.
    pub fn parts<S>(stream: S, length: BodyLength) -> Self
    where
        S: Stream<Item = Result<Part, BoxError>> + 'static,
    {
        Self { kind: BodyKind::Stream(Box::pin(stream), length) }
    }

    /// Returns the length, as far as it is known.
    #[must_use]
    pub fn length(&self) -> BodyLength {
        match &self.kind {
            BodyKind::Empty | BodyKind::Upgrade(_) => BodyLength::Empty,
            BodyKind::Full(bytes) => BodyLength::Known(bytes.len() as u64),
            BodyKind::Stream(_, length) => *length,
            BodyKind::Error(body) => BodyLength::Known(body.text.len() as u64),
        }
    }

    /// Returns the bytes of a complete body, or `None` for a stream.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match &self.kind {
            BodyKind::Empty => Some(&[]),
            BodyKind::Full(bytes) => Some(bytes),
            BodyKind::Error(body) => Some(&body.text),
            BodyKind::Stream(..) | BodyKind::Upgrade(_) => None,
        }
    }

    /// Reads the body to its end and returns all of it in one piece, without the trailers. The body
    /// of an upgrade is empty.
    ///
    /// # Errors
    /// - [`ProtocolError::BodyTooLarge`] if the body is longer than `limit` bytes
    /// - [`EncodeError::BodyTooLong`] or [`EncodeError::BodyTooShort`] if a stream does not have
    ///   its announced length
    /// - the error that a stream ends with
    pub async fn collect(self, limit: usize) -> Result<Bytes, BoxError> {
        let full = |bytes: Bytes| match bytes.len() <= limit {
            true => Ok(bytes),
            false => Err(ProtocolError::BodyTooLarge.into()),
        };
        let (mut stream, length) = match self.kind {
            BodyKind::Empty | BodyKind::Upgrade(_) => return Ok(Bytes::new()),
            BodyKind::Full(bytes) => return full(bytes),
            BodyKind::Error(body) => return full(body.text),
            BodyKind::Stream(stream, length) => (stream, length),
        };
        let mut all = BytesMut::new();
        while let Some(part) = poll_fn(|cx| poll_part(&mut stream, cx)).await {
            let Part::Data(data) = part? else { break };
            all.extend_from_slice(&data);
            if all.len() > limit {
                return Err(ProtocolError::BodyTooLarge.into());
            }
        }
        let received = all.len() as u64;
        let announced = match length {
            BodyLength::Empty => 0,
            BodyLength::Known(length) => length,
            BodyLength::Unknown => received,
        };
        match received.cmp(&announced) {
            Ordering::Less => Err(EncodeError::BodyTooShort(announced - received).into()),
            Ordering::Equal => Ok(all.freeze()),
            Ordering::Greater => Err(EncodeError::BodyTooLong(received - announced).into()),
        }
    }
}

/// Polls for the next part, which takes a unit of the task's budget.
fn poll_part(
    stream: &mut PartStream,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Part, BoxError>>> {
    ready!(task::poll_proceed(cx));
    stream.as_mut().poll_next(cx)
}

/// Turns a stream of bytes into a stream of parts.
struct DataOnly<S> {
    stream: Pin<Box<S>>,
}

impl<S, E> Stream for DataOnly<S>
where
    S: Stream<Item = Result<Bytes, E>>,
    E: Into<BoxError>,
{
    type Item = Result<Part, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.stream.as_mut().poll_next(cx);
        next.map(|next| next.map(|item| item.map(Part::Data).map_err(Into::into)))
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self { kind: BodyKind::Full(bytes) }
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Bytes::from_static(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            BodyKind::Empty => f.write_str("Empty"),
            BodyKind::Full(bytes) => write!(f, "Full({} bytes)", bytes.len()),
            BodyKind::Stream(_, length) => write!(f, "Stream({length:?})"),
            BodyKind::Upgrade(_) => f.write_str("Upgrade"),
            BodyKind::Error(body) => write!(f, "Error({} bytes)", body.text.len()),
        }
    }
}
