//! A number of permits, and the queue of the tasks that wait for one.
//!
//! A permit that is added while tasks wait is granted to the first of them at once. So permits are
//! available only while no task waits, and no task overtakes another.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use crate::budget;

pub(super) struct Permits {
    available: Cell<usize>,
    /// No more permits than these become available.
    available_max: usize,
    closed: Cell<bool>,
    waiting: RefCell<VecDeque<Rc<Waiter>>>,
}

struct Waiter {
    grant: Cell<Grant>,
    waker: RefCell<Option<Waker>>,
}

/// What a waiting task was granted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Grant {
    Nothing,
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
        let waiting = RefCell::new(VecDeque::new());
        Self { available: Cell::new(available), available_max, closed: Cell::new(false), waiting }
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
        let first = self.waiting.borrow_mut().pop_front();
        match first {
            Some(waiter) => waiter.grant(Grant::Permit),
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
        let waiting = self.waiting.take();
        waiting.iter().for_each(|waiter| waiter.grant(grant));
    }
}

impl Waiter {
    fn grant(&self, grant: Grant) {
        self.grant.set(grant);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// The future of [`Permits::acquire`].
#[must_use]
pub(super) struct Acquire<'a> {
    permits: &'a Permits,
    /// The entry in the queue, since the first poll that found no permit.
    waiter: Option<Rc<Waiter>>,
}

impl Future for Acquire<'_> {
    type Output = Result<(), Closed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(waiter) = &self.waiter else { return self.poll_first(cx) };
        let outcome = match waiter.grant.get() {
            Grant::Nothing => {
                let waker = cx.waker().clone();
                // Bound to a name, so that it is dropped after the borrow has ended.
                let _previous = waiter.waker.borrow_mut().replace(waker);
                return Poll::Pending;
            }
            Grant::Permit | Grant::Wake => Ok(()),
            Grant::Closed => Err(Closed),
        };
        ready!(budget::poll_proceed(cx));
        self.waiter = None;
        Poll::Ready(outcome)
    }
}

impl Acquire<'_> {
    /// Takes a permit, or begins to wait for one.
    ///
    /// The wait begins with this poll even if the task has no budget left, so that what is granted
    /// from now on is not missed. A permit that cannot be returned yet is kept until the next poll.
    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        let (grant, outcome) = if self.permits.closed.get() {
            (Grant::Closed, Err(Closed))
        } else if self.permits.try_acquire() {
            (Grant::Permit, Ok(()))
        } else {
            let waiter = self.wait(Grant::Nothing, Some(cx.waker().clone()));
            self.permits.waiting.borrow_mut().push_back(waiter);
            return Poll::Pending;
        };
        if budget::poll_proceed(cx).is_pending() {
            self.wait(grant, None);
            return Poll::Pending;
        }
        Poll::Ready(outcome)
    }

    fn wait(&mut self, grant: Grant, waker: Option<Waker>) -> Rc<Waiter> {
        let waiter = Waiter { grant: Cell::new(grant), waker: RefCell::new(waker) };
        self.waiter.insert(Rc::new(waiter)).clone()
    }
}

impl Drop for Acquire<'_> {
    fn drop(&mut self) {
        let Some(waiter) = self.waiter.take() else { return };
        match waiter.grant.get() {
            Grant::Nothing => {
                self.permits.waiting.borrow_mut().retain(|other| !Rc::ptr_eq(other, &waiter));
            }
            Grant::Permit => self.permits.add(),
            Grant::Wake | Grant::Closed => {}
        }
    }
}
