//! A pool of threads for work that would block the loop.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, ready};

use crate::executor::blocking_pool::{BlockingPool, KEEP_ALIVE, SendResult};
use crate::executor::core::Core;
use crate::executor::handle::LoopHandle;
use crate::oneshot::{SyncReceiver, sync_channel};
use crate::task::JoinError;

/// Runs `work` on a pool of threads and returns a handle that is awaited for its result. Use it for
/// long computations and for calls that block. Like asyncio's `loop.run_in_executor`.
///
/// The work starts as soon as there is a thread, and dropping the handle does not stop it. The pool
/// has the threads that it needs, at most 512 ([`Builder::max_blocking_threads`]), and a thread
/// without work ends after 10 s.
///
/// [`Builder::max_blocking_threads`]: crate::event_loop::Builder::max_blocking_threads
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
    spawn_on(core.blocking_pool(), &core, work)
}

/// Reads of files, which take as long as a disk does, have threads of their own: other work that
/// blocks does not delay them. They never wait for each other, so fewer threads are enough to keep
/// disks busy, and some are left if a file system does not answer.
const FILE_THREADS_MAX: usize = 64;

/// Runs `work`, which opens or reads a file, on a thread for that. If the handle is dropped before
/// a thread is free, it does not run. Otherwise the same as [`spawn_blocking`]. For the HTTP crate.
///
/// # Panics
/// If there is no event loop on this thread.
#[doc(hidden)]
#[track_caller]
pub fn spawn_file_read<F, T>(work: F) -> BlockingHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    static POOL: LazyLock<BlockingPool> =
        LazyLock::new(|| BlockingPool::new("files", FILE_THREADS_MAX, KEEP_ALIVE));
    spawn_if(&POOL, &Core::current(), work, |is_wanted| is_wanted)
}

/// Runs `work` on `pool`, also if the handle is dropped.
pub(super) fn spawn_on<F, T>(pool: &BlockingPool, core: &Core, work: F) -> BlockingHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    spawn_if(pool, core, work, |_| true)
}

/// Runs `work` on `pool` if `runs` returns `true` for whether the handle is still there.
fn spawn_if<F, T>(
    pool: &BlockingPool,
    core: &Core,
    work: F,
    runs: fn(bool) -> bool,
) -> BlockingHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let handle = LoopHandle::of(core);
    let inhibitor = core.clock().is_manual().then(|| Inhibitor::new(core));
    let (sender, result) = sync_channel();
    let loop_handle = handle.clone();
    let job = move || {
        if !runs(!sender.is_closed()) {
            return None;
        }
        let result = catch_unwind(AssertUnwindSafe(work));
        let result = result.map_err(|payload| JoinError::panicked(payload, None));
        if sender.is_closed() {
            // Dropping the result may block.
            loop_handle.discard(result);
            return None;
        }
        let send = move || {
            // Dropped last, also by a panic: after the wake of the task that awaits the result, so
            // that the clock does not move before the task runs.
            let _inhibitor = inhibitor;
            if let Err(result) = sender.send(result) {
                loop_handle.discard(result);
            }
        };
        Some(Box::new(send) as SendResult)
    };
    pool.run(Box::new(job));
    BlockingHandle { result, handle }
}

/// Keeps the manual clock of a loop from moving until it is dropped, on any thread.
struct Inhibitor(LoopHandle);

impl Inhibitor {
    fn new(core: &Core) -> Self {
        core.inhibit_auto_advance();
        Self(LoopHandle::of(core))
    }
}

impl Drop for Inhibitor {
    fn drop(&mut self) {
        let _ = self.0.call_soon(|| Core::current().allow_auto_advance());
    }
}

/// A handle to work on the blocking pool: await it for the result.
///
/// Awaiting returns `Ok` with the return value of the work, or a [`JoinError`] if it panicked. If
/// the handle was dropped, a panic is reported by the loop that started the work.
///
/// # Panics
/// If polled again after it was ready.
#[must_use = "dropping a handle detaches the work; call `.detach()` if that is intended"]
pub struct BlockingHandle<T: 'static> {
    result: SyncReceiver<Result<T, JoinError>>,
    handle: LoopHandle,
}

impl<T: 'static> BlockingHandle<T> {
    /// Lets the work run on without a handle. The same as dropping the handle, made explicit.
    pub fn detach(self) {}
}

impl<T: 'static> Future for BlockingHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = ready!(Pin::new(&mut self.result).poll(cx));
        // The work always sends a result, unless the process ends.
        Poll::Ready(result.unwrap_or_else(|_| Err(JoinError::loop_ended(None))))
    }
}

impl<T: 'static> Drop for BlockingHandle<T> {
    fn drop(&mut self) {
        if let Some(result) = self.result.close() {
            self.handle.discard(result);
        }
    }
}

impl<T: 'static> fmt::Debug for BlockingHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingHandle").finish_non_exhaustive()
    }
}
