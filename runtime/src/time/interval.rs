//! Ticks at a fixed rate.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use crate::time::sleep::{Sleep, sleep_until};

/// Creates an interval that ticks at once, and then every `period`.
///
/// # Panics
/// If `period` is zero, or there is no event loop on this thread.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use brigade_runtime::time::interval;
///
/// brigade_runtime::run(async {
///     let mut interval = interval(Duration::from_millis(1));
///     let first = interval.tick().await;
///     let second = interval.tick().await;
///     assert!(second - first >= Duration::from_millis(1));
/// });
/// ```
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    interval_at(super::now(), period)
}

/// Creates an interval that ticks at `start`, and then every `period`.
///
/// # Panics
/// If `period` is zero, or there is no event loop on this thread.
#[track_caller]
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    assert!(!period.is_zero(), "the period of an interval must be longer than zero");
    Interval {
        sleep: sleep_until(start),
        next: start,
        period,
        missed: MissedTickBehavior::default(),
    }
}

/// What an [`Interval`] does when ticks were missed, because [`Interval::tick`] was called too
/// late.
///
/// The default is `Skip`, unlike tokio's, which is `Burst`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissedTickBehavior {
    /// Ticks without a wait until the missed ticks are made up for.
    Burst,
    /// Drops the missed ticks, and ticks one period after the late tick.
    Delay,
    /// Drops the missed ticks, and ticks at the next multiple of the period after the start.
    #[default]
    Skip,
}

/// The time to the next tick if the period is too long for an [`Instant`].
const PERIOD_MAX: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);

/// Ticks at a fixed rate, created by [`interval`].
#[derive(Debug)]
pub struct Interval {
    sleep: Sleep,
    /// The instant of the next tick. The sleep knows no instants before the loop was made.
    next: Instant,
    period: Duration,
    missed: MissedTickBehavior,
}

impl Interval {
    /// Sets what happens when ticks are missed. The default is [`MissedTickBehavior::Skip`].
    pub fn set_missed_tick_behavior(&mut self, behavior: MissedTickBehavior) {
        self.missed = behavior;
    }

    /// Returns what happens when ticks are missed.
    #[must_use]
    pub fn missed_tick_behavior(&self) -> MissedTickBehavior {
        self.missed
    }

    /// Returns the time between two ticks.
    #[must_use]
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Waits for the next tick. Returns the instant for which the tick was set.
    ///
    /// # Cancel safety
    /// If the future is dropped before it is ready, the next call returns the same tick.
    pub async fn tick(&mut self) -> Instant {
        poll_fn(|cx| self.poll_tick(cx)).await
    }

    /// Polls for the next tick, like [`Interval::tick`].
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        ready!(Pin::new(&mut self.sleep).poll(cx));
        let tick = self.next;
        self.next = self.after(tick);
        self.sleep.reset(self.next);
        Poll::Ready(tick)
    }

    /// Returns the instant of the tick that follows `tick`.
    fn after(&self, tick: Instant) -> Instant {
        let now = super::now();
        let later = |from: Instant, by| from.checked_add(by).unwrap_or_else(|| from + PERIOD_MAX);
        match self.missed {
            MissedTickBehavior::Burst => later(tick, self.period),
            MissedTickBehavior::Delay => later(now, self.period),
            MissedTickBehavior::Skip => {
                let late = now.saturating_duration_since(tick);
                later(now, self.period - remainder(late, self.period))
            }
        }
    }
}

/// Returns what is left of `duration` after as many whole periods as it contains.
fn remainder(duration: Duration, period: Duration) -> Duration {
    const NANOS_PER_SEC: u128 = 1_000_000_000;
    let nanos = duration.as_nanos() % period.as_nanos();
    Duration::new((nanos / NANOS_PER_SEC) as u64, (nanos % NANOS_PER_SEC) as u32)
}
