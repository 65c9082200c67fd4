//! Tasks: futures that a loop runs by themselves, side by side.

mod gather;
mod group;
mod join;
mod notebook;
mod shield;

use std::borrow::Cow;
use std::panic::Location;
use std::task::Poll;

pub use crate::executor::join_error::JoinError;
pub use crate::observe::info::{TaskId, TaskInfo, TaskLabel, TaskState};
pub use crate::observe::labels::Note;
pub use gather::{Gather, TryGather, gather, gather_all, try_gather, try_gather_all};
pub use group::{Child, Failure, GroupError, TaskGroup};
pub use join::JoinHandle;
pub use notebook::Notebook;
pub use shield::{Shield, shield};

use crate::executor::core::Core;
use crate::executor::coroutine::Stage;
use crate::executor::table::Origin;

/// Runs `future` as a task of this thread's loop. It is polled for the first time in the next
/// batch, never within this call.
///
/// Returns a handle that is awaited for the task's outcome. Dropping the handle detaches the task.
///
/// # Panics
/// If there is no event loop on this thread.
///
/// # Examples
/// ```
/// brigade_runtime::run(async {
///     let task = brigade_runtime::spawn(async { 6 * 7 });
///     assert_eq!(task.await.unwrap(), 42);
/// });
/// ```
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    spawn_on(Core::current(), future, Origin { name: None, site: Location::caller() })
}

pub(crate) fn spawn_on<F>(
    core: std::rc::Rc<Core>,
    future: F,
    origin: Origin,
) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let key = core.spawn(Box::pin(Stage::Running { future }), origin);
    JoinHandle::new(core, key)
}

/// Spawns tasks with a name.
///
/// # Examples
/// ```
/// use brigade_runtime::task;
///
/// brigade_runtime::run(async {
///     let task = task::Builder::new().name("refresh").spawn(async { task::current() });
///     assert_eq!(task.await.unwrap().unwrap().label.name(), Some("refresh"));
/// });
/// ```
#[derive(Debug, Default)]
#[must_use]
pub struct Builder {
    name: Option<Cow<'static, str>>,
}

impl Builder {
    /// A builder of tasks without a name.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names the task. The name stands in logs, in [`all`] and in a [`JoinError`].
    pub fn name(self, name: impl Into<Cow<'static, str>>) -> Self {
        Self { name: Some(name.into()) }
    }

    /// Runs `future` as a task of this thread's loop, like [`spawn`].
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        spawn_on(Core::current(), future, Origin { name: self.name, site: Location::caller() })
    }
}

/// The task that is running; `None` outside of any task.
#[must_use]
pub fn current() -> Option<TaskInfo> {
    let core = Core::try_current()?;
    core.tasks.info(core.tasks.current()?, &core.clock)
}

/// All tasks of this thread's loop; empty where there is none.
#[must_use]
pub fn all() -> Vec<TaskInfo> {
    Core::try_current().map_or_else(Vec::new, |core| core.tasks.infos(&core.clock))
}

/// Has a task of this thread's loop polled, whatever it waits for. Does nothing for one that has
/// finished.
pub fn wake(task: TaskId) {
    if let Some(core) = Core::try_current() {
        core.tasks.wake(task.into());
    }
}

/// Cancels a task of this thread's loop, as [`JoinHandle::abort`] does. Does nothing to one that
/// has finished.
pub fn abort(task: TaskId) {
    if let Some(core) = Core::try_current() {
        core.tasks.abort(task.into());
    }
}

/// Lets all other tasks that are ready have their turn before this task goes on. The selector is
/// asked once some 64 polls are over, so a task that yields again and again lets I/O happen. What
/// `await asyncio.sleep(0)` is for.
pub async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(move |cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
