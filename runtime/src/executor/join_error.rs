//! Why a task gave no value.

use std::any::Any;
use std::fmt;
use std::sync::Mutex;

use crate::observe::info::TaskLabel;
use crate::observe::panic::panic_message;
use crate::sync::lock;

/// Why awaiting a task gave no value: it panicked, was cancelled, or its loop ended first.
pub struct JoinError {
    reason: Reason,
    /// Unknown for a task whose loop had ended before it was made.
    task: Option<TaskLabel>,
}

enum Reason {
    /// A lock, though nobody ever waits for it, makes the error `Sync`, as other errors are.
    Panicked(Mutex<Box<dyn Any + Send>>),
    Cancelled,
    LoopEnded,
}

impl JoinError {
    pub(crate) fn panicked(payload: Box<dyn Any + Send>, task: TaskLabel) -> Self {
        Self { reason: Reason::Panicked(Mutex::new(payload)), task: Some(task) }
    }

    /// A panic in something that is no task, such as a call on the blocking pool.
    pub(crate) fn panicked_outside(payload: Box<dyn Any + Send>) -> Self {
        Self { reason: Reason::Panicked(Mutex::new(payload)), task: None }
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

    /// Returns `true` if the task was cancelled: by `abort`, by its group, or with its loop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        !self.is_panic()
    }

    /// Returns `true` if the task did not finish because its event loop ended first.
    #[must_use]
    pub fn is_loop_ended(&self) -> bool {
        matches!(self.reason, Reason::LoopEnded)
    }

    /// The task that gave no value, if there was one.
    #[must_use]
    pub fn task(&self) -> Option<&TaskLabel> {
        self.task.as_ref()
    }

    /// What the panic said; empty unless [`JoinError::is_panic`].
    pub(crate) fn panic_text(&self) -> String {
        match &self.reason {
            Reason::Panicked(payload) => {
                let payload = lock(&payload);
                panic_message(&**payload).to_owned()
            }
            _ => String::new(),
        }
    }

    /// The panic's payload, as `std::thread::JoinHandle::join` would give it.
    ///
    /// # Errors
    /// The error itself, unless [`JoinError::is_panic`].
    pub fn into_panic(self) -> Result<Box<dyn Any + Send>, Self> {
        match self.reason {
            Reason::Panicked(payload) => {
                Ok(payload.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
            }
            _ => Err(self),
        }
    }

    /// Goes on with the task's panic in the caller, so that an assertion that failed in a task
    /// fails the test that awaits it. Returns the error, unless [`JoinError::is_panic`].
    #[must_use]
    pub fn resume_panic(self) -> Self {
        match self.into_panic() {
            Ok(payload) => std::panic::resume_unwind(payload),
            Err(error) => error,
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
            Reason::Panicked(_) => write!(f, "panicked: {}", self.panic_text()),
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
