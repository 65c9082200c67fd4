//! Functions that the loop is to call: asyncio's `Handle` and `TimerHandle`.
//!
//! Each is a small task, so it is in `task::all()`, runs in the order of the ready queue, and if
//! it panics that is reported as any task's panic.

use std::fmt;
use std::panic::Location;
use std::time::{Duration, Instant};

use crate::executor::core::Core;
use crate::executor::table::Origin;
use crate::task::JoinHandle;
use crate::task::spawn::spawn_on;
use crate::time::{Sleep, now, sleep, sleep_until};

/// Has `callback` called in the next batch, behind what is ready already. What `loop.call_soon`
/// is for; from another thread use [`LoopHandle::call_soon`](crate::LoopHandle::call_soon).
///
/// Returns a handle that cancels it. Dropping the handle does not.
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

/// Has `callback` called once `delay` has passed. What `loop.call_later` is for.
///
/// Returns a handle that cancels it. Dropping the handle does not. Callbacks of one instant are
/// called in the order in which they were set.
///
/// # Panics
/// If there is no event loop on this thread.
#[track_caller]
pub fn call_later(delay: Duration, callback: impl FnOnce() + 'static) -> CallbackHandle {
    let sleep = sleep(delay);
    call(sleep.deadline(), Some(sleep), callback, Location::caller())
}

/// Has `callback` called at `deadline`, an instant of [`time::now`](crate::time::now), or soon if
/// that has passed. What `loop.call_at` is for; otherwise like [`call_later`].
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

/// A call that the loop is to make.
pub struct CallbackHandle {
    task: JoinHandle<()>,
    deadline: Instant,
}

impl CallbackHandle {
    /// Keeps the loop from the call, and drops the callback at once. Does nothing once it was
    /// called.
    pub fn cancel(&self) {
        self.task.cancel_now();
    }

    /// Returns `true` while the call is to be made: it was not made, and not cancelled.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        !self.task.is_finished()
    }

    /// When the call is to be made. asyncio's `TimerHandle.when`.
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
