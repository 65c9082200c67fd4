//! The handle of a task.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use crate::budget;
use crate::executor::core::Core;
use crate::executor::join_error::JoinError;
use crate::executor::slots::Key;
use crate::observe::info::{TaskId, TaskInfo};

/// A handle to a task on this thread's loop: await it for the task's outcome.
///
/// Awaiting returns `Ok` with the task's output, or a [`JoinError`] if it panicked or was
/// cancelled. Dropping the handle detaches the task: it runs on, and a panic in it is logged.
///
/// # Panics
/// If polled again after it was ready.
///
/// # Cancel safety
/// `&mut handle` is cancel safe: the outcome is kept until a poll returns it.
#[must_use = "dropping a handle detaches the task; call `.detach()` if that is intended"]
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
        let key = self.key.expect("a `JoinHandle` was polled after completion");
        let poll = |cx: &mut Context<'_>| self.core.poll_outcome(key, cx.waker());
        let outcome = ready!(budget::poll_counted(cx, poll));
        self.key = None;
        Poll::Ready(outcome)
    }
}

impl<T> JoinHandle<T> {
    /// Returns the task's id.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// Returns what is known of the task now, or `None` once its outcome was taken.
    #[must_use]
    pub fn info(&self) -> Option<TaskInfo> {
        self.core.task_info(self.key?)
    }

    /// Returns `true` if the task has an outcome.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.key.is_none_or(|key| self.core.is_finished(key))
    }

    /// Cancels the task: its future is dropped instead of polled, in the loop's next batch.
    /// Awaiting the handle then returns an error for which [`JoinError::is_cancelled`] is true.
    /// Does nothing if the task has finished.
    pub fn abort(&self) {
        if let Some(key) = self.key {
            self.core.abort(key);
        }
    }

    /// Lets the task run on without a handle. The same as dropping the handle, made explicit.
    pub fn detach(self) {}

    /// Cancels the task and runs its destructors before this returns. If the task calls this for
    /// itself, it is cancelled at its next await instead.
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
