//! Lets a handler that is not cancelled on disconnect notice that its client has gone.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use brigade_runtime::task;

use brigade_runtime::Wakers;

/// A future that completes when the client has disconnected; see
/// [`Request::disconnected`](crate::Request::disconnected).
///
/// It can be cloned and awaited in any task of its loop, any number of times. A future that is
/// dropped leaves nothing behind.
#[must_use = "a future does nothing unless it is awaited"]
pub struct Disconnected {
    /// `None` if the handler is cancelled on disconnect, so that this never completes.
    presence: Option<Rc<Presence>>,
    /// Its entry among those that wait.
    key: Option<u64>,
}

impl Disconnected {
    /// Returns a future that follows `presence`. Without one it never completes.
    pub(super) fn new(presence: Option<Rc<Presence>>) -> Self {
        Self { presence, key: None }
    }

    /// Returns `true` if the client has disconnected.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.presence.as_ref().is_some_and(|presence| presence.is_gone.get())
    }
}

impl Clone for Disconnected {
    fn clone(&self) -> Self {
        Self::new(self.presence.clone())
    }
}

impl Future for Disconnected {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { presence, key } = self.get_mut();
        match presence {
            Some(presence) => {
                ready!(presence.poll_gone(key, cx.waker()));
                task::poll_proceed(cx)
            }
            None => Poll::Pending,
        }
    }
}

impl Drop for Disconnected {
    fn drop(&mut self) {
        if let (Some(presence), Some(key)) = (&self.presence, self.key) {
            let _waker = presence.waiting.borrow_mut().remove(key);
        }
    }
}

impl fmt::Debug for Disconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disconnected").field("is_ready", &self.is_ready()).finish()
    }
}

/// Whether a client has disconnected, and the futures that wait for it. Shared by the connection
/// and the request.
#[derive(Debug)]
pub(crate) struct Presence {
    is_gone: Cell<bool>,
    waiting: RefCell<Wakers>,
}

impl Presence {
    pub(crate) fn new(is_gone: bool) -> Self {
        Self { is_gone: Cell::new(is_gone), waiting: RefCell::default() }
    }

    fn poll_gone(&self, key: &mut Option<u64>, waker: &Waker) -> Poll<()> {
        if self.is_gone.get() {
            return Poll::Ready(());
        }
        // Cloned before the borrow, and the one before is dropped after it has ended.
        let waker = waker.clone();
        let _before = self.waiting.borrow_mut().register(key, waker);
        Poll::Pending
    }

    /// Records that the client has disconnected, or that its request is over, and wakes the waiting
    /// tasks.
    pub(crate) fn leave(&self) {
        self.is_gone.set(true);
        let waiting = self.waiting.borrow_mut().take();
        waiting.for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Context;

    use super::*;

    #[test]
    fn a_wait_for_the_disconnect_that_is_given_up_leaves_nothing_behind() {
        let presence = Rc::new(Presence::new(false));
        let mut kept = Disconnected::new(Some(presence.clone()));
        let cx = &mut Context::from_waker(Waker::noop());
        for _ in 0..100 {
            assert!(Pin::new(&mut kept).poll(cx).is_pending());
            assert!(Pin::new(&mut kept.clone()).poll(cx).is_pending());
        }
        assert_eq!(presence.waiting.borrow().len(), 1);
        presence.leave();
        assert!(presence.waiting.borrow().is_empty());
        assert!(Pin::new(&mut kept).poll(cx).is_ready());
    }
}
