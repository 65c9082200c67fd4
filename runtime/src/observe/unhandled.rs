//! Failures that no code awaits, and how they are reported.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::observe::info::{TaskInfo, TaskLabel};
use crate::observe::labels::Note;
use crate::observe::panic::{Guarded, catch_panic};

/// A failure that no code awaits, or a stall.
///
/// It is passed to the [`on_unhandled`] hook of the loop, or logged if there is none.
///
/// [`on_unhandled`]: crate::event_loop::Builder::on_unhandled
#[derive(Debug)]
#[non_exhaustive]
pub enum Unhandled {
    /// A task panicked, and its handle was dropped without being awaited.
    Panic {
        /// The task.
        task: TaskLabel,
        /// The message of the panic.
        message: String,
    },
    /// Code outside of tasks panicked: the destructor of a cancelled task, a function passed to
    /// `LoopHandle::call_soon`, or work on the blocking pool whose handle was dropped.
    CallbackPanic {
        /// The message of the panic.
        message: String,
    },
    /// One poll of a task took too long. Reported in debug mode.
    SlowPoll {
        /// The task.
        task: TaskLabel,
        /// How long the poll took.
        took: Duration,
    },
    /// The loop ended while the task was pending, so its future was dropped. Reported in debug
    /// mode.
    DroppedPending {
        /// The task as it was when the loop ended.
        task: TaskInfo,
    },
    /// The loop is stuck. Reported by the watchdog's thread, if the loop is watched.
    Stalled(Stall),
    /// The loop makes progress again, after a report of [`Unhandled::Stalled`].
    Recovered(Stall),
}

/// A stall: a loop does not turn, because a poll or a callback does not return.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stall {
    /// The loop's name.
    pub event_loop: String,
    /// The task whose poll does not return. `None` for code outside of tasks.
    pub task: Option<TaskLabel>,
    /// What the task works on, if it has set a note.
    pub note: Option<Note>,
    /// How long the stall has lasted, accurate to a quarter of the threshold.
    pub lasted: Duration,
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.task {
            Some(task) => write!(f, "{task}")?,
            None => f.write_str("code outside of tasks")?,
        }
        self.note.map_or(Ok(()), |note| write!(f, ", working on {}", note.text()))
    }
}

impl fmt::Display for Unhandled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panic { task, message } => {
                write!(f, "task panicked and its outcome was not awaited: {task}: {message}")
            }
            Self::CallbackPanic { message } => {
                write!(f, "code outside of tasks panicked: {message}")
            }
            Self::SlowPoll { task, took } => {
                write!(f, "{task} blocked its event loop for {took:.1?} in one poll")
            }
            Self::DroppedPending { task } => write!(
                f,
                "{} was dropped while pending, because its event loop ended: age {:.1?}, polls {}",
                task.label, task.age, task.polls
            ),
            Self::Stalled(stall) => {
                let Stall { event_loop, lasted, .. } = stall;
                write!(f, "event loop '{event_loop}' has been stuck for {lasted:.1?} in {stall}")
            }
            Self::Recovered(stall) => {
                let Stall { event_loop, lasted, .. } = stall;
                write!(f, "event loop '{event_loop}' turns again after {lasted:.1?} in {stall}")
            }
        }
    }
}

/// A function that is called with each report instead of logging it.
pub(crate) type UnhandledHook = Guarded<Arc<dyn Fn(&Unhandled) + Send + Sync>>;

thread_local! {
    /// A hook is being called on this thread.
    static IN_HOOK: Cell<bool> = const { Cell::new(false) };
}

/// Passes `unhandled` to `hook`, or to the log if there is none. What a hook itself causes is
/// logged, so that hooks are not called within each other.
pub(crate) fn report(hook: Option<&UnhandledHook>, unhandled: &Unhandled) {
    let Some(hook) = hook.filter(|_| !IN_HOOK.get()) else { return log(unhandled) };
    IN_HOOK.set(true);
    let called = catch_panic(|| hook.get()(unhandled));
    IN_HOOK.set(false);
    if let Err(message) = called {
        tracing::error!(target: "brigade", "on_unhandled panicked: {message}: {unhandled}");
    }
}

fn log(unhandled: &Unhandled) {
    match unhandled {
        Unhandled::Panic { .. } | Unhandled::CallbackPanic { .. } => {
            tracing::error!(target: "brigade", "{unhandled}");
        }
        _ => tracing::warn!(target: "brigade", "{unhandled}"),
    }
}
