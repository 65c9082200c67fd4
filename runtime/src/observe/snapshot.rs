//! What can be told of a loop from another thread.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;

use crate::observe::info::{TaskId, TaskLabel};
use crate::observe::labels::Note;
use crate::observe::poll_times::PollTimes;
use crate::observe::shared::Shared;
use crate::observe::vitals::Load;

/// A loop at one moment, seen from outside. The counts are those of the beginning of its turn.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Snapshot {
    /// The loop's name.
    pub event_loop: String,
    /// It runs, and does not wait in its selector.
    pub is_awake: bool,
    /// It has ended.
    pub has_ended: bool,
    /// Turns since it began.
    pub turns: u64,
    /// Polls of tasks since it began.
    pub polls: u64,
    /// Tasks in the ready queue.
    pub ready: usize,
    /// Timers that are set.
    pub timers: usize,
    /// Tasks that have not finished.
    pub tasks: usize,
    /// How often it was reported as stuck; see [`watch`](crate::executor::event_loop::Builder::watch).
    pub stalls: u64,
    /// How long the polls took that were timed.
    pub poll_times: PollTimes,
    /// The task that is polled now.
    pub task: Option<TaskId>,
    /// Its name and origin, if the loop is watched.
    pub label: Option<TaskLabel>,
    /// What that task works on, if it said so.
    pub note: Option<Note>,
}

impl Shared {
    pub(crate) fn snapshot(&self) -> Snapshot {
        let progress = self.vitals.progress();
        let Load { ready, timers, tasks } = self.vitals.load();
        let poll = self.vitals.poll();
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
            (Some(label), _) => write!(f, ", polls {label}")?,
            (None, Some(task)) => write!(f, ", polls task {task}")?,
            (None, None) => {}
        }
        self.note.map_or(Ok(()), |note| write!(f, ", working on {}", note.text()))
    }
}
