//! A tick each period.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use crate::time::sleep::{Sleep, sleep_until};

/// A tick now, and then one each `period`.
///
/// # Panics
/// If `period` is zero, or there is no event loop on this thread.
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    interval_at(super::now(), period)
}

/// A tick at `start`, and then one each `period`.
///
/// # Panics
/// If `period` is zero, or there is no event loop on this thread.
#[track_caller]
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    assert!(!period.is_zero(), "an interval's period is longer than zero");
    Interval { next: sleep_until(start), period, missed: MissedTickBehavior::default() }
}

/// What an interval does about ticks for which nobody came in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissedTickBehavior {
    /// Leaves them out: the next tick is the next multiple of the period after the start.
    #[default]
    Skip,
    /// Gives them one after another without a wait, until it has caught up.
    CatchUp,
    /// Leaves them out, and counts the period anew from the late tick.
    Restart,
}

/// Where the next tick is set when the system cannot tell an instant so late.
const DECADES: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);

/// Ticks at a fixed rate; see [`interval`].
#[derive(Debug)]
pub struct Interval {
    next: Sleep,
    period: Duration,
    missed: MissedTickBehavior,
}

impl Interval {
    /// What to do about missed ticks; [`MissedTickBehavior::Skip`] without this.
    #[must_use]
    pub fn missed_tick_behavior(self, missed: MissedTickBehavior) -> Self {
        Self { missed, ..self }
    }

    /// The time between two ticks.
    #[must_use]
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Waits for the next tick, and returns the instant for which it was set. Cancellation safe:
    /// a tick that nobody waited out is given to the next caller.
    pub async fn tick(&mut self) -> Instant {
        poll_fn(|cx| self.poll_tick(cx)).await
    }

    /// Ready with the next tick; see [`Interval::tick`].
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        ready!(Pin::new(&mut self.next).poll(cx));
        let tick = self.next.deadline();
        self.next.reset(self.after(tick));
        Poll::Ready(tick)
    }

    fn after(&self, tick: Instant) -> Instant {
        let now = super::now();
        let later = |from: Instant, by| from.checked_add(by).unwrap_or_else(|| from + DECADES);
        match self.missed {
            MissedTickBehavior::CatchUp => later(tick, self.period),
            MissedTickBehavior::Restart => later(now, self.period),
            MissedTickBehavior::Skip => {
                let late = now.saturating_duration_since(tick).as_nanos();
                let past = (late % self.period.as_nanos()) as u64;
                later(now, self.period - Duration::from_nanos(past))
            }
        }
    }
}
