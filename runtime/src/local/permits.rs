//! A number of permits, and the queue of those who wait for one.
//!
//! A permit that comes in while somebody waits is given to the first in the queue, never put
//! aside: so there are permits at hand only while nobody waits, and nobody overtakes.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

pub(super) struct Permits {
    available: Cell<usize>,
    /// Permits beyond these are not kept.
    most: usize,
    closed: Cell<bool>,
    waiting: RefCell<VecDeque<Rc<Waiter>>>,
}

struct Waiter {
    given: Cell<Given>,
    waker: RefCell<Option<Waker>>,
}

/// What one who waits was given.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Given {
    Nothing,
    /// One of the permits: if the wait is dropped it goes to the next one.
    Permit,
    /// Leave to go on, which takes no permit.
    Pass,
    /// No permit will come.
    Closed,
}

/// The permits were closed.
#[derive(Debug)]
pub(super) struct Closed;

impl Permits {
    /// `available` permits to begin with, and never more than `most` at hand.
    pub(super) fn new(available: usize, most: usize) -> Self {
        let waiting = RefCell::new(VecDeque::new());
        Self { available: Cell::new(available), most, closed: Cell::new(false), waiting }
    }

    /// How many permits are at hand.
    pub(super) fn available(&self) -> usize {
        self.available.get()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Takes a permit. Returns `true` if there was one.
    pub(super) fn try_acquire(&self) -> bool {
        let left = self.available.get().checked_sub(1);
        left.inspect(|left| self.available.set(*left)).is_some()
    }

    /// Waits for a permit and takes it.
    pub(super) fn acquire(&self) -> Acquire<'_> {
        Acquire { permits: self, waiter: None }
    }

    /// Gives a permit to the first who waits, or keeps it.
    pub(super) fn add(&self) {
        let first = self.waiting.borrow_mut().pop_front();
        match first {
            Some(waiter) => waiter.give(Given::Permit),
            None => self.available.set(self.available.get().saturating_add(1).min(self.most)),
        }
    }

    /// Lets all go on who wait now.
    pub(super) fn pass_all(&self) {
        self.give_all(Given::Pass);
    }

    /// Turns away all who wait, and all who come later.
    pub(super) fn close(&self) {
        self.closed.set(true);
        self.give_all(Given::Closed);
    }

    fn give_all(&self, given: Given) {
        let waiting = self.waiting.take();
        waiting.iter().for_each(|waiter| waiter.give(given));
    }
}

impl Waiter {
    fn give(&self, given: Given) {
        self.given.set(given);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Waits for a permit.
#[must_use]
pub(super) struct Acquire<'a> {
    permits: &'a Permits,
    /// The place in the queue, from the first poll that found no permit.
    waiter: Option<Rc<Waiter>>,
}

impl Future for Acquire<'_> {
    type Output = Result<(), Closed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(waiter) = &self.waiter else {
            if self.permits.closed.get() {
                return Poll::Ready(Err(Closed));
            }
            if self.permits.try_acquire() {
                return Poll::Ready(Ok(()));
            }
            let waker = RefCell::new(Some(cx.waker().clone()));
            let waiter = Rc::new(Waiter { given: Cell::new(Given::Nothing), waker });
            self.permits.waiting.borrow_mut().push_back(waiter.clone());
            self.waiter = Some(waiter);
            return Poll::Pending;
        };
        let outcome = match waiter.given.get() {
            Given::Nothing => {
                let waker = cx.waker().clone();
                // Bound to a name, so that it is dropped after the borrow has ended.
                let _before = waiter.waker.borrow_mut().replace(waker);
                return Poll::Pending;
            }
            Given::Permit | Given::Pass => Ok(()),
            Given::Closed => Err(Closed),
        };
        self.waiter = None;
        Poll::Ready(outcome)
    }
}

impl Drop for Acquire<'_> {
    fn drop(&mut self) {
        let Some(waiter) = self.waiter.take() else { return };
        match waiter.given.get() {
            Given::Nothing => {
                self.permits.waiting.borrow_mut().retain(|other| !Rc::ptr_eq(other, &waiter));
            }
            Given::Permit => self.permits.add(),
            Given::Pass | Given::Closed => {}
        }
    }
}
