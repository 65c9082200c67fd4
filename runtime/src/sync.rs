//! The primitives for what crosses threads, so that loom can replace them.
//!
//! Under `--cfg brigade_loom` the atomics are loom's, and each queue is a list behind a mutex: the
//! models check our protocol around the queue, not crossbeam's queue itself.

use std::sync::{MutexGuard, PoisonError};
use std::task::{Poll, Waker};

#[cfg(not(brigade_loom))]
pub(crate) use crossbeam_queue::{ArrayQueue as BoundedQueue, SegQueue as Queue};
#[cfg(not(brigade_loom))]
pub(crate) use std::sync::Mutex;
#[cfg(not(brigade_loom))]
pub(crate) use std::sync::atomic;

#[cfg(brigade_loom)]
pub(crate) use loom::sync::Mutex;
#[cfg(brigade_loom)]
pub(crate) use loom::sync::atomic;

/// Locks `mutex`, even if a thread panicked while it held the lock: the data behind our mutexes is
/// valid between any two statements.
pub fn lock<T: ?Sized>(mutex: &std::sync::Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(not(brigade_loom))]
pub(crate) use lock as lock_modelled;

/// Locks a mutex that loom may have replaced.
#[cfg(brigade_loom)]
pub(crate) fn lock_modelled<T>(mutex: &Mutex<T>) -> loom::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

/// Calls `poll`, and again with a clone of `waker` in the place that it is passed if it returns
/// `None`. `poll` stores the clone with [`register`].
///
/// Cloning and dropping a waker may run any code. With this function both happen while nothing that
/// `poll` locks or borrows is locked or borrowed.
#[inline]
pub(crate) fn poll_and_register<T>(
    waker: &Waker,
    mut poll: impl FnMut(&mut Option<Waker>) -> Option<Poll<T>>,
) -> Poll<T> {
    let mut place = None;
    loop {
        if let Some(polled) = poll(&mut place) {
            return polled;
        }
        place = Some(waker.clone());
    }
}

/// Returns `Poll::Pending` if `stored` wakes the same task as `waker`. If not, swaps it with the
/// clone of `waker` in `place`; returns `None` if there is no clone yet.
#[inline]
pub(crate) fn register<T>(
    stored: &mut Option<Waker>,
    waker: &Waker,
    place: &mut Option<Waker>,
) -> Option<Poll<T>> {
    if !stored.as_ref().is_some_and(|stored| stored.will_wake(waker)) {
        place.as_ref()?;
        std::mem::swap(stored, place);
    }
    Some(Poll::Pending)
}

#[cfg(brigade_loom)]
pub(crate) struct Queue<T>(loom::sync::Mutex<std::collections::VecDeque<T>>);

#[cfg(brigade_loom)]
impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        Self(loom::sync::Mutex::new(std::collections::VecDeque::new()))
    }

    pub(crate) fn push(&self, item: T) {
        self.0.lock().unwrap().push_back(item);
    }

    pub(crate) fn pop(&self) -> Option<T> {
        self.0.lock().unwrap().pop_front()
    }
}

#[cfg(brigade_loom)]
pub(crate) struct BoundedQueue<T> {
    items: Mutex<std::collections::VecDeque<T>>,
    capacity: usize,
}

#[cfg(brigade_loom)]
impl<T> BoundedQueue<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { items: Mutex::new(std::collections::VecDeque::new()), capacity }
    }

    pub(crate) fn push(&self, item: T) -> Result<(), T> {
        let mut items = lock_modelled(&self.items);
        if items.len() == self.capacity {
            return Err(item);
        }
        items.push_back(item);
        Ok(())
    }

    pub(crate) fn pop(&self) -> Option<T> {
        lock_modelled(&self.items).pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        lock_modelled(&self.items).is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        lock_modelled(&self.items).len() == self.capacity
    }
}
