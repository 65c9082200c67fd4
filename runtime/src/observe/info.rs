//! Information about a task: its id, its name, where it was spawned, and its state.

use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::time::Duration;

/// The id of a task, unique among all tasks of its loop.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(u64);

impl TaskId {
    pub(crate) const fn from_u64(number: u64) -> Self {
        Self(number)
    }

    /// Returns the id as a number, for logs and metrics.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The task's slot, and how many tasks have used that slot before.
        write!(f, "#{}.{}", self.0 as u32, self.0 >> 32)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Identifies a task in reports: its id, its name if it has one, and where it was spawned.
#[derive(Clone, Debug)]
pub struct TaskLabel {
    pub(crate) id: TaskId,
    pub(crate) name: Option<Cow<'static, str>>,
    pub(crate) site: &'static Location<'static>,
}

impl TaskLabel {
    /// Returns the task's id.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// Returns the name that was set with [`task::Builder::name`](crate::task::Builder::name).
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Returns where the task was spawned.
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

/// The state of a task at one moment. Times are by the loop's clock.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TaskInfo {
    /// The task's id, name and site.
    pub label: TaskLabel,
    /// The task that spawned it. `None` if it was spawned outside of tasks. A task that took a
    /// connection over has the parent of the task before it.
    pub parent: Option<TaskId>,
    /// The task's state.
    pub state: TaskState,
    /// The time since it was spawned.
    pub age: Duration,
    /// The time since its last poll began. `None` if it was never polled.
    pub since_poll: Option<Duration>,
    /// How often it was polled.
    pub polls: u32,
}

/// The state of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// In the ready queue.
    Ready,
    /// Being polled.
    Polling,
    /// Pending, until its waker is called.
    Waiting,
    /// Done, with an outcome that has not been taken yet.
    Finished,
}
