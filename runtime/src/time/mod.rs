//! Sleeping, timeouts and intervals, by the loop's own clock.
//!
//! Deadlines are exact to the nanosecond as numbers; the system wakes a loop at the next whole
//! millisecond after one (epoll_wait(2)), so a sleep never ends early and ends a millisecond late
//! at most while the loop is not held up.
//!
//! The loop reads the clock at most once for each batch of tasks, when the first of them asks for
//! the time. A sleep or timeout that is made after a poll has computed for a while may be counted
//! from before that, and is short by what was computed meanwhile in the batch; so let long
//! computations run with [`spawn_blocking`](crate::spawn_blocking).

mod interval;
mod sleep;
mod timeout;

pub use interval::{Interval, MissedTickBehavior, interval, interval_at};
pub use sleep::{Sleep, sleep, sleep_until};
pub use timeout::{Elapsed, Timeout, timeout, timeout_at};

use std::time::Instant;

use crate::executor::core::Core;

/// The loop's time: read when it is first asked for in a batch of tasks, standing still until the
/// batch is over, and until it is moved where the loop's clock is moved by hand. What
/// `loop.time()` is for. Outside of a loop this is the system's monotonic clock.
#[must_use]
pub fn now() -> Instant {
    Core::with_current(|core| core.clock().now_instant()).unwrap_or_else(Instant::now)
}

/// Since when the tasks that run in this turn may have been ready, at the earliest: the real time
/// that has passed since is the longest that one of them can have waited for its poll.
///
/// It is the moment at which the selector had answered for the last time but one: what had been
/// ready then would have run in the turn before. Where the loop has waited in its selector, it is
/// the end of that wait, since what ends a wait has just come. In short turns, of less than a
/// millisecond together, a wait that was shorter than the turn before it counts as none.
///
/// So a task that another one kept from running for 300 ms, by not giving back the thread, finds
/// that this lies 300 ms or more in the past. So does one that blocked the thread itself: it is
/// for the task to remember when its own last poll ended.
///
/// Outside of a loop this is the system's monotonic clock.
#[doc(hidden)]
#[must_use]
pub fn ready_since() -> Instant {
    Core::with_current(Core::ready_since).unwrap_or_else(Instant::now)
}
