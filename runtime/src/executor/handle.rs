//! A loop as other threads know it.

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
use crate::observe::shared::Shared;
use crate::observe::snapshot::Snapshot;
use crate::observe::unhandled::Unhandled;
use crate::oneshot::{SyncReceiver, SyncSender, sync_channel};
use crate::task::{TaskId, TaskLabel, spawn_on};

/// A reference to a loop that any thread may hold. It does not keep the loop alive.
#[derive(Clone)]
pub struct LoopHandle {
    inbox: Arc<LoopInbox>,
    shared: Arc<Shared>,
}

/// The loop ended before it could take what was sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoopEnded;

impl fmt::Display for LoopEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the event loop has ended")
    }
}

impl std::error::Error for LoopEnded {}

impl LoopHandle {
    /// A handle of this thread's loop.
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    #[track_caller]
    #[must_use]
    pub fn current() -> Self {
        Self::of(&Core::current())
    }

    pub(crate) fn of(core: &Core) -> Self {
        Self { inbox: core.inbox.clone(), shared: core.shared.clone() }
    }

    /// The loop's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Returns `true` once the loop has ended.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.inbox.is_closed()
    }

    /// What the loop does now, as far as it can be told from here. It takes nothing from the loop,
    /// and works on one that is stuck.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.shared.snapshot()
    }

    /// Returns `true` if the calling thread is the loop's.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.shared.thread == std::thread::current().id()
    }

    /// Has `callback` called on the loop's thread, in its next turn, before its tasks. What
    /// `loop.call_soon_threadsafe` is for. A panic in it is reported, and the loop goes on.
    ///
    /// # Errors
    /// If the loop has ended; then `callback` is dropped. A loop that ends after this has
    /// returned drops it too.
    pub fn call_soon(&self, callback: impl FnOnce() + Send + 'static) -> Result<(), LoopEnded> {
        let sent = self.inbox.push(Message::Call(Box::new(callback)));
        if sent { Ok(()) } else { Err(LoopEnded) }
    }

    /// Runs on the loop, as a task, the future that `make` makes there. Only `make` and the
    /// output cross threads; the future need not be `Send`. What
    /// `asyncio.run_coroutine_threadsafe` is for.
    ///
    /// Returns a handle that may be awaited on any loop, or joined by a thread that has none. It
    /// gives an error, and never hangs, if the loop ends first.
    #[track_caller]
    pub fn spawn<M, F>(&self, make: M) -> RemoteJoinHandle<F::Output>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        let (sender, outcome) = sync_channel();
        let key = Arc::new(OnceLock::new());
        let site = Location::caller();
        let place = key.clone();
        // An error here drops `sender`, and the handle tells of it.
        let _ = self.call_soon(move || {
            let core = Core::current();
            // Made within the task, so that a panic in `make` is the task's.
            let future = async move { make().await };
            let future = Forward { future: Some(future), sender: Some(sender) };
            let task = spawn_on(core, future, Origin { name: None, site });
            let _ = place.set(task.id().into());
            task.detach();
        });
        RemoteJoinHandle { outcome, key, handle: self.clone() }
    }

    /// Makes the loop return from `run` at the end of its turn, as `loop.stop()` does. Its tasks
    /// stay on it, and are cancelled when it is dropped.
    pub fn stop(&self) {
        // A loop that has ended needs no stopping.
        let _ = self.call_soon(|| Core::current().stopping.set(true));
    }

    /// Reports what nobody will see now: on the loop, or here if it has ended.
    pub(crate) fn report(&self, unhandled: Unhandled) {
        let telling = Telling { unhandled, shared: self.shared.clone() };
        let _ = self.call_soon(move || drop(telling));
    }

    /// Reports the panic, if it is one, in an outcome that nobody took.
    pub(crate) fn bury<T>(&self, outcome: Result<T, JoinError>) {
        if let Err(error) = outcome
            && error.is_panic()
        {
            self.report(Unhandled::panic(&error));
        }
    }
}

/// Is told when it is dropped, and so wherever the message that carries it ends.
struct Telling {
    unhandled: Unhandled,
    shared: Arc<Shared>,
}

impl Drop for Telling {
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
    /// A future whose outcome, whatever it is, goes to a handle on another thread.
    struct Forward<F: Future> {
        #[pin]
        future: Option<F>,
        sender: Option<SyncSender<Result<F::Output, JoinError>>>,
    }

    impl<F: Future> PinnedDrop for Forward<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            this.future.set(None);
            if let Some(sender) = this.sender.take() {
                let _ = sender.send(Err(current_label().map_or_else(
                    || JoinError::loop_ended(None),
                    ending_error,
                )));
            }
        }
    }
}

fn current_label() -> Option<TaskLabel> {
    crate::task::current().map(|task| task.label)
}

/// Why the task with `label`, which is being dropped, is.
fn ending_error(label: TaskLabel) -> JoinError {
    match Core::try_current() {
        Some(core) if !core.has_ended() => JoinError::cancelled(label),
        _ => JoinError::loop_ended(Some(label)),
    }
}

impl<F: Future> Future for Forward<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else { return Poll::Ready(()) };
        let outcome = match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(poll) => Ok(ready!(poll)),
            Err(payload) => Err(match current_label() {
                Some(label) => JoinError::panicked(payload, label),
                None => JoinError::panicked_outside(payload),
            }),
        };
        this.future.set(None);
        if let Some(Err(Err(error))) = this.sender.take().map(|sender| sender.send(outcome))
            && error.is_panic()
        {
            // Nobody holds the handle any more: let the loop report the panic.
            let _ = error.resume_panic();
        }
        Poll::Ready(())
    }
}

/// A task on a loop, as another thread knows it: await it on any loop, or [`join`] it.
///
/// Dropping the handle detaches the task.
///
/// [`join`]: RemoteJoinHandle::join
#[must_use = "dropping a handle detaches the task; say so with `.detach()`"]
pub struct RemoteJoinHandle<T> {
    outcome: SyncReceiver<Result<T, JoinError>>,
    /// Set on the loop's thread once the task is there.
    key: Arc<OnceLock<Key>>,
    handle: LoopHandle,
}

impl<T> RemoteJoinHandle<T> {
    /// Cancels the task at its next await. Does nothing to one that has finished.
    pub fn abort(&self) {
        let key = self.key.clone();
        // Messages keep their order: the task is there when this is called.
        let _ = self.handle.call_soon(move || {
            if let Some(key) = key.get() {
                Core::current().tasks.abort(*key);
            }
        });
    }

    /// The task's id on its loop, once it has begun there.
    #[must_use]
    pub fn id(&self) -> Option<TaskId> {
        self.key.get().copied().map(TaskId::from)
    }

    /// Lets the task run on by itself; what dropping the handle does, said aloud.
    pub fn detach(self) {}

    /// Blocks this thread until the task is done, and returns its outcome.
    ///
    /// # Errors
    /// If the task panicked, was cancelled, or its loop ended first.
    ///
    /// # Panics
    /// When called from a task, or on the thread of the task's loop: that would block the loop.
    /// Await the handle there.
    pub fn join(self) -> Result<T, JoinError> {
        assert!(
            !self.handle.is_current() || self.handle.is_ended(),
            "joining a task on the thread of its event loop would wait for ever: await the handle"
        );
        block_on(self)
    }
}

impl<T> Drop for RemoteJoinHandle<T> {
    fn drop(&mut self) {
        if let Some(outcome) = self.outcome.close() {
            self.handle.bury(outcome);
        }
    }
}

impl<T> Future for RemoteJoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(Pin::new(&mut self.outcome).poll(cx));
        Poll::Ready(outcome.unwrap_or_else(|_| Err(JoinError::loop_ended(None))))
    }
}

impl<T> fmt::Debug for RemoteJoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteJoinHandle")
            .field("task", &self.id())
            .field("on", &self.handle.name())
            .finish_non_exhaustive()
    }
}

/// Blocks this thread, which runs no task, until `future` is ready.
pub(crate) fn block_on<F: Future + Unpin>(mut future: F) -> F::Output {
    let in_task = Core::try_current().is_some_and(|core| core.tasks.current().is_some());
    assert!(!in_task, "joining from a task would block its event loop: await the handle instead");
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        match Pin::new(&mut future).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Wakes a thread that is parked.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
