//! The body of a request or a response.

use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use brigade_runtime::task;
use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use http::HeaderMap;

use crate::message::body_error::{BodyError, BoxError};
use crate::message::failure::Failure;
use crate::message::observer::Observer;
use crate::message::part::{InMemory, Part, PartStream};
use crate::message::pipe::Pipe;
use crate::message::upgrade::Upgraded;
use crate::protocol::body_encoder::BodyLength;
use crate::protocol::error::{EncodeError, ProtocolError};

/// The body of a request or a response, on a server and on a client: empty, full, a stream, or
/// incoming from a connection.
///
/// It is read part by part, and a part is produced only when it is wanted. While nobody reads an
/// incoming body, its sender cannot send more than a buffer full. A body is also a [`Stream`] of
/// [`Bytes`] and an [`http_body::Body`].
///
/// # Examples
/// ```
/// use brigade_http::{Body, BodyError, Request, Router, post};
///
/// async fn count(mut request: Request) -> Result<String, BodyError> {
///     let mut bytes = 0;
///     while let Some(part) = request.body_mut().chunk().await {
///         bytes += part?.len();
///     }
///     Ok(format!("{bytes} bytes"))
/// }
///
/// async fn echo(request: Request) -> Body {
///     request.into_body()
/// }
///
/// let router = Router::new().route("/count", post(count)).route("/echo", post(echo));
/// ```
#[derive(Default)]
pub struct Body {
    pub(crate) kind: BodyKind,
}

#[derive(Default)]
pub(crate) enum BodyKind {
    #[default]
    Empty,
    Full(Bytes),
    /// The body of a request, from the connection on which it arrives.
    Incoming(Rc<Pipe>),
    /// The length is that of what has not been read.
    Stream(PartStream, BodyLength),
    /// A body that has been read to its end, with trailers.
    Trailers(Box<HeaderMap>),
    /// A stream whose error was returned.
    Failed,
    /// Starts another protocol on the connection.
    Upgrade(Upgrade),
    /// The text of an error, which the application may replace.
    Error(Box<ErrorBody>),
    /// A body whose end is reported.
    Observed(Box<dyn ObservedBody>),
}

/// The body of an error response.
pub(crate) struct ErrorBody {
    pub(crate) text: Bytes,
    pub(crate) failure: Box<Failure>,
}

/// A body and who observes it. It is a trait since the compiler does not inline what drops a type
/// that contains itself, and each response drops a body.
pub(crate) trait ObservedBody {
    fn body(&self) -> &Body;
    fn parts_mut(&mut self) -> (&mut Body, &mut Observer);
    fn into_parts(self: Box<Self>) -> (Body, Observer);
}

pub(crate) type Upgrade = Box<dyn FnOnce(Upgraded) -> Pin<Box<dyn Future<Output = ()>>>>;

/// # Creating
impl Body {
    /// Creates an empty body.
    #[must_use]
    pub const fn empty() -> Self {
        Self { kind: BodyKind::Empty }
    }

    /// Creates a body of unknown length, which is sent in chunks. If the stream ends with an error,
    /// the connection is closed before the end of the body, so that the peer notices. A peer that
    /// speaks HTTP/1.0 over a Unix socket cannot: there is no chunk that it misses, and no reset.
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
        Self::of_source(Box::pin(InMemory::new(stream)), length)
    }

    /// Creates a body from a source of parts, which need not be in memory to be sent.
    pub(crate) const fn of_source(source: PartStream, length: BodyLength) -> Self {
        Self { kind: BodyKind::Stream(source, length) }
    }

    /// Creates the body of a request that arrives on a connection.
    pub(crate) fn incoming(pipe: Rc<Pipe>) -> Self {
        Self { kind: BodyKind::Incoming(pipe) }
    }
}

/// # Reading
impl Body {
    /// Reads the next part, which is never empty. Returns `None` at the end.
    ///
    /// # Errors
    /// - [`BodyError::Protocol`] if the client violates the protocol or a limit
    /// - [`BodyError::Gone`] if it has disconnected, or its response was sent without reading the
    ///   body
    /// - [`BodyError::Stream`] if a stream fails, and [`BodyError::Length`] if it does not have its
    ///   announced length
    ///
    /// After an error every further call returns one, too.
    ///
    /// # Cancel safety
    /// Dropping the future loses no data.
    pub async fn chunk(&mut self) -> Option<Result<Bytes, BodyError>> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// Polls for the next part; see [`Body::chunk`].
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            return Poll::Ready(match ready!(self.poll_part(cx)) {
                Some(Ok(Part::Data(data))) if data.is_empty() => continue,
                Some(Ok(Part::Data(data))) => Some(Ok(data)),
                Some(Ok(Part::Trailers(trailers))) => {
                    // Its observer has nothing more to report.
                    self.kind = BodyKind::Trailers(Box::new(trailers));
                    None
                }
                Some(Err(error)) => Some(Err(error)),
                None => None,
            });
        }
    }

    /// Reads the rest of the body and returns it in one piece.
    ///
    /// While `StreamExt` is imported, `body.collect(limit)` of a body that you own calls the method
    /// of that trait, which takes no argument. Write `(&mut body).collect(limit)` there.
    ///
    /// # Errors
    /// [`ProtocolError::BodyTooLarge`] if it is longer than `limit` bytes, and the errors of
    /// [`Body::chunk`]. Nothing is read of a body that is known to be too long.
    ///
    /// # Cancel safety
    /// Dropping the future loses the parts that it has read.
    pub async fn collect(&mut self, limit: usize) -> Result<Bytes, BodyError> {
        let too_large = BodyError::Protocol(ProtocolError::BodyTooLarge);
        if matches!(self.length(), BodyLength::Known(length) if length > limit as u64) {
            return Err(too_large);
        }
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

    /// Returns the trailers, if there are any and the body has been read to its end (RFC 9110
    /// section 6.5).
    #[must_use]
    pub fn trailers(&self) -> Option<&HeaderMap> {
        match &self.kind {
            BodyKind::Trailers(trailers) => Some(trailers),
            BodyKind::Observed(observed) => observed.body().trailers(),
            _ => None,
        }
    }

    /// Returns `true` if it is known that nothing is left to read. A stream may turn out to be at
    /// its end only when it is read.
    #[must_use]
    pub fn is_end(&self) -> bool {
        match &self.kind {
            BodyKind::Empty | BodyKind::Trailers(_) | BodyKind::Upgrade(_) => true,
            BodyKind::Full(bytes) => bytes.is_empty(),
            BodyKind::Error(body) => body.text.is_empty(),
            BodyKind::Incoming(pipe) => pipe.is_end(),
            BodyKind::Stream(..) | BodyKind::Failed => false,
            BodyKind::Observed(observed) => observed.body().is_end(),
        }
    }

    /// Returns the length of what has not been read, as far as it is known.
    #[must_use]
    pub fn length(&self) -> BodyLength {
        match &self.kind {
            BodyKind::Empty | BodyKind::Trailers(_) | BodyKind::Upgrade(_) => BodyLength::Empty,
            BodyKind::Full(bytes) => BodyLength::Known(bytes.len() as u64),
            BodyKind::Incoming(pipe) => pipe.length(),
            BodyKind::Stream(_, length) => *length,
            BodyKind::Error(body) => BodyLength::Known(body.text.len() as u64),
            BodyKind::Failed => BodyLength::Unknown,
            BodyKind::Observed(observed) => observed.body().length(),
        }
    }

    /// Returns `true` if the body is another protocol.
    pub(crate) fn is_upgrade(&self) -> bool {
        match &self.kind {
            BodyKind::Upgrade(_) => true,
            BodyKind::Observed(observed) => observed.body().is_upgrade(),
            _ => false,
        }
    }

    /// Returns the bytes of a body that is empty or full, or `None` if it has to be read.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match &self.kind {
            BodyKind::Empty | BodyKind::Trailers(_) => Some(&[]),
            BodyKind::Full(bytes) => Some(bytes),
            BodyKind::Error(body) => Some(&body.text),
            BodyKind::Observed(observed) => observed_bytes(&**observed),
            _ => None,
        }
    }
}

impl Body {
    /// Polls for the next part. Each takes a unit of the task's budget.
    pub(crate) fn poll_part(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Part, BodyError>>> {
        let part = match &mut self.kind {
            BodyKind::Incoming(pipe) => ready!(poll_incoming(pipe, cx)),
            BodyKind::Stream(stream, length) => ready!(poll_stream(stream, length, cx)),
            BodyKind::Observed(observed) => return poll_observed(&mut **observed, cx),
            kind => {
                ready!(task::poll_proceed(cx));
                return Poll::Ready(match kind {
                    BodyKind::Full(bytes) => {
                        let bytes = mem::take(bytes);
                        *kind = BodyKind::Empty;
                        Some(Ok(Part::Data(bytes)))
                    }
                    BodyKind::Error(body) => {
                        let text = mem::take(&mut body.text);
                        *kind = BodyKind::Empty;
                        Some(Ok(Part::Data(text)))
                    }
                    BodyKind::Failed => Some(Err(BodyError::Gone)),
                    _ => None,
                });
            }
        };
        match (&part, &self.kind) {
            (Some(Ok(Part::Data(_))), _) | (Some(Err(_)), BodyKind::Incoming(_)) => {}
            (Some(Err(_)), _) => self.kind = BodyKind::Failed,
            (Some(Ok(Part::Trailers(_))) | None, _) => self.kind = BodyKind::Empty,
        }
        Poll::Ready(part)
    }

    /// Returns the stream of what is left.
    pub(crate) fn into_part_stream(self) -> PartStream {
        match self.kind {
            BodyKind::Stream(stream, _) => stream,
            kind => Box::pin(InMemory::new(AllParts { body: Self { kind } })),
        }
    }
}

/// Not inlined, so that [`Body::as_bytes`] can be, which runs for each response.
#[cold]
#[inline(never)]
fn observed_bytes(observed: &dyn ObservedBody) -> Option<&[u8]> {
    observed.body().as_bytes()
}

fn poll_observed(
    observed: &mut dyn ObservedBody,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Part, BodyError>>> {
    let (body, observer) = observed.parts_mut();
    let part = ready!(body.poll_part(cx));
    match &part {
        Some(Ok(Part::Data(data))) => {
            observer.count(data.len() as u64);
            // A reader that knows the length stops here.
            if matches!(body.length(), BodyLength::Empty | BodyLength::Known(0)) {
                observer.note_end();
            }
        }
        Some(Ok(Part::Trailers(_))) | None => observer.note_end(),
        Some(Err(_)) => {}
    }
    Poll::Ready(part)
}

fn poll_incoming(pipe: &Pipe, cx: &mut Context<'_>) -> Poll<Option<Result<Part, BodyError>>> {
    if pipe.is_ready() {
        ready!(task::poll_proceed(cx));
    }
    Poll::Ready(match ready!(pipe.poll_take(cx)) {
        Some(part) => Some(part.map(Part::Data)),
        None => pipe.take_trailers().map(|trailers| Ok(Part::Trailers(*trailers))),
    })
}

fn poll_stream(
    stream: &mut PartStream,
    length: &mut BodyLength,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Part, BodyError>>> {
    ready!(task::poll_proceed(cx));
    let part = ready!(stream.as_mut().poll_next(cx)).transpose()?;
    let left = match *length {
        BodyLength::Unknown => return Poll::Ready(part.map(Ok)),
        BodyLength::Known(left) => left,
        BodyLength::Empty => 0,
    };
    Poll::Ready(match part {
        Some(Part::Data(data)) => match left.checked_sub(data.len() as u64) {
            Some(left) => {
                *length = BodyLength::Known(left);
                Some(Ok(Part::Data(data)))
            }
            None => Some(Err(EncodeError::BodyTooLong(data.len() as u64 - left).into())),
        },
        None | Some(Part::Trailers(_)) if left > 0 => {
            Some(Err(EncodeError::BodyTooShort(left).into()))
        }
        part => part.map(Ok),
    })
}

impl Stream for Body {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_chunk(cx)
    }
}

/// The parts of a body that is no stream.
struct AllParts {
    body: Body,
}

impl Stream for AllParts {
    type Item = Result<Part, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.body.poll_part(cx).map_err(BodyError::into_cause)
    }
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
            BodyKind::Incoming(pipe) => write!(f, "Incoming({:?})", pipe.length()),
            BodyKind::Stream(_, length) => write!(f, "Stream({length:?})"),
            BodyKind::Trailers(_) => f.write_str("Trailers"),
            BodyKind::Failed => f.write_str("Failed"),
            BodyKind::Upgrade(_) => f.write_str("Upgrade"),
            BodyKind::Error(body) => write!(f, "Error({} bytes)", body.text.len()),
            BodyKind::Observed(observed) => observed.body().fmt(f),
        }
    }
}
