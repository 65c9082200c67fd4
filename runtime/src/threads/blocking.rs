//! Work that would block the loop, on a pool of threads.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::executor::core::Core;
use crate::executor::handle::LoopHandle;
use crate::oneshot::{SyncReceiver, sync_channel};
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
    let handle = LoopHandle::of(&core);
    let manual_clock = core.clock.is_manual();
    core.elsewhere.update(|n| n + usize::from(manual_clock));
    let (sender, result) = sync_channel();
    let place = handle.clone();
    let work = move || {
        let result = catch_unwind(AssertUnwindSafe(work)).map_err(JoinError::panicked_outside);
        if let Err(result) = sender.send(result) {
            place.bury(result);
        }
        // Sent behind the wake of whoever awaits the result, so the clock does not jump between.
        if manual_clock {
            let _ = place.call_soon(|| Core::current().elsewhere.update(|n| n - 1));
        }
    };
    blocking::unblock(work).detach();
    BlockingHandle { result, handle }
}

/// Work on the blocking pool: await it for its result.
///
/// Awaiting gives `Ok` with what the work returned, or a [`JoinError`] if it panicked. A panic that
/// nobody awaits is reported by the loop that asked for the work.
#[must_use = "dropping the handle lets the work run on by itself; say so with `.detach()`"]
pub struct BlockingHandle<T> {
    result: SyncReceiver<Result<T, JoinError>>,
    handle: LoopHandle,
}

impl<T> BlockingHandle<T> {
    /// Lets the work run on by itself; what dropping the handle does, said aloud.
    pub fn detach(self) {}
}

impl<T> Future for BlockingHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = ready!(Pin::new(&mut self.result).poll(cx));
        // The work always sends what came of it; only the end of the process keeps it from that.
        Poll::Ready(result.unwrap_or_else(|_| Err(JoinError::loop_ended(None))))
    }
}

impl<T> Drop for BlockingHandle<T> {
    fn drop(&mut self) {
        if let Some(result) = self.result.close() {
            self.handle.bury(result);
        }
    }
}

impl<T> fmt::Debug for BlockingHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingHandle").finish_non_exhaustive()
    }
}
