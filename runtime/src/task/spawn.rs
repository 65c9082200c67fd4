//! Spawning tasks on this thread's loop.

use std::borrow::Cow;
use std::panic::Location;
use std::rc::Rc;

use crate::executor::core::Core;
use crate::executor::table::Origin;
use crate::task::join::JoinHandle;

/// Spawns `future` as a task on this thread's loop. The task is polled for the first time in the
/// loop's next batch, never within this call.
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

/// Spawns `future` on the loop `core`.
pub(crate) fn spawn_on<F>(core: Rc<Core>, future: F, origin: Origin) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let key = core.spawn(future, origin);
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
    /// Returns a builder of tasks without a name.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the task's name. It appears in logs, in [`all`](crate::task::all) and in a
    /// [`JoinError`](crate::task::JoinError).
    pub fn name(self, name: impl Into<Cow<'static, str>>) -> Self {
        Self { name: Some(name.into()) }
    }

    /// Spawns `future` as a task on this thread's loop, like [`spawn`].
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
