//! Threads that run an event loop each.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Poll, ready};

use crate::executor::builder;
use crate::executor::event_loop::EventLoop;
use crate::executor::handle::{LoopHandle, block_on};
use crate::oneshot::{SyncReceiver, sync_channel};
use crate::task::JoinError;

/// Starts a thread with an event loop, calls `make` on it, and runs the future that `make` returns.
/// The future need not be `Send`.
///
/// Returns once the loop is made, with a handle to await or join for the future's output.
///
/// # Errors
/// If the system provides no thread, or no selector for its loop.
///
/// # Examples
/// ```
/// let thread = brigade_runtime::run_in_thread("cook", || async { "soup" }).unwrap();
/// assert_eq!(thread.join().unwrap(), "soup");
/// ```
#[track_caller]
pub fn run_in_thread<M, F>(name: impl Into<String>, make: M) -> io::Result<ThreadHandle<F::Output>>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future + 'static,
    F::Output: Send + 'static,
{
    Builder::new().name(name).run(make)
}

/// A builder of threads that each run an event loop.
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    name: Option<String>,
    core: Option<usize>,
    event_loop: builder::Builder,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// Returns a builder of threads without a name that run on any core.
    pub fn new() -> Self {
        Self { name: None, core: None, event_loop: EventLoop::builder() }
    }

    /// Sets the name of the thread and its loop.
    pub fn name(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// Pins the thread to one core: the `index`-th, from 0, of the cores that this process may use.
    /// If there are fewer cores, `index` wraps around. If the system refuses, a warning is logged
    /// and the thread runs on any core.
    pub fn pin_to_core(self, index: usize) -> Self {
        Self { core: Some(index), ..self }
    }

    /// Sets the options of the thread's loop.
    pub fn event_loop(self, event_loop: builder::Builder) -> Self {
        Self { event_loop, ..self }
    }

    /// Starts the thread and runs the future that `make` returns on it. See [`run_in_thread`].
    ///
    /// # Errors
    /// If the system provides no thread, or no selector for its loop.
    #[track_caller]
    pub fn run<M, F>(self, make: M) -> io::Result<ThreadHandle<F::Output>>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        let (sender, outcome) = sync_channel();
        let (started, is_started) = mpsc::sync_channel::<io::Result<LoopHandle>>(1);
        let mut thread = std::thread::Builder::new();
        if let Some(name) = &self.name {
            thread = thread.name(name.clone());
        }
        let site = std::panic::Location::caller();
        let thread = thread.spawn(move || {
            if let Some(index) = self.core {
                pin(index);
            }
            let mut event_loop = match self.event_loop.build() {
                Ok(event_loop) => event_loop,
                Err(error) => return drop(started.send(Err(error.into()))),
            };
            let _ = started.send(Ok(event_loop.handle()));
            let outcome = event_loop.try_run_until_complete(site, async move { make().await });
            // The loop ends before the outcome is sent, so that its destructors have run when the
            // outcome is received.
            let handle = event_loop.handle();
            drop(event_loop);
            if let Err(outcome) = sender.send(outcome) {
                handle.discard(outcome);
            }
        })?;
        let handle = is_started.recv().map_err(io::Error::other)??;
        Ok(ThreadHandle { handle, thread: Some(thread), outcome })
    }
}

fn pin(index: usize) {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let pinned = !cores.is_empty() && core_affinity::set_for_current(cores[index % cores.len()]);
    if !pinned {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("unnamed");
        tracing::warn!(target: "brigade", thread = name, core = index, "cannot pin a thread");
    }
}

/// A handle to a thread that runs an event loop: await it on another loop, or [`join`] it.
///
/// Dropping the handle detaches the thread, see [`ThreadHandle::detach`].
///
/// [`join`]: ThreadHandle::join
///
/// # Panics
/// If polled again after it was ready.
#[must_use = "dropping a handle detaches the thread; call `.detach()` if that is intended"]
pub struct ThreadHandle<T: 'static> {
    handle: LoopHandle,
    thread: Option<std::thread::JoinHandle<()>>,
    outcome: SyncReceiver<Result<T, JoinError>>,
}

impl<T: 'static> ThreadHandle<T> {
    /// Returns a handle to the thread's loop.
    #[must_use]
    pub fn loop_handle(&self) -> &LoopHandle {
        &self.handle
    }

    /// Lets the thread run on without a handle. The same as dropping the handle, made explicit.
    ///
    /// The output of the thread's future is dropped. If the future has panicked, or panics later,
    /// that is reported by the [`on_unhandled`] hook of the thread's loop, or logged if there is
    /// none. The thread ends with its future, when its loop is stopped, or with the process.
    ///
    /// [`on_unhandled`]: crate::event_loop::Builder::on_unhandled
    ///
    /// # Examples
    /// ```
    /// use brigade_runtime::{oneshot, run_in_thread};
    ///
    /// let (sender, receiver) = oneshot::sync_channel();
    /// run_in_thread("cook", || async { drop(sender.send("soup")) }).unwrap().detach();
    /// assert_eq!(brigade_runtime::run(receiver), Ok("soup"));
    /// ```
    pub fn detach(self) {}

    /// Blocks this thread until the other one has ended, and returns the output of its future.
    ///
    /// # Errors
    /// If the future panicked, or the loop was stopped before the future was done.
    ///
    /// # Panics
    /// If called from a task, a callback or a destructor on an event loop, or on the thread itself,
    /// because that would block the loop. Await the handle there.
    pub fn join(mut self) -> Result<T, JoinError> {
        assert!(!self.handle.is_current(), "joining a thread from that thread would wait for ever");
        let thread = self.thread.take();
        let outcome = block_on(&mut self);
        if let Some(Err(payload)) = thread.map(std::thread::JoinHandle::join) {
            return Err(JoinError::panicked(payload, None));
        }
        outcome
    }
}

impl<T: 'static> Drop for ThreadHandle<T> {
    fn drop(&mut self) {
        if let Some(outcome) = self.outcome.close() {
            self.handle.discard(outcome);
        }
    }
}

impl<T: 'static> Future for ThreadHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(Pin::new(&mut self.outcome).poll(cx));
        Poll::Ready(outcome.unwrap_or_else(|_| {
            // The thread has panicked and is about to end. Its panic says more than the dropped
            // sender.
            match self.thread.take().map(std::thread::JoinHandle::join) {
                Some(Err(payload)) => Err(JoinError::panicked(payload, None)),
                _ => Err(JoinError::loop_ended(None)),
            }
        }))
    }
}

impl<T: 'static> fmt::Debug for ThreadHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadHandle").field("name", &self.handle.name()).finish_non_exhaustive()
    }
}
