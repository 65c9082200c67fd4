//! What a loop publishes while it runs, in a cache line of its own.
//!
//! Only the loop writes, with relaxed stores and without reading the clock. A thread that reads
//! twice, and finds the loop awake with no turn and no poll in between, knows that the loop was
//! stuck in between. The reader measures for how long with its own clock.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::time::{Duration, Instant};

use crate::observe::info::TaskId;
use crate::observe::labels::{LabelId, Note};
use crate::observe::rest;

/// What one loop publishes.
#[derive(Debug, Default)]
pub(crate) struct Vitals {
    /// The loop runs and does not wait in its selector.
    is_awake: AtomicBool,
    has_ended: AtomicBool,
    turns: AtomicU64,
    polls: AtomicU64,
    /// The id of the task that is polled, plus one. Zero between batches.
    task: AtomicU64,
    label: AtomicU32,
    note: AtomicU32,
    /// This field and the next two are the load at the beginning of the turn.
    ready: AtomicU32,
    timers: AtomicU32,
    tasks: AtomicU32,
}

/// What changes when a loop makes progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) is_awake: bool,
    pub(crate) turns: u64,
    pub(crate) polls: u64,
}

/// The task that is being polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CurrentPoll {
    pub(crate) task: TaskId,
    pub(crate) label: LabelId,
    pub(crate) note: Option<Note>,
}

/// How much work a loop has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) ready: usize,
    pub(crate) timers: usize,
    pub(crate) tasks: usize,
}

/// # Called by the loop
impl Vitals {
    pub(crate) fn begin_turn(&self, load: Load) {
        if !self.is_awake.load(Relaxed) {
            self.set_awake(true);
        }
        self.turns.store(self.turns.load(Relaxed).wrapping_add(1), Relaxed);
        self.ready.store(load.ready as u32, Relaxed);
        self.timers.store(load.timers as u32, Relaxed);
        self.tasks.store(load.tasks as u32, Relaxed);
    }

    /// Returns the number of polls before this one.
    pub(crate) fn begin_poll(&self, task: TaskId, label: LabelId) -> u64 {
        let polls = self.polls.load(Relaxed);
        self.polls.store(polls.wrapping_add(1), Relaxed);
        self.task.store(task.as_u64().wrapping_add(1), Relaxed);
        self.label.store(label.to_u32(), Relaxed);
        self.note.store(0, Relaxed);
        polls
    }

    /// Sets what the current task works on, until the next poll.
    pub(crate) fn set_note(&self, note: Option<Note>) {
        self.note.store(note.map_or(0, Note::to_u32), Relaxed);
    }

    pub(crate) fn end_batch(&self) {
        self.task.store(0, Relaxed);
    }

    /// A loop is not awake while it waits in its selector and between two runs.
    pub(crate) fn set_awake(&self, is_awake: bool) {
        self.is_awake.store(is_awake, Relaxed);
        if is_awake {
            rest::end();
        }
    }

    pub(crate) fn end(&self) {
        self.has_ended.store(true, Relaxed);
        self.set_awake(false);
        rest::end();
    }
}

/// # Called by other threads
impl Vitals {
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(Relaxed)
    }

    pub(crate) fn progress(&self) -> Progress {
        Progress {
            is_awake: self.is_awake.load(Relaxed),
            turns: self.turns.load(Relaxed),
            polls: self.polls.load(Relaxed),
        }
    }

    /// Returns the task that is being polled. Its parts belong together only if the progress is
    /// the same before and after the call.
    pub(crate) fn current_poll(&self) -> Option<CurrentPoll> {
        let task = self.task.load(Relaxed).checked_sub(1).map(TaskId::from_u64)?;
        let label = LabelId::from_u32(self.label.load(Relaxed));
        Some(CurrentPoll { task, label, note: Note::from_u32(self.note.load(Relaxed)) })
    }

    pub(crate) fn load(&self) -> Load {
        let count = |of: &AtomicU32| of.load(Relaxed) as usize;
        Load { ready: count(&self.ready), timers: count(&self.timers), tasks: count(&self.tasks) }
    }
}

/// Measures from outside how long a loop has been stuck.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StallDetector {
    last: Progress,
    since: Instant,
}

impl StallDetector {
    pub(crate) fn new(progress: Progress, now: Instant) -> Self {
        Self { last: progress, since: now }
    }

    /// Takes the loop's current progress. Returns how long the loop has been stuck, which is zero
    /// if it is not awake or has made progress.
    pub(crate) fn observe(&mut self, progress: Progress, now: Instant) -> Duration {
        if progress != self.last || !progress.is_awake {
            *self = Self::new(progress, now);
        }
        now.saturating_duration_since(self.since)
    }

    /// Returns `true` if the loop waits and has not run since it was last observed.
    pub(crate) fn is_idle(&self, progress: Progress) -> bool {
        progress == self.last && !progress.is_awake
    }

    /// Returns when the loop was first seen with its current progress.
    pub(crate) fn since(&self) -> Instant {
        self.since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_stuck_if_it_is_awake_with_no_turn_and_no_poll_between_two_observations() {
        let vitals = Vitals::default();
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut detector = StallDetector::new(vitals.progress(), begin);
        assert_eq!(detector.observe(vitals.progress(), at(5)), Duration::ZERO, "it has not begun");
        vitals.begin_turn(Load::default());
        assert_eq!(detector.observe(vitals.progress(), at(10)), Duration::ZERO, "it turned");
        assert_eq!(detector.observe(vitals.progress(), at(15)), Duration::from_millis(5));
        vitals.begin_poll(TaskId::from_u64(0), LabelId::default());
        assert_eq!(detector.observe(vitals.progress(), at(20)), Duration::ZERO, "it polled");
        assert_eq!(detector.observe(vitals.progress(), at(50)), Duration::from_millis(30));
        vitals.set_awake(false);
        assert_eq!(detector.observe(vitals.progress(), at(60)), Duration::ZERO, "it waits");
        assert_eq!(detector.observe(vitals.progress(), at(90)), Duration::ZERO, "it still waits");
    }

    #[test]
    fn the_current_poll_is_published_with_its_note_until_the_end_of_the_batch() {
        let vitals = Vitals::default();
        assert_eq!(vitals.current_poll(), None);
        let (task, note) = (TaskId::from_u64(0), Note::new("a note of this test"));
        vitals.begin_poll(task, LabelId::default());
        vitals.set_note(Some(note));
        let poll = CurrentPoll { task, label: LabelId::default(), note: Some(note) };
        assert_eq!(vitals.current_poll(), Some(poll));
        vitals.begin_poll(task, LabelId::default());
        assert_eq!(vitals.current_poll(), Some(CurrentPoll { note: None, ..poll }));
        vitals.end_batch();
        assert_eq!(vitals.current_poll(), None);
    }
}
