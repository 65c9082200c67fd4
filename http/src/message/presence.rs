//! Lets a handler that is not cancelled on disconnect notice that its client has gone.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use brigade_runtime::task;

/// A future that completes when the client has disconnected; see
/// [`Request::disconnected`](crate::Request::disconnected).
///
/// It can be cloned and awaited in any task of its loop, any number of times.
#[derive(Clone)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Disconnected {
    /// `None` if the handler is cancelled on disconnect, so that this never completes.
    pub(super) presence: Option<Rc<Presence>>,
}

impl Disconnected {
    /// Returns `true` if the client has disconnected.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.presence.as_ref().is_some_and(|presence| presence.is_gone.get())
    }
}

impl Future for Disconnected {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &self.presence {
            Some(presence) => {
                ready!(presence.poll_gone(cx.waker()));
                task::poll_proceed(cx)
            }
            None => Poll::Pending,
        }
    }
}

impl fmt::Debug for Disconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disconnected").field("is_ready", &self.is_ready()).finish()
    }
}

/// Whether a client has disconnected, and the tasks that wait for it. Shared by the connection and
/// the request.
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

    /// Records that the client has disconnected, or that its request is over, and wakes the waiting
    /// tasks.
    pub(crate) fn leave(&self) {
        self.is_gone.set(true);
        let waiting = self.waiting.take();
        waiting.into_iter().for_each(Waker::wake);
    }
}
