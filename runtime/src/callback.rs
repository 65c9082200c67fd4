//! Functions that the loop calls later, like asyncio's `Handle` and `TimerHandle`.
//!
//! Each callback is a small task: it is listed by `task::all()`, runs in the order of the ready
//! queue, and a panic in it is reported like the panic of any task.

use std::fmt;
use std::panic::Location;
use std::time::{Duration, Instant};

use crate::executor::core::Core;
use crate::executor::table::Origin;
use crate::task::JoinHandle;
use crate::task::spawn::spawn_on;
use crate::time::{Sleep, now, sleep, sleep_until};

/// Schedules `callback` to run after the tasks that are ready now, like `loop.call_soon`. From
/// another thread use [`LoopHandle::call_soon`](crate::LoopHandle::call_soon).
///
/// Returns a handle that can cancel the call. Dropping the handle does not cancel it.
///
/// # Panics
/// If there is no event loop on this thread.
///
/// # Examples
/// ```
/// use brigade_runtime::{call_soon, task};
///
/// brigade_runtime::run(async {
///     call_soon(|| println!("second"));
///     println!("first");
///     task::yield_now().await;
/// });
/// ```
#[track_caller]
pub fn call_soon(callback: impl FnOnce() + 'static) -> CallbackHandle {
    call(now(), None, callback, Location::caller())
}

/// Schedules `callback` to run after `delay`, like `loop.call_later`.
///
/// Callbacks with the same deadline run in the order in which they were scheduled. Returns a handle
/// that can cancel the call. Dropping the handle does not cancel it.
///
/// # Panics
/// If there is no event loop on this thread.
#[track_caller]
pub fn call_later(delay: Duration, callback: impl FnOnce() + 'static) -> CallbackHandle {
    let sleep = sleep(delay);
    call(sleep.deadline(), Some(sleep), callback, Location::caller())
}

/// Schedules `callback` to run at `deadline`, like `loop.call_at`. If the deadline is before
/// [`time::now`](crate::time::now), the callback runs as with [`call_soon`].
///
/// Returns a handle that can cancel the call. Dropping the handle does not cancel it.
///
/// # Panics
/// If there is no event loop on this thread.
#[track_caller]
pub fn call_at(deadline: Instant, callback: impl FnOnce() + 'static) -> CallbackHandle {
    call(deadline, Some(sleep_until(deadline)), callback, Location::caller())
}

fn call(
    deadline: Instant,
    sleep: Option<Sleep>,
    callback: impl FnOnce() + 'static,
    site: &'static Location<'static>,
) -> CallbackHandle {
    let call = async move {
        if let Some(sleep) = sleep {
            sleep.await;
        }
        callback();
    };
    let origin = Origin { name: Some("callback".into()), site };
    CallbackHandle { task: spawn_on(Core::current(), call, origin), deadline }
}

/// A scheduled call, returned by [`call_soon`], [`call_later`] and [`call_at`].
pub struct CallbackHandle {
    task: JoinHandle<()>,
    deadline: Instant,
}

impl CallbackHandle {
    /// Cancels the call, and drops the callback at once. Has no effect if the callback was called
    /// already.
    pub fn cancel(&self) {
        self.task.cancel_now();
    }

    /// Returns `true` until the callback has been called or cancelled.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        !self.task.is_finished()
    }

    /// Returns the instant of the call, like asyncio's `TimerHandle.when`.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }
}

impl fmt::Debug for CallbackHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallbackHandle")
            .field("pending", &self.is_pending())
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
