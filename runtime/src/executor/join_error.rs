//! Why a task has no output.

use std::any::Any;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use crate::observe::info::TaskLabel;
use crate::observe::panic::{Guarded, panic_message};
use crate::observe::unhandled::Unhandled;
use crate::sync::lock;

/// The error of a task that has no output: it panicked, was cancelled, or its loop ended first.
pub struct JoinError {
    reason: Reason,
    /// Absent if the code was not a task, or its loop had ended before it became one.
    task: Option<TaskLabel>,
}

enum Reason {
    /// The mutex, which is never contended, makes the error `Sync`.
    Panicked(Mutex<Guarded<Box<dyn Any + Send>>>),
    Cancelled,
    LoopEnded,
}

impl JoinError {
    /// `task` is `None` for code that is not a task, such as work on the blocking pool.
    pub(crate) fn panicked(payload: Box<dyn Any + Send>, task: Option<TaskLabel>) -> Self {
        Self { reason: Reason::Panicked(Mutex::new(Guarded::new(payload))), task }
    }

    pub(crate) fn cancelled(task: TaskLabel) -> Self {
        Self { reason: Reason::Cancelled, task: Some(task) }
    }

    pub(crate) fn loop_ended(task: Option<TaskLabel>) -> Self {
        Self { reason: Reason::LoopEnded, task }
    }

    /// Returns `true` if the task panicked.
    #[must_use]
    pub fn is_panic(&self) -> bool {
        matches!(self.reason, Reason::Panicked(_))
    }

    /// Returns `true` if the task was cancelled: by `abort`, by its group, or because its loop
    /// ended.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        !self.is_panic()
    }

    /// Returns `true` if the task did not finish because its event loop ended first.
    #[must_use]
    pub fn is_loop_ended(&self) -> bool {
        matches!(self.reason, Reason::LoopEnded)
    }

    /// Returns the task that has no output, if the error is about a task.
    #[must_use]
    pub fn task(&self) -> Option<&TaskLabel> {
        self.task.as_ref()
    }

    /// Returns the panic's payload, as `std::thread::JoinHandle::join` does.
    ///
    /// # Errors
    /// The error itself, unless [`JoinError::is_panic`].
    pub fn into_panic(self) -> Result<Box<dyn Any + Send>, Self> {
        match self.reason {
            Reason::Panicked(payload) => {
                Ok(payload.into_inner().unwrap_or_else(PoisonError::into_inner).into_inner())
            }
            _ => Err(self),
        }
    }

    /// Resumes the task's panic in the caller, so that a failed assertion in a task fails the
    /// test that awaits it. Returns the error unless [`JoinError::is_panic`].
    #[must_use]
    pub fn resume_panic(self) -> Self {
        match self.into_panic() {
            Ok(payload) => std::panic::resume_unwind(payload),
            Err(error) => error,
        }
    }

    /// Returns the panic as a report for when no code awaits the outcome. Its message is empty
    /// unless [`JoinError::is_panic`].
    pub(crate) fn to_unhandled(&self) -> Unhandled {
        let message = self.panic_message();
        match &self.task {
            Some(task) => Unhandled::Panic { task: task.clone(), message },
            None => Unhandled::CallbackPanic { message },
        }
    }

    fn panic_message(&self) -> String {
        match &self.reason {
            Reason::Panicked(payload) => {
                let payload = lock(payload);
                panic_message(&**payload.get()).to_owned()
            }
            _ => String::new(),
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.task {
            Some(task) => write!(f, "{task} ")?,
            None => f.write_str("the work ")?,
        }
        match &self.reason {
            Reason::Panicked(_) => write!(f, "panicked: {}", self.panic_message()),
            Reason::Cancelled => f.write_str("was cancelled"),
            Reason::LoopEnded => f.write_str("did not finish: its event loop ended first"),
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinError({self})")
    }
}

impl std::error::Error for JoinError {}
