//! A number of permits, and the queue of the tasks that wait for one.
//!
//! A permit that is added while tasks wait is granted to the first of them at once. So permits are
//! available only while no task waits, and no task overtakes another.
//!
//! The queue is a list through the slots of a slab, so a wait that is dropped leaves it in constant
//! time.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use crate::budget;
use crate::executor::slots::{Key, Slots};
use crate::observe::panic::log_panic;
use crate::sync::{poll_and_register, register};

pub(super) struct Permits {
    available: Cell<usize>,
    /// No more permits than these become available.
    available_max: usize,
    closed: Cell<bool>,
    queue: RefCell<Queue>,
}

/// What a waiting task was granted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Grant {
    /// A permit. If the wait is dropped, it goes to the next task.
    Permit,
    /// The end of the wait, without a permit.
    Wake,
    /// An error: no permit will be granted.
    Closed,
}

/// The error of [`Permits::acquire`] after [`Permits::close`].
#[derive(Debug)]
pub(super) struct Closed;

impl Permits {
    /// Creates `available` permits. At most `available_max` become available at the same time.
    pub(super) fn new(available: usize, available_max: usize) -> Self {
        let queue = RefCell::new(Queue { waiters: Slots::new(), ends: None });
        Self { available: Cell::new(available), available_max, closed: Cell::new(false), queue }
    }

    /// Returns the number of available permits.
    pub(super) fn available(&self) -> usize {
        self.available.get()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Takes a permit if one is available. Returns `true` if so.
    pub(super) fn try_acquire(&self) -> bool {
        let left = self.available.get().checked_sub(1);
        left.inspect(|left| self.available.set(*left)).is_some()
    }

    /// Waits for a permit, and takes it.
    pub(super) fn acquire(&self) -> Acquire<'_> {
        Acquire { permits: self, waiter: None }
    }

    /// Grants a permit to the first task that waits, or makes it available.
    pub(super) fn add(&self) {
        let granted = self.queue.borrow_mut().grant_first(Grant::Permit);
        match granted {
            Some(waker) => waker.into_iter().for_each(Waker::wake),
            None => {
                let available = self.available.get().saturating_add(1);
                self.available.set(available.min(self.available_max));
            }
        }
    }

    /// Ends all waits without granting a permit.
    pub(super) fn wake_all(&self) {
        self.grant_all(Grant::Wake);
    }

    /// Ends all waits with [`Closed`], now and later.
    pub(super) fn close(&self) {
        self.closed.set(true);
        self.grant_all(Grant::Closed);
    }

    fn grant_all(&self, grant: Grant) {
        let wakers: Vec<_> = {
            let mut queue = self.queue.borrow_mut();
            std::iter::from_fn(|| queue.grant_first(grant)).flatten().collect()
        };
        // A waker that panics must not keep the others from being woken.
        wakers.into_iter().for_each(|waker| log_panic(|| waker.wake()));
    }

    /// Begins a wait unless there is an outcome already, see [`poll_and_register`]. Stores the
    /// place in the queue in `waiter`.
    fn poll_first(
        &self,
        waiter: &mut Option<Key>,
        place: &mut Option<Waker>,
    ) -> Option<Poll<Result<(), Closed>>> {
        if self.closed.get() {
            return Some(Poll::Ready(Err(Closed)));
        }
        if self.try_acquire() {
            return Some(Poll::Ready(Ok(())));
        }
        *waiter = Some(self.queue.borrow_mut().push(place.take()?));
        Some(Poll::Pending)
    }
}

/// The waiting tasks, in the order in which they began to wait, and those that were granted
/// something and have not been polled since.
struct Queue {
    waiters: Slots<Waiter>,
    /// The first and the last task that wait.
    ends: Option<(Key, Key)>,
}

struct Waiter {
    /// Absent while the task waits.
    grant: Option<Grant>,
    waker: Option<Waker>,
    previous: Option<Key>,
    next: Option<Key>,
}

impl Queue {
    /// Adds a waiter at the end.
    fn push(&mut self, waker: Waker) -> Key {
        let previous = self.ends.map(|(_, last)| last);
        let waiter = Waiter { grant: None, waker: Some(waker), previous, next: None };
        let key = self.waiters.insert(waiter);
        if let Some(previous) = previous.and_then(|key| self.waiters.get_mut(key)) {
            previous.next = Some(key);
        }
        self.ends = Some((self.ends.map_or(key, |(first, _)| first), key));
        key
    }

    /// Adds a waiter that was granted `grant` already, outside of the queue.
    fn keep(&mut self, grant: Grant) -> Key {
        let waiter = Waiter { grant: Some(grant), waker: None, previous: None, next: None };
        self.waiters.insert(waiter)
    }

    /// Takes the first waiter out of the queue and grants it `grant`. Returns its waker, or `None`
    /// if no task waits.
    fn grant_first(&mut self, grant: Grant) -> Option<Option<Waker>> {
        let (first, _) = self.ends?;
        self.unlink(first);
        let waiter = self.waiters.get_mut(first)?;
        waiter.grant = Some(grant);
        Some(waiter.waker.take())
    }

    /// Takes a waiter out of the queue. It keeps its slot.
    fn unlink(&mut self, key: Key) {
        let Some(waiter) = self.waiters.get_mut(key) else { return };
        let (previous, next) = (waiter.previous.take(), waiter.next.take());
        if let Some(previous) = previous.and_then(|key| self.waiters.get_mut(key)) {
            previous.next = next;
        }
        if let Some(next) = next.and_then(|key| self.waiters.get_mut(key)) {
            next.previous = previous;
        }
        self.ends = self.ends.and_then(|(first, last)| {
            let first = if first == key { next } else { Some(first) };
            let last = if last == key { previous } else { Some(last) };
            first.zip(last)
        });
    }

    /// Returns what the waiter was granted, see [`poll_and_register`].
    fn poll_grant(
        &mut self,
        key: Key,
        waker: &Waker,
        place: &mut Option<Waker>,
    ) -> Option<Poll<Grant>> {
        let waiter = self.waiters.get_mut(key).expect("a wait has a slot until it ends");
        match waiter.grant {
            Some(grant) => Some(Poll::Ready(grant)),
            None => register(&mut waiter.waker, waker, place),
        }
    }

    /// Removes the waiter. Returns what it was granted and its waker.
    fn remove(&mut self, key: Key) -> (Option<Grant>, Option<Waker>) {
        if self.waiters.get(key).is_some_and(|waiter| waiter.grant.is_none()) {
            self.unlink(key);
        }
        self.waiters.remove(key).map_or((None, None), |waiter| (waiter.grant, waiter.waker))
    }
}

/// The future of [`Permits::acquire`].
#[must_use]
pub(super) struct Acquire<'a> {
    permits: &'a Permits,
    /// The place in the queue, since the first poll that found no permit.
    waiter: Option<Key>,
}

impl Future for Acquire<'_> {
    type Output = Result<(), Closed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { permits, waiter } = &mut *self;
        let waker = cx.waker();
        let Some(key) = *waiter else {
            let polled = poll_and_register(waker, |place| permits.poll_first(waiter, place));
            if let Poll::Ready(outcome) = &polled
                && budget::poll_proceed(cx).is_pending()
            {
                // The wait has begun, so what it was granted is kept until the next poll.
                let grant = if outcome.is_ok() { Grant::Permit } else { Grant::Closed };
                *waiter = Some(permits.queue.borrow_mut().keep(grant));
                return Poll::Pending;
            }
            return polled;
        };
        let poll = |place: &mut _| permits.queue.borrow_mut().poll_grant(key, waker, place);
        let grant = ready!(poll_and_register(waker, poll));
        ready!(budget::poll_proceed(cx));
        *waiter = None;
        permits.queue.borrow_mut().remove(key);
        Poll::Ready(if grant == Grant::Closed { Err(Closed) } else { Ok(()) })
    }
}

impl Drop for Acquire<'_> {
    fn drop(&mut self) {
        let Some(waiter) = self.waiter.take() else { return };
        // The waker is dropped after the borrow has ended.
        let (grant, _waker) = self.permits.queue.borrow_mut().remove(waiter);
        if grant == Some(Grant::Permit) {
            self.permits.add();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use futures_util::FutureExt;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Compares with a list.
        #[test]
        fn permits_are_granted_in_the_order_of_the_waits_that_were_not_dropped(
            steps in prop::collection::vec((0_u8..5, any::<prop::sample::Index>()), 1..200)
        ) {
            let permits = Permits::new(0, 1);
            let mut waits: VecDeque<(usize, Acquire<'_>)> = VecDeque::new();
            for (number, (action, pick)) in steps.into_iter().enumerate() {
                match action {
                    0 | 1 => {
                        let mut wait = permits.acquire();
                        let is_ready = (&mut wait).now_or_never().is_some();
                        prop_assert_eq!(is_ready, false, "a permit was available");
                        waits.push_back((number, wait));
                    }
                    2 if !waits.is_empty() => drop(waits.remove(pick.index(waits.len()))),
                    _ if waits.is_empty() => {}
                    _ => {
                        permits.add();
                        let ready: Vec<_> = waits
                            .iter_mut()
                            .filter_map(|(number, wait)| wait.now_or_never().map(|_| *number))
                            .collect();
                        prop_assert_eq!(ready, [waits.pop_front().unwrap().0]);
                    }
                }
            }
            drop(waits);
            prop_assert!(permits.queue.borrow().ends.is_none());
            prop_assert_eq!(permits.queue.borrow().waiters.iter().count(), 0);
        }
    }
}
