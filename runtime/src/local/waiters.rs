//! Tasks that wait for a change of something that they share.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::budget;
use crate::observe::panic::log_panic;
use crate::sync::poll_and_register;
use crate::task::wakers::Wakers;

/// The tasks that wait for a change.
#[derive(Default)]
pub(super) struct Waiters {
    wakers: RefCell<Wakers>,
}

impl Waiters {
    /// Calls `check` until it returns something: at once, and after each [`Waiters::wake_all`].
    pub(super) fn wait<T, F: FnMut() -> Option<T>>(&self, check: F) -> Wait<'_, F> {
        Wait { waiters: self, key: None, check }
    }

    /// Wakes all tasks that wait, those that have waited longest first.
    pub(super) fn wake_all(&self) {
        let wakers = self.wakers.borrow_mut().take();
        // A waker that panics must not keep the others from being woken.
        wakers.for_each(|waker| log_panic(|| waker.wake()));
    }
}

/// The future of [`Waiters::wait`]. Leaves no waker behind when it is dropped.
#[must_use]
pub(super) struct Wait<'a, F> {
    waiters: &'a Waiters,
    /// The waker's entry, since the first poll that had to wait.
    key: Option<u64>,
    check: F,
}

impl<T, F: FnMut() -> Option<T> + Unpin> Future for Wait<'_, F> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let Self { waiters, key, check } = &mut *self;
        budget::poll_counted(cx, |cx| {
            poll_and_register(cx.waker(), |place| {
                if let Some(output) = check() {
                    return Some(Poll::Ready(output));
                }
                // Bound to a name, so that it is dropped after the borrow has ended.
                let _before = waiters.wakers.borrow_mut().register(key, place.take()?);
                Some(Poll::Pending)
            })
        })
    }
}

impl<F> Drop for Wait<'_, F> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            let _waker = self.waiters.wakers.borrow_mut().remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_wait_that_is_dropped_leaves_no_waker_behind() {
        let (waiters, is_open) = (Waiters::default(), Cell::new(false));
        let wait = || waiters.wait(|| is_open.get().then_some(7));
        let mut waits = [wait(), wait(), wait()];
        for wait in &mut waits {
            assert_eq!(wait.now_or_never(), None);
            assert_eq!(wait.now_or_never(), None);
        }
        assert_eq!(waiters.wakers.borrow().len(), 3);
        let [first, mut second, third] = waits;
        drop(first);
        assert_eq!(waiters.wakers.borrow().len(), 2);
        is_open.set(true);
        assert_eq!((&mut second).now_or_never(), Some(7));
        waiters.wake_all();
        assert!(waiters.wakers.borrow().is_empty());
        drop((second, third));
    }
}
