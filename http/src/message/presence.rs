//! Whether the client of a request is still there, for handlers that run on without it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Ready when a client has gone; see [`Request::disconnected`]. It may be awaited anywhere on its
/// loop, any number of times.
#[derive(Clone)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Disconnected {
    /// Absent if the handler is dropped rather than told.
    pub(super) presence: Option<Rc<Presence>>,
}

impl Disconnected {
    /// Returns `true` if the client has gone.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.presence.as_ref().is_some_and(|presence| presence.is_gone.get())
    }
}

impl Future for Disconnected {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &self.presence {
            Some(presence) => presence.poll_gone(cx.waker()),
            None => Poll::Pending,
        }
    }
}

impl fmt::Debug for Disconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disconnected").field("is_ready", &self.is_ready()).finish()
    }
}

/// Whether a client has gone, and who wants to know. Shared by its connection and its request.
#[derive(Debug)]
pub(crate) struct Presence {
    is_gone: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
}

impl Presence {
    pub(crate) fn new(is_gone: bool) -> Self {
        Self { is_gone: Cell::new(is_gone), waiting: RefCell::default() }
    }

    fn poll_gone(&self, waker: &Waker) -> Poll<()> {
        if self.is_gone.get() {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|known| known.will_wake(waker)) {
            waiting.push(waker.clone());
        }
        Poll::Pending
    }

    /// The client has gone, or there is nothing any more that it could get.
    pub(crate) fn leave(&self) {
        self.is_gone.set(true);
        let waiting = self.waiting.take();
        waiting.into_iter().for_each(Waker::wake);
    }
}
