//! The event loop as other threads see it.

use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::thread::Thread;

use pin_project_lite::pin_project;

use crate::executor::core::Core;
use crate::executor::join_error::JoinError;
use crate::executor::slots::Key;
use crate::executor::table::Origin;
use crate::executor::waker::{LoopInbox, Message};
use crate::observe::info::{TaskId, TaskLabel};
use crate::observe::nesting::nested;
use crate::observe::panic::catch_panic;
use crate::observe::shared::Shared;
use crate::observe::snapshot::Snapshot;
use crate::observe::unhandled::Unhandled;
use crate::observe::vitals::Progress;
use crate::oneshot::{SyncReceiver, SyncSender, sync_channel};

/// A handle to an event loop, for any thread. It does not keep the loop alive.
#[derive(Clone)]
pub struct LoopHandle {
    inbox: Arc<LoopInbox>,
    shared: Arc<Shared>,
}

/// The error of sending something to an event loop that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoopEnded;

impl fmt::Display for LoopEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the event loop has ended")
    }
}

impl std::error::Error for LoopEnded {}

impl LoopHandle {
    /// Returns a handle to the loop of this thread.
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    #[track_caller]
    #[must_use]
    pub fn current() -> Self {
        Self::of(&Core::current())
    }

    pub(crate) fn of(core: &Core) -> Self {
        Self { inbox: core.inbox().clone(), shared: core.shared().clone() }
    }

    /// Returns the loop's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Returns `true` once the loop has ended.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.inbox.is_closed()
    }

    /// Returns what the loop does now, from what it publishes. This does not disturb the loop,
    /// and works while it is stuck.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.shared.snapshot()
    }

    /// Returns how far the loop has come.
    pub(crate) fn progress(&self) -> Progress {
        self.shared.vitals.progress()
    }

    /// Returns `true` if the calling thread is the loop's.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.shared.thread == std::thread::current().id()
    }

    /// Calls `callback` on the loop's thread, in its next turn, before its tasks run. A panic in
    /// it is reported and does not end the loop. Like asyncio's `loop.call_soon_threadsafe`.
    ///
    /// # Errors
    /// If the loop has ended. Then `callback` is dropped. It is also dropped, without an error,
    /// if the loop ends between this call and its next turn.
    pub fn call_soon(&self, callback: impl FnOnce() + Send + 'static) -> Result<(), LoopEnded> {
        let sent = self.inbox.push(Message::Call(Box::new(callback)));
        if sent { Ok(()) } else { Err(LoopEnded) }
    }

    /// Calls `make` on the loop's thread, and runs the future that it returns as a task there.
    /// Only `make` and the output cross threads, so the future need not be `Send`. Like
    /// `asyncio.run_coroutine_threadsafe`.
    ///
    /// Returns a handle that can be awaited on any loop, or joined by a thread without a loop. If
    /// the loop ends first, the handle returns an error.
    #[track_caller]
    pub fn spawn<M, F>(&self, make: M) -> RemoteJoinHandle<F::Output>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        self.spawn_from(Location::caller(), make)
    }

    /// Spawns like [`LoopHandle::spawn`], for the code at `site`.
    pub(crate) fn spawn_from<M, F>(
        &self,
        site: &'static Location<'static>,
        make: M,
    ) -> RemoteJoinHandle<F::Output>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        let (sender, outcome) = sync_channel();
        let key = Arc::new(OnceLock::new());
        let task_key = key.clone();
        // An error here drops `sender`, so the handle returns an error.
        let _ = self.call_soon(move || {
            let core = Core::current();
            // `make` is called within the task, so that its panic is the task's panic.
            let future = async move { make().await };
            let future = SendOutcome { future: Some(future), sender: Some(sender) };
            let key = core.spawn(future, Origin { name: None, site });
            let _ = task_key.set(key);
            core.detach(key);
        });
        RemoteJoinHandle { outcome, key, handle: self.clone() }
    }

    /// Makes the loop return from its run at the end of the current turn, like asyncio's
    /// `loop.stop`. Its tasks stay on the loop, and are cancelled when it is dropped.
    pub fn stop(&self) {
        // A loop that has ended does not run.
        let _ = self.call_soon(|| Core::current().stop());
    }

    /// Reports `unhandled` on the loop's thread, or on this one if the loop has ended.
    pub(crate) fn report(&self, unhandled: Unhandled) {
        let report = ReportOnDrop { unhandled, shared: self.shared.clone() };
        let _ = self.call_soon(move || drop(report));
    }

    /// Drops an outcome that no code will take. Reports a panic: of the task, or of the
    /// destructor of its output. The output may own further handles with an outcome.
    pub(crate) fn discard<T: 'static>(&self, outcome: Result<T, JoinError>) {
        let handle = self.clone();
        nested(move || match outcome {
            Err(error) if error.is_panic() => handle.report(error.to_unhandled()),
            outcome => {
                if let Err(message) = catch_panic(|| drop(outcome)) {
                    handle.report(Unhandled::CallbackPanic { message });
                }
            }
        });
    }
}

/// Reports when it is dropped, and so even if the message that carries it is discarded.
struct ReportOnDrop {
    unhandled: Unhandled,
    shared: Arc<Shared>,
}

impl Drop for ReportOnDrop {
    fn drop(&mut self) {
        self.shared.report(&self.unhandled);
    }
}

impl fmt::Debug for LoopHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopHandle")
            .field("name", &self.shared.name)
            .field("ended", &self.is_ended())
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// A future whose outcome is sent to a handle on another thread, even if it is dropped.
    struct SendOutcome<F: Future> {
        #[pin]
        future: Option<F>,
        sender: Option<SyncSender<Result<F::Output, JoinError>>>,
    }

    impl<F: Future> PinnedDrop for SendOutcome<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let dropped = catch_panic(|| this.future.set(None));
            if let Some(sender) = this.sender.take() {
                let _ = sender.send(Err(dropped_error()));
            }
            if let (Err(message), Some(core)) = (dropped, Core::try_current()) {
                core.report(Unhandled::CallbackPanic { message });
            }
        }
    }
}

impl<F: Future> Future for SendOutcome<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else { return Poll::Ready(()) };
        let outcome = match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(poll) => Ok(ready!(poll)),
            Err(payload) => Err(JoinError::panicked(payload, current_label())),
        };
        // An async block that has ended holds nothing, so this runs no destructor.
        this.future.set(None);
        if let Some(Err(Err(error))) = this.sender.take().map(|sender| sender.send(outcome))
            && error.is_panic()
        {
            // The handle is gone: panic again, so that the loop reports it.
            let _ = error.resume_panic();
        }
        Poll::Ready(())
    }
}

/// Returns why the current task, whose future is being dropped, has no output.
fn dropped_error() -> JoinError {
    match (current_label(), Core::try_current()) {
        (Some(label), Some(core)) if !core.is_ending() => JoinError::cancelled(label),
        (label, _) => JoinError::loop_ended(label),
    }
}

fn current_label() -> Option<TaskLabel> {
    let core = Core::try_current()?;
    core.task_label(core.current_task()?)
}

/// A handle to a task on a loop, for any thread: await it on any loop, or [`join`] it.
///
/// Dropping the handle detaches the task.
///
/// [`join`]: RemoteJoinHandle::join
///
/// # Panics
/// If polled again after it was ready.
#[must_use = "dropping a handle detaches the task; call `.detach()` if that is intended"]
pub struct RemoteJoinHandle<T: 'static> {
    outcome: SyncReceiver<Result<T, JoinError>>,
    /// Set on the loop's thread once the task is spawned.
    key: Arc<OnceLock<Key>>,
    handle: LoopHandle,
}

impl<T: 'static> RemoteJoinHandle<T> {
    /// Cancels the task at its next await. Does nothing if it has finished.
    pub fn abort(&self) {
        let key = self.key.clone();
        // Messages keep their order, so the task is spawned before this is called.
        let _ = self.handle.call_soon(move || {
            if let Some(key) = key.get() {
                Core::current().abort(*key);
            }
        });
    }

    /// Returns the task's id on its loop, once it is spawned there.
    #[must_use]
    pub fn id(&self) -> Option<TaskId> {
        self.key.get().copied().map(TaskId::from)
    }

    /// Lets the task run on without a handle. The same as dropping the handle, made explicit.
    pub fn detach(self) {}

    /// Blocks this thread until the task is done, and returns its outcome.
    ///
    /// # Errors
    /// If the task panicked, was cancelled, or its loop ended first.
    ///
    /// # Panics
    /// If called from a task, a callback or a destructor on an event loop, or on the thread of the
    /// task's loop, because that would block the loop. Await the handle there.
    pub fn join(self) -> Result<T, JoinError> {
        assert!(
            !self.handle.is_current() || self.handle.is_ended(),
            "joining a task on the thread of its event loop would wait for ever: await the handle"
        );
        block_on(self)
    }
}

impl<T: 'static> Drop for RemoteJoinHandle<T> {
    fn drop(&mut self) {
        if let Some(outcome) = self.outcome.close() {
            self.handle.discard(outcome);
        }
    }
}

impl<T: 'static> Future for RemoteJoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(Pin::new(&mut self.outcome).poll(cx));
        Poll::Ready(outcome.unwrap_or_else(|_| Err(JoinError::loop_ended(None))))
    }
}

impl<T: 'static> fmt::Debug for RemoteJoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteJoinHandle")
            .field("task", &self.id())
            .field("on", &self.handle.name())
            .finish_non_exhaustive()
    }
}

/// Blocks this thread until `future` is ready.
///
/// # Panics
/// If called while the loop of this thread runs: from a task, a callback or a destructor.
pub(crate) fn block_on<F: Future + Unpin>(mut future: F) -> F::Output {
    let is_busy = Core::with_current(Core::is_busy).unwrap_or(false);
    assert!(
        !is_busy,
        "joining from a task or a callback would block its event loop: await the handle instead"
    );
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        match Pin::new(&mut future).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Wakes a parked thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
