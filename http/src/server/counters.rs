//! Counters of one loop's requests, which the loop writes and any thread reads.

use std::num::NonZeroU16;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use http::StatusCode;

/// The outcome of a request: the status of its response, or 1 while it has none.
#[derive(Clone, Copy)]
pub(crate) struct Outcome(NonZeroU16);

impl Outcome {
    pub(crate) const NONE: Self = Self(NonZeroU16::MIN);

    /// Returns the outcome of a response with `status`. Never `None`, since no status is zero.
    pub(crate) fn of(status: StatusCode) -> Option<Self> {
        NonZeroU16::new(status.as_u16()).map(Self)
    }

    /// Returns the first digit of the status, or zero.
    fn class(self) -> usize {
        usize::from(self.0.get() / 100)
    }
}

/// Counters of one loop's requests. Only the loop writes, with relaxed stores.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Requests whose head was read.
    requests: AtomicU64,
    /// Requests whose response is not complete.
    in_flight: AtomicU64,
    /// Ended requests by the class of their response; the first counts those without one. The
    /// length is a power of two, so that no index needs a bounds check.
    ended: [AtomicU64; 16],
    /// Responses that were cut off because their body failed.
    bodies_failed: AtomicU64,
}

/// # Writing, for the loop
impl Counters {
    pub(crate) fn begin_request(&self) {
        add(&self.requests, 1);
        add(&self.in_flight, 1);
    }

    /// Counts a malformed request, which gets an error response.
    pub(crate) fn begin_refusal(&self) {
        add(&self.in_flight, 1);
    }

    /// Counts the end of a request: its response is complete, or was given up.
    pub(crate) fn end_request(&self, outcome: Outcome) {
        add(&self.in_flight, u64::MAX);
        add(&self.ended[outcome.class() % self.ended.len()], 1);
    }

    /// Counts a response that is cut off because its body has failed.
    pub(crate) fn note_failed_body(&self) {
        add(&self.bodies_failed, 1);
    }
}

/// # Reading, for any thread
impl Counters {
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Relaxed)
    }

    /// Returns the number of responses by the class of their status, from 1xx to 5xx.
    pub(crate) fn responses(&self) -> [u64; 5] {
        std::array::from_fn(|index| self.ended[index + 1].load(Relaxed))
    }

    pub(crate) fn unanswered(&self) -> u64 {
        self.ended[0].load(Relaxed)
    }

    pub(crate) fn bodies_failed(&self) -> u64 {
        self.bodies_failed.load(Relaxed)
    }
}

fn add(to: &AtomicU64, more: u64) {
    to.store(to.load(Relaxed).wrapping_add(more), Relaxed);
}
