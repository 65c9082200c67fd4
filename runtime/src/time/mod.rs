//! Sleeping, timeouts and intervals, by the loop's own clock.
//!
//! Deadlines are exact to the nanosecond as numbers; the system wakes a loop at the next whole
//! millisecond after one (epoll_wait(2)), so a sleep never ends early and ends a millisecond late
//! at most while the loop is not held up.
//!
//! The loop reads the clock once a turn. A sleep or timeout that is made after a poll has computed
//! for a while is counted from the beginning of that turn, and is short by what the poll took; so
//! let long computations run with [`spawn_blocking`](crate::spawn_blocking).

mod interval;
mod sleep;
mod timeout;

pub use interval::{Interval, MissedTicks, interval, interval_at};
pub use sleep::{Sleep, sleep, sleep_until};
pub use timeout::{Elapsed, Timeout, timeout, timeout_at};

use std::time::Instant;

use crate::current::Core;

/// The loop's time: read once a turn, and standing still where the loop's clock is moved by hand.
/// What `loop.time()` is for. Outside of a loop this is the system's monotonic clock.
#[must_use]
pub fn now() -> Instant {
    Core::with_current(|core| core.clock.now_instant()).unwrap_or_else(Instant::now)
}
