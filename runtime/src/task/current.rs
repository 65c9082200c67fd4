//! The tasks of this thread's loop: the current one, all of them, and one given by its id.

use std::future::poll_fn;
use std::task::Poll;

use crate::executor::core::Core;
use crate::observe::info::{TaskId, TaskInfo};

/// Returns the task that is running, or `None` outside of tasks.
#[must_use]
pub fn current() -> Option<TaskInfo> {
    let core = Core::try_current()?;
    core.task_info(core.current_task()?)
}

/// Returns all tasks of this thread's loop. Empty if there is no loop.
#[must_use]
pub fn all() -> Vec<TaskInfo> {
    Core::try_current().map_or_else(Vec::new, |core| core.task_infos())
}

/// Makes a task of this thread's loop ready, so that it is polled whatever it waits for. Does
/// nothing if the task has finished.
pub fn wake(task: TaskId) {
    if let Some(core) = Core::try_current() {
        core.wake_task(task.into());
    }
}

/// Cancels a task of this thread's loop, like [`JoinHandle::abort`]. Does nothing if the task has
/// finished.
///
/// [`JoinHandle::abort`]: crate::JoinHandle::abort
pub fn abort(task: TaskId) {
    if let Some(core) = Core::try_current() {
        core.abort(task.into());
    }
}

/// Gives the task `successor` the parent of the running task, which is about to end.
pub(crate) fn set_successor(successor: TaskId) {
    if let Some(core) = Core::try_current() {
        core.inherit_parent(successor.into());
    }
}

/// Lets all other ready tasks run before this task continues, like `await asyncio.sleep(0)`.
///
/// The loop polls its selector after about 64 polls of tasks, so a task that yields again and
/// again does not keep others from I/O.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(move |cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
