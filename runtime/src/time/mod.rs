//! Sleeps, timeouts and intervals, by the loop's clock.
//!
//! Deadlines are kept in nanoseconds. The system wakes a loop at the first whole millisecond after
//! a deadline (epoll_wait(2)), so a sleep never ends early, and ends at most one millisecond late
//! unless the loop is busy.
//!
//! The loop reads the system's clock at most once per batch of tasks, when the first of them asks
//! for the time. A sleep or timeout that a task creates after a long computation may therefore be
//! counted from before the computation, and end too early by that time. Run long computations
//! with [`spawn_blocking`](crate::spawn_blocking).

mod interval;
mod sleep;
mod timeout;

pub use interval::{Interval, MissedTickBehavior, interval, interval_at};
pub use sleep::{Sleep, sleep, sleep_until};
pub use timeout::{Elapsed, Timeout, timeout, timeout_at};

use std::time::Instant;

use crate::executor::core::Core;

/// Returns the loop's time, like asyncio's `loop.time()`.
///
/// The time is read when a batch of tasks first asks for it, and does not change before the next
/// batch. A manual clock changes only when it jumps. Outside of a loop this is [`Instant::now`].
#[must_use]
pub fn now() -> Instant {
    Core::with_current(|core| core.clock().now_instant()).unwrap_or_else(Instant::now)
}

/// Returns the earliest instant at which the tasks that run in this turn can have become ready.
///
/// For protocols that measure how long their tasks wait for the loop: the real time since this
/// instant is an upper bound for the time that a task of this turn has waited for its poll. If
/// another task blocked the thread for 300 ms, this is at least 300 ms ago. The same holds after a
/// task blocked the thread itself, so a task must also remember when its own last poll ended.
///
/// A task that was ready when the selector returned the time before last ran in the turn before,
/// so this is that instant. If the loop has waited in the selector since, this is the end of that
/// wait, because the event that ended it had just arrived. A wait is not counted if it was shorter
/// than the turn before it and that turn took less than one millisecond; the result is then earlier
/// than it could be.
///
/// Outside of a loop this is [`Instant::now`].
#[doc(hidden)]
#[must_use]
pub fn ready_since() -> Instant {
    Core::with_current(Core::ready_since).unwrap_or_else(Instant::now)
}
