//! What a loop does at one moment, as another thread sees it.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;

use crate::observe::info::{TaskId, TaskLabel};
use crate::observe::labels::Note;
use crate::observe::poll_times::PollTimes;
use crate::observe::shared::Shared;
use crate::observe::vitals::Load;

/// The state of a loop at one moment, as another thread sees it. Returned by
/// [`LoopHandle::snapshot`](crate::LoopHandle::snapshot).
///
/// The fields are read one after another while the loop runs, so they may be from slightly
/// different moments.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Snapshot {
    /// The loop's name.
    pub event_loop: String,
    /// The loop runs and does not wait in its selector.
    pub is_awake: bool,
    /// The loop has ended.
    pub has_ended: bool,
    /// Turns since the loop was made.
    pub turns: u64,
    /// Polls of tasks since the loop was made.
    pub polls: u64,
    /// Tasks in the ready queue at the beginning of the turn.
    pub ready: usize,
    /// Timers that were set at the beginning of the turn.
    pub timers: usize,
    /// Unfinished tasks at the beginning of the turn.
    pub tasks: usize,
    /// How often the loop was reported as stalled; see [`Builder::watch`].
    ///
    /// [`Builder::watch`]: crate::event_loop::Builder::watch
    pub stalls: u64,
    /// How long polls take, from a sample.
    pub poll_times: PollTimes,
    /// The task that is being polled.
    pub task: Option<TaskId>,
    /// The name and site of that task, if the loop is watched.
    pub label: Option<TaskLabel>,
    /// What that task works on, if it has set a note.
    pub note: Option<Note>,
}

impl Shared {
    pub(crate) fn snapshot(&self) -> Snapshot {
        let progress = self.vitals.progress();
        let Load { ready, timers, tasks } = self.vitals.load();
        let poll = self.vitals.current_poll();
        Snapshot {
            event_loop: self.name.clone(),
            is_awake: progress.is_awake,
            has_ended: self.vitals.has_ended(),
            turns: progress.turns,
            polls: progress.polls,
            ready,
            timers,
            tasks,
            stalls: self.stalls.load(Relaxed),
            poll_times: self.poll_times.times(),
            task: poll.map(|poll| poll.task),
            label: poll.and_then(|poll| self.label_of(poll)),
            note: poll.and_then(|poll| poll.note),
        }
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match (self.has_ended, self.is_awake) {
            (true, _) => "ended",
            (false, true) => "awake",
            (false, false) => "waiting",
        };
        write!(
            f,
            "'{}' {state}, turn {}, {} polls, {} tasks ({} ready), {} timers, {} stalls",
            self.event_loop,
            self.turns,
            self.polls,
            self.tasks,
            self.ready,
            self.timers,
            self.stalls
        )?;
        match (&self.label, self.task) {
            (Some(label), _) => write!(f, ", polling {label}")?,
            (None, Some(task)) => write!(f, ", polling task {task}")?,
            (None, None) => {}
        }
        self.note.map_or(Ok(()), |note| write!(f, ", working on {}", note.text()))
    }
}
