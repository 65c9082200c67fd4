//! The pipe through which a connection passes the body of a request to its handler.

use std::cell::{Cell, OnceCell, RefCell, RefMut};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

use crate::message::body_error::BodyError;
use crate::message::presence::Presence;
use crate::protocol::body_encoder::BodyLength;

/// Passes the body of a request from the connection, which decodes it, to the handler, which asks
/// for one part after the other. Also notes that the client has gone.
#[derive(Debug)]
pub(crate) struct Pipe {
    state: RefCell<PipeState>,
    /// The length that the client has announced.
    announced: Option<u64>,
    /// How long the handler has waited for parts, without the current wait.
    pub(crate) waited: Cell<Duration>,
    /// How many bytes of the body have been received.
    pub(crate) received: Cell<u64>,
    /// Created by the first call of `presence`.
    presence: OnceCell<Rc<Presence>>,
    /// The client has gone, or its response is complete.
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
    /// The connection's task, to be woken when another task waits for a part.
    connection: Option<Waker>,
}

impl Pipe {
    /// Returns the pipe of a request with a body, which may have an announced length.
    pub(crate) fn new(announced: Option<u64>) -> Self {
        Self {
            state: RefCell::default(),
            announced,
            waited: Cell::new(Duration::ZERO),
            received: Cell::new(0),
            presence: OnceCell::new(),
            is_left: Cell::new(false),
        }
    }

    /// Returns the pipe of a request without a body.
    pub(crate) fn ended() -> Self {
        let pipe = Self::new(Some(0));
        pipe.state.borrow_mut().end = Some(Ok(None));
        pipe
    }

    /// Notes that the client has gone, or that its response is complete.
    pub(crate) fn leave(&self) {
        self.is_left.set(true);
        if let Some(presence) = self.presence.get() {
            presence.leave();
        }
    }

    /// Returns `true` if no part is left and none will come.
    pub(crate) fn is_end(&self) -> bool {
        let state = self.state.borrow();
        state.parts.is_empty() && matches!(state.end, Some(Ok(_)))
    }

    /// Returns the length of what has not been taken, as far as it is known.
    pub(crate) fn length(&self) -> BodyLength {
        let state = self.state.borrow();
        let queued = state.parts.iter().map(|part| part.len() as u64).sum::<u64>();
        let to_come = match (&state.end, self.announced) {
            (Some(Ok(_)), _) => Some(0),
            (_, Some(announced)) => announced.checked_sub(self.received.get()),
            (_, None) => None,
        };
        to_come.map_or(BodyLength::Unknown, |to_come| BodyLength::Known(queued + to_come))
    }

    /// Returns the trailers, once the end has come.
    pub(crate) fn take_trailers(&self) -> Option<Box<HeaderMap>> {
        self.state.borrow_mut().end.as_mut()?.as_mut().ok()?.take()
    }

    /// Returns the shared note of whether the client has gone.
    pub(crate) fn presence(&self) -> Rc<Presence> {
        let presence = || Rc::new(Presence::new(self.is_left.get()));
        self.presence.get_or_init(presence).clone()
    }

    /// Returns `true` if [`poll_take`](Self::poll_take) does not wait.
    pub(crate) fn is_ready(&self) -> bool {
        let state = self.state.borrow();
        !state.parts.is_empty() || state.end.is_some()
    }

    /// Takes the next part. Ready with `None` at the end.
    pub(crate) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let mut state = self.state.borrow_mut();
        if let Some(part) = state.parts.pop_front() {
            return Poll::Ready(Some(Ok(part)));
        }
        if let Some(end) = &state.end {
            return Poll::Ready(end.as_ref().err().map(|error| Err(error.again())));
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

    /// Returns `true` if the handler waits for a part.
    pub(crate) fn is_wanted(&self) -> bool {
        self.state.borrow().is_wanted
    }

    /// Registers the connection's task, to be woken when a part is wanted.
    pub(crate) fn watch(&self, waker: &Waker) {
        let mut state = self.state.borrow_mut();
        if !state.connection.as_ref().is_some_and(|known| known.will_wake(waker)) {
            state.connection = Some(waker.clone());
        }
    }

    /// Adds a part, and wakes the handler's task unless it is that of `waker`, which is running.
    pub(crate) fn push(&self, part: Bytes, waker: &Waker) {
        self.received.update(|received| received + part.len() as u64);
        let mut state = self.state.borrow_mut();
        state.parts.push_back(part);
        Self::wake_reader(state, waker);
    }

    /// Ends the body, with its trailers or an error, and wakes the handler's task as
    /// [`push`](Self::push) does.
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
