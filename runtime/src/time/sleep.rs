//! Sleeping for a time or until an instant.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::executor::clock::Tick;
use crate::executor::core::Core;
use crate::executor::slots::Key;

/// Waits for `duration`, counted from [`now`](crate::time::now). A sleep of zero lets other tasks
/// run once.
///
/// # Panics
/// If there is no event loop on this thread.
#[track_caller]
pub fn sleep(duration: Duration) -> Sleep {
    let core = Core::current();
    let deadline = core.clock().after(duration);
    Sleep { core, deadline, timer: None, yielded: false }
}

/// Waits until `deadline`. If it has passed already, lets other tasks run once.
///
/// # Panics
/// If there is no event loop on this thread.
#[track_caller]
pub fn sleep_until(deadline: Instant) -> Sleep {
    let core = Core::current();
    let deadline = core.clock().tick(deadline);
    Sleep { core, deadline, timer: None, yielded: false }
}

/// A future that is ready at its deadline, created by [`sleep`]. Dropping it frees its timer.
///
/// # Panics
/// If polled after its event loop has ended.
#[must_use = "a sleep does nothing unless it is awaited"]
pub struct Sleep {
    core: Rc<Core>,
    deadline: Tick,
    /// Set while the sleep waits for its deadline.
    timer: Option<Key>,
    /// Other tasks have run since the sleep was made or ended last.
    yielded: bool,
}

impl Sleep {
    /// Returns the instant at which the sleep ends. A deadline before the loop was made counts as
    /// the instant at which it was made.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.core.clock().instant_of(self.deadline)
    }

    /// Returns `true` if the deadline has passed.
    #[must_use]
    pub fn is_elapsed(&self) -> bool {
        self.core.clock().now() >= self.deadline
    }

    /// Returns `true` if the sleep ends at `deadline` or before.
    ///
    /// For protocols that keep one sleep for several deadlines, and reset it only to wake earlier.
    #[must_use]
    pub fn ends_by(&self, deadline: Instant) -> bool {
        self.deadline <= self.core.clock().tick(deadline)
    }

    /// Changes the deadline. A task that waits for the sleep must poll it again.
    pub fn reset(&mut self, deadline: Instant) {
        self.cancel();
        self.deadline = self.core.clock().tick(deadline);
    }

    fn cancel(&mut self) {
        if let Some(timer) = self.timer.take() {
            self.core.cancel_timer(timer);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if let Err(error) = this.core.ensure_not_ended("sleep") {
            panic!("{error}");
        }
        if this.is_elapsed() {
            if this.timer.take().is_some() || std::mem::take(&mut this.yielded) {
                return Poll::Ready(());
            }
            this.yielded = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        this.yielded = true;
        this.core.set_timer(&mut this.timer, this.deadline, cx.waker());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.deadline()).finish_non_exhaustive()
    }
}
