//! Awaiting a task.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::executor::core::Core;
use crate::executor::join_error::JoinError;
use crate::executor::slots::Key;
use crate::task::{TaskId, TaskInfo};

/// A task that was spawned on this thread's loop: await it for its outcome.
///
/// Awaiting gives `Ok` with the task's output, or a [`JoinError`] if it panicked or was cancelled.
/// Dropping the handle detaches the task: it runs on, and if it panics that is logged.
///
/// # Panics
/// When polled again after it was ready.
#[must_use = "dropping a handle detaches the task; say so with `.detach()`"]
pub struct JoinHandle<T> {
    core: Rc<Core>,
    /// Absent once the outcome was taken.
    key: Option<Key>,
    id: TaskId,
    output: PhantomData<fn() -> T>,
}

impl<T: 'static> JoinHandle<T> {
    pub(crate) fn new(core: Rc<Core>, key: Key) -> Self {
        Self { core, key: Some(key), id: key.into(), output: PhantomData }
    }

    pub(crate) fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
        let key = self.key.expect("a join handle is not polled after it was ready");
        let mut outcome: Option<Result<T, JoinError>> = None;
        if self.core.tasks.poll_outcome(key, cx.waker(), &mut outcome).is_pending() {
            return Poll::Pending;
        }
        self.key = None;
        Poll::Ready(outcome.expect("a finished task has an outcome"))
    }
}

impl<T> JoinHandle<T> {
    /// Where the task is, unless its outcome was taken.
    pub(crate) fn key(&self) -> Option<Key> {
        self.key
    }

    /// The task's id.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// What is known of the task now; nothing once its outcome was taken.
    #[must_use]
    pub fn info(&self) -> Option<TaskInfo> {
        self.core.tasks.info(self.key?, &self.core.clock)
    }

    /// Returns `true` if the task has an outcome.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.key.is_none_or(|key| self.core.tasks.is_finished(key))
    }

    /// Cancels the task: its future is dropped at its next turn, where it awaits. Awaiting the
    /// handle then gives an error for which [`JoinError::is_cancelled`] is true. Does nothing to
    /// a task that has finished.
    pub fn abort(&self) {
        if let Some(key) = self.key {
            self.core.tasks.abort(key);
        }
    }

    /// Lets the task run on by itself; what dropping the handle does, said aloud.
    pub fn detach(self) {}

    /// Cancels the task, and has its destructors run, before this returns. A task cannot do so to
    /// itself: it is then cancelled at its next await.
    pub(crate) fn cancel_now(&self) {
        if let Some(key) = self.key {
            self.core.cancel_now(key);
        }
    }
}

impl<T: 'static> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_outcome(cx)
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.core.detach(key);
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("task", &self.id)
            .field("finished", &self.is_finished())
            .finish()
    }
}
