//! What went wrong without anybody looking: where it is told, and in which words.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::observe::info::{TaskInfo, TaskLabel};
use crate::observe::labels::Note;
use crate::observe::panic::panic_message;

/// Something that went wrong and that no code awaits.
///
/// Goes to the `on_unhandled` hook of the loop's builder, or else to the log.
#[derive(Debug)]
#[non_exhaustive]
pub enum Unhandled {
    /// A task panicked and nobody looked: its handle is gone.
    Panic {
        /// The task.
        task: TaskLabel,
        /// What the panic said.
        message: String,
    },
    /// Code that is no task panicked: the destructor of a cancelled task's future, a function
    /// given to `LoopHandle::call_soon`, or work on the blocking pool at which nobody looked.
    CallbackPanic {
        /// What the panic said.
        message: String,
    },
    /// One poll of a task kept the loop from turning. Told in debug mode.
    SlowPoll {
        /// The task.
        task: TaskLabel,
        /// How long the poll took.
        took: Duration,
    },
    /// The loop ended while the task was pending; its future was dropped. Told in debug mode.
    DroppedPending {
        /// The task as it was when the loop ended.
        task: TaskInfo,
    },
    /// The loop is stuck right now. Told on another thread, where the loop is watched.
    Stalled(Stall),
    /// The loop turns again after [`Unhandled::Stalled`].
    Recovered(Stall),
}

/// A loop that does not turn, because a poll or a callback does not return.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stall {
    /// The loop's name.
    pub event_loop: String,
    /// The task whose poll does not return; `None` for code outside of tasks.
    pub task: Option<TaskLabel>,
    /// What the task was working on, if it said so.
    pub note: Option<Note>,
    /// How long it has been so, to a quarter of the threshold.
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
                write!(f, "task panicked and nobody looked: {task}: {message}")
            }
            Self::CallbackPanic { message } => {
                write!(f, "code outside of tasks panicked: {message}")
            }
            Self::SlowPoll { task, took } => {
                write!(f, "{task} blocked its event loop for {took:.1?} in one poll")
            }
            Self::DroppedPending { task } => write!(
                f,
                "{} was dropped while pending: the loop ended; it was {:.1?} old after {} polls",
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

/// A function that receives what would otherwise be logged.
pub(crate) type UnhandledHook = Arc<dyn Fn(&Unhandled) + Send + Sync>;

/// Passes `unhandled` to `hook`, or to the log if there is none.
pub(crate) fn report(hook: Option<&UnhandledHook>, unhandled: &Unhandled) {
    match (hook, unhandled) {
        (Some(hook), _) => {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| hook(unhandled))) {
                let message = panic_message(&*payload);
                tracing::error!(target: "brigade", "on_unhandled panicked: {message}: {unhandled}");
            }
        }
        (None, Unhandled::Panic { .. } | Unhandled::CallbackPanic { .. }) => {
            tracing::error!(target: "brigade", "{unhandled}");
        }
        (None, _) => tracing::warn!(target: "brigade", "{unhandled}"),
    }
}
