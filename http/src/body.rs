//! Bodies: what a handler pulls from its request, and what it answers with.

use std::cell::{Cell, OnceCell, RefCell, RefMut};
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use http::{HeaderMap, StatusCode};

use crate::body_encoder::BodyLength;
use crate::disconnected::Presence;
use crate::error::{EncodeError, ProtocolError};
use crate::upgrade::Upgraded;

/// Any error that a body or a handler may end with.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Why a request's body could not be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyError {
    /// What came broke the protocol or a limit, or stopped midway.
    Protocol(ProtocolError),
    /// The connection is gone, or the request was answered without its body.
    Gone,
}

impl BodyError {
    /// The status to answer with.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Protocol(error) => error.status(),
            Self::Gone => StatusCode::BAD_REQUEST,
        }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(error) => write!(f, "the request's body: {error}"),
            Self::Gone => f.write_str("the request's body is not to be had any more"),
        }
    }
}

impl Error for BodyError {}

impl From<BodyError> for std::io::Error {
    fn from(error: BodyError) -> Self {
        Self::new(std::io::ErrorKind::InvalidData, error)
    }
}

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
        self.pipe.as_ref().is_none_or(|pipe| {
            let pipe = pipe.state.borrow();
            pipe.parts.is_empty() && matches!(pipe.end, Some(Ok(_)))
        })
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
        match &self.pipe.as_ref()?.state.borrow().end {
            Some(Ok(Some(trailers))) => Some(HeaderMap::clone(trailers)),
            _ => None,
        }
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
        let pipe = self.pipe.as_ref()?;
        let presence = || Rc::new(Presence::new(pipe.is_left.get()));
        Some(pipe.presence.get_or_init(presence).clone())
    }
}

impl Stream for RequestBody {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_chunk(cx)
    }
}

/// Between the connection, which decodes a body, and the handler, which pulls it.
#[derive(Debug)]
pub(crate) struct Pipe {
    state: RefCell<PipeState>,
    /// How long the handler has waited for it, up to the wait that is going on.
    pub(crate) waited: Cell<Duration>,
    /// How many bytes of the body have come.
    pub(crate) received: Cell<u64>,
    /// Made when somebody asks for it.
    presence: OnceCell<Rc<Presence>>,
    /// The client has gone, or there is nothing any more that it could get.
    is_left: Cell<bool>,
}

#[derive(Debug, Default)]
struct PipeState {
    parts: VecDeque<Bytes>,
    /// Set once nothing more will be pushed.
    end: Option<Result<Option<Box<HeaderMap>>, BodyError>>,
    /// The handler waits for a part.
    is_wanted: bool,
    reader: Option<Waker>,
    /// The connection's task, to be woken when somebody else's task wants a part.
    connection: Option<Waker>,
}

impl Pipe {
    pub(crate) fn new() -> Self {
        Self {
            state: RefCell::default(),
            waited: Cell::new(Duration::ZERO),
            received: Cell::new(0),
            presence: OnceCell::new(),
            is_left: Cell::new(false),
        }
    }

    /// Of a request that has no body.
    pub(crate) fn ended() -> Self {
        let pipe = Self::new();
        pipe.state.borrow_mut().end = Some(Ok(None));
        pipe
    }

    /// The client has gone, or there is nothing any more that it could get.
    pub(crate) fn leave(&self) {
        self.is_left.set(true);
        if let Some(presence) = self.presence.get() {
            presence.leave();
        }
    }

    fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let mut state = self.state.borrow_mut();
        if let Some(part) = state.parts.pop_front() {
            return Poll::Ready(Some(Ok(part)));
        }
        if let Some(end) = &state.end {
            return Poll::Ready(end.as_ref().err().map(|error| Err(*error)));
        }
        state.is_wanted = true;
        let waker = cx.waker();
        let connection = state.connection.take_if(|connection| !connection.will_wake(waker));
        let before = state.reader.replace(waker.clone());
        drop(state);
        drop(before);
        if let Some(connection) = connection {
            connection.wake();
        }
        Poll::Pending
    }

    /// Whether the handler waits for a part.
    pub(crate) fn is_wanted(&self) -> bool {
        self.state.borrow().is_wanted
    }

    /// The connection waits for something else: `waker` is to be woken when a part is wanted.
    pub(crate) fn watch(&self, waker: &Waker) {
        let mut state = self.state.borrow_mut();
        if !state.connection.as_ref().is_some_and(|known| known.will_wake(waker)) {
            state.connection = Some(waker.clone());
        }
    }

    /// Adds a part. The task of `waker` is running, and will poll the handler again by itself.
    pub(crate) fn push(&self, part: Bytes, waker: &Waker) {
        self.received.update(|received| received + part.len() as u64);
        let mut state = self.state.borrow_mut();
        state.parts.push_back(part);
        Self::wake_reader(state, waker);
    }

    /// Nothing more comes: the end with its trailers, or an error.
    pub(crate) fn end(&self, end: Result<Option<Box<HeaderMap>>, BodyError>, waker: &Waker) {
        let mut state = self.state.borrow_mut();
        if state.end.is_none() {
            state.end = Some(end);
        }
        Self::wake_reader(state, waker);
    }

    fn wake_reader(mut state: RefMut<'_, PipeState>, running: &Waker) {
        state.is_wanted = false;
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader.filter(|reader| !reader.will_wake(running)) {
            reader.wake();
        }
    }
}

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
    /// The connection goes on with another protocol, which this begins.
    Upgrade(Upgrade),
}

pub(crate) type Upgrade = Box<dyn FnOnce(Upgraded) -> Pin<Box<dyn Future<Output = ()>>>>;

pub(crate) type PartStream = Pin<Box<dyn Stream<Item = Result<Part, BoxError>>>>;

/// A part of a streamed body.
#[derive(Debug)]
pub enum Part {
    /// Some bytes.
    Data(Bytes),
    /// Headers after the body: the last part. They are sent only in chunks, to those who asked
    /// for nothing else (RFC 9110 section 6.5).
    Trailers(HeaderMap),
}

impl Body {
    /// No body.
    #[must_use]
    pub const fn empty() -> Self {
        Self { kind: BodyKind::Empty }
    }

    /// A body of which the length is not known: it goes out in chunks. An error ends the
    /// connection before the end of the body, so that the client notices.
    pub fn stream<S, E>(stream: S) -> Self
    where
        S: Stream<Item = Result<Bytes, E>> + 'static,
        E: Into<BoxError> + 'static,
    {
        Self::parts(DataOnly { stream: Box::pin(stream) }, BodyLength::Unknown)
    }

    /// A body of `length` bytes. A stream that gives less, or more, ends the connection.
    pub fn stream_with_length<S, E>(length: u64, stream: S) -> Self
    where
        S: Stream<Item = Result<Bytes, E>> + 'static,
        E: Into<BoxError> + 'static,
    {
        Self::parts(DataOnly { stream: Box::pin(stream) }, BodyLength::Known(length))
    }

    /// A body of parts, of which the last may be trailers.
    pub fn parts<S>(stream: S, length: BodyLength) -> Self
    where
        S: Stream<Item = Result<Part, BoxError>> + 'static,
    {
        Self { kind: BodyKind::Stream(Box::pin(stream), length) }
    }

    /// What is known of the length.
    #[must_use]
    pub fn length(&self) -> BodyLength {
        match &self.kind {
            BodyKind::Empty | BodyKind::Upgrade(_) => BodyLength::Empty,
            BodyKind::Full(bytes) => BodyLength::Known(bytes.len() as u64),
            BodyKind::Stream(_, length) => *length,
        }
    }

    /// The bytes of a body that is all there; `None` for a stream.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match &self.kind {
            BodyKind::Empty => Some(&[]),
            BodyKind::Full(bytes) => Some(bytes),
            BodyKind::Stream(..) | BodyKind::Upgrade(_) => None,
        }
    }

    /// Reads to the end and returns all of it, in one piece, without the trailers. Of an upgrade
    /// that is nothing.
    ///
    /// # Errors
    /// [`ProtocolError::BodyTooLarge`] if it is more than `limit` bytes,
    /// [`EncodeError::BodyTooLong`] and [`EncodeError::BodyTooShort`] if a stream does not have
    /// the length that it was given, and whatever the stream ends with.
    pub async fn collect(self, limit: usize) -> Result<Bytes, BoxError> {
        let (mut stream, length) = match self.kind {
            BodyKind::Empty | BodyKind::Upgrade(_) => return Ok(Bytes::new()),
            BodyKind::Full(bytes) if bytes.len() <= limit => return Ok(bytes),
            BodyKind::Full(_) => return Err(ProtocolError::BodyTooLarge.into()),
            BodyKind::Stream(stream, length) => (stream, length),
        };
        let mut all = BytesMut::new();
        while let Some(part) = poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
            let Part::Data(data) = part? else { break };
            all.extend_from_slice(&data);
            if all.len() > limit {
                return Err(ProtocolError::BodyTooLarge.into());
            }
        }
        let came = all.len() as u64;
        let announced = match length {
            BodyLength::Empty => 0,
            BodyLength::Known(length) => length,
            BodyLength::Unknown => came,
        };
        match came.cmp(&announced) {
            Ordering::Less => Err(EncodeError::BodyTooShort(announced - came).into()),
            Ordering::Equal => Ok(all.freeze()),
            Ordering::Greater => Err(EncodeError::BodyTooLong(came - announced).into()),
        }
    }
}

/// A stream of bytes as one of parts.
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
        }
    }
}
