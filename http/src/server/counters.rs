//! The requests of one loop in numbers, which the loop writes and any thread reads.

use std::num::NonZeroU16;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use http::StatusCode;

/// What became of a request: the status of its answer, or 1 if it has none.
#[derive(Clone, Copy)]
pub(crate) struct Outcome(NonZeroU16);

impl Outcome {
    pub(crate) const NONE: Self = Self(NonZeroU16::MIN);

    /// Never `None`: no status is zero.
    pub(crate) fn of(status: StatusCode) -> Option<Self> {
        NonZeroU16::new(status.as_u16()).map(Self)
    }

    /// The first digit of the status, or zero.
    fn class(self) -> usize {
        usize::from(self.0.get() / 100)
    }
}

/// What became of the requests of one loop. The loop alone writes, with relaxed stores.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Requests whose head was read.
    requests: AtomicU64,
    /// Those of them of which the answer is not complete.
    in_flight: AtomicU64,
    /// The others by the class of their answer, the first for those that have none. There is one
    /// for each digit, and more: a power of two, so that no index needs to be checked.
    ended: [AtomicU64; 16],
}

/// For the loop.
impl Counters {
    pub(crate) fn begin_request(&self) {
        add(&self.requests, 1);
        add(&self.in_flight, 1);
    }

    /// What was received is no request, and is answered all the same.
    pub(crate) fn begin_refusal(&self) {
        add(&self.in_flight, 1);
    }

    /// The answer to a request is complete, or goes no further.
    pub(crate) fn end_request(&self, outcome: Outcome) {
        add(&self.in_flight, u64::MAX);
        add(&self.ended[outcome.class() % self.ended.len()], 1);
    }
}

/// For the others.
impl Counters {
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Relaxed)
    }

    /// By the class of the status, from 1xx to 5xx.
    pub(crate) fn answered(&self) -> [u64; 5] {
        std::array::from_fn(|index| self.ended[index + 1].load(Relaxed))
    }

    pub(crate) fn unanswered(&self) -> u64 {
        self.ended[0].load(Relaxed)
    }
}

fn add(to: &AtomicU64, more: u64) {
    to.store(to.load(Relaxed).wrapping_add(more), Relaxed);
}
