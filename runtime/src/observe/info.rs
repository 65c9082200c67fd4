//! What is known of a task: its id, its name, where it was spawned, and its state.

use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::time::Duration;

/// Names one task of a loop, and never another task of that loop.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(u64);

impl TaskId {
    pub(crate) const fn from_u64(number: u64) -> Self {
        Self(number)
    }

    /// The id as a number, for logs and metrics.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The slot of the task, and how many tasks used that slot before.
        write!(f, "#{}.{}", self.0 as u32, self.0 >> 32)
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

    /// The name given with [`task::Builder::name`](crate::task::Builder::name).
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
