//! Tasks: futures that a loop runs by themselves, side by side.
//!
//! Reading order: `waker` (how a task is woken), `coroutine` (a future without its type),
//! `table` (the tasks of a loop and their states), `error`, `join` (awaiting a task), `shield`,
//! `group` (tasks that end together).

pub(crate) mod coroutine;
pub(crate) mod error;
mod group;
mod join;
mod shield;
pub(crate) mod table;
pub(crate) mod waker;

use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

pub use error::JoinError;
pub use group::{Child, Failure, GroupError, TaskGroup};
pub use join::JoinHandle;
pub use shield::{Shield, shield};

pub use crate::labels::Note;

use crate::current::{Core, Shared};
use crate::slots::Key;
use coroutine::Stage;
use table::Origin;

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

/// Tells those who watch this thread's loop what it works on.
#[derive(Clone)]
pub struct Notebook {
    shared: Arc<Shared>,
}

impl Notebook {
    /// The notebook of this thread's loop.
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    #[track_caller]
    #[must_use]
    pub fn current() -> Self {
        Self { shared: Core::current().shared.clone() }
    }

    /// Says what the task that is running works on, until this is called again or the task
    /// yields. It stands in the report if the loop is stuck meanwhile, and costs one store.
    pub fn set(&self, note: Option<Note>) {
        self.shared.vitals.set_note(note);
    }
}

impl fmt::Debug for Notebook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notebook").field("of", &self.shared.name).finish_non_exhaustive()
    }
}

/// Names one task of a loop, and never another task of that loop.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(pub(crate) Key);

impl TaskId {
    /// The id as a number, for logs and metrics.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        self.0.to_u64()
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Which task: its id, its name if it has one, and where it was spawned.
#[derive(Clone, Debug)]
pub struct TaskLabel {
    pub(crate) id: TaskId,
    pub(crate) name: Option<Cow<'static, str>>,
    pub(crate) site: &'static Location<'static>,
}

impl TaskLabel {
    /// The task's id.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// The name given with [`Builder::name`].
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Where the task was spawned.
    #[must_use]
    pub fn site(&self) -> &'static Location<'static> {
        self.site
    }
}

impl fmt::Display for TaskLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}", self.id)?;
        if let Some(name) = &self.name {
            write!(f, " '{name}'")?;
        }
        write!(f, " (spawned at {})", self.site)
    }
}

/// What a loop knows of one of its tasks. Times are as of the loop's current turn.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TaskInfo {
    /// Which task.
    pub label: TaskLabel,
    /// The task that spawned it, unless it was spawned outside of any.
    pub parent: Option<TaskId>,
    /// Where it stands.
    pub state: TaskState,
    /// The time since it was spawned.
    pub age: Duration,
    /// The time since it was last polled, if it ever was.
    pub since_poll: Option<Duration>,
    /// How often it was polled.
    pub polls: u32,
}

/// Where a task stands between its spawn and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// In the ready queue.
    Ready,
    /// Running right now.
    Polling,
    /// Awaiting something.
    Waiting,
    /// It has an outcome that nobody has taken yet.
    Finished,
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
        core.tasks.wake(task.0);
    }
}

/// Cancels a task of this thread's loop, as [`JoinHandle::abort`] does. Does nothing to one that
/// has finished.
pub fn abort(task: TaskId) {
    if let Some(core) = Core::try_current() {
        core.tasks.abort(task.0);
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
