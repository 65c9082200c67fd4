//! Work that would block the loop, on a pool of threads.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use crate::current::Core;
use crate::task::JoinError;

/// Runs `work` on a pool of threads and gives its result to this thread's loop: for code that
/// computes for long, and for calls that block. What `loop.run_in_executor` is for.
///
/// The pool is the `blocking` crate's: it grows with the work, up to 500 threads
/// (`BLOCKING_MAX_THREADS`), and shrinks when idle. The work starts at once. Dropping the handle
/// does not stop it.
///
/// # Panics
/// If there is no event loop on this thread.
///
/// # Examples
/// ```
/// brigade_runtime::run(async {
///     let sum = brigade_runtime::spawn_blocking(|| (1..=1000u64).sum::<u64>());
///     assert_eq!(sum.await.unwrap(), 500_500);
/// });
/// ```
#[track_caller]
pub fn spawn_blocking<F, T>(work: F) -> BlockingHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let core = Core::current();
    core.elsewhere.update(|n| n + 1);
    let task = blocking::unblock(move || catch_unwind(AssertUnwindSafe(work)));
    BlockingHandle { task: Some(task), core }
}

/// Work on the blocking pool: await it for its result.
///
/// Awaiting gives `Ok` with what the work returned, or a [`JoinError`] if it panicked.
#[must_use = "dropping the handle lets the work run on by itself; say so with `.detach()`"]
pub struct BlockingHandle<T> {
    /// Absent once the result was taken.
    task: Option<blocking::Task<std::thread::Result<T>>>,
    core: Rc<Core>,
}

impl<T> BlockingHandle<T> {
    /// Lets the work run on by itself; what dropping the handle does, said aloud.
    pub fn detach(self) {}

    fn take(&mut self) -> Option<blocking::Task<std::thread::Result<T>>> {
        let task = self.task.take()?;
        self.core.elsewhere.update(|n| n - 1);
        Some(task)
    }
}

impl<T> Future for BlockingHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let task = self.task.as_mut().expect("a handle is not polled after it was ready");
        let result = ready!(Pin::new(task).poll(cx));
        self.take();
        Poll::Ready(result.map_err(JoinError::panicked_outside))
    }
}

impl<T> Drop for BlockingHandle<T> {
    fn drop(&mut self) {
        if let Some(task) = self.take() {
            task.detach();
        }
    }
}

impl<T> fmt::Debug for BlockingHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingHandle").field("task", &self.task.is_some()).finish()
    }
}
