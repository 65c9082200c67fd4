//! What a loop tells of itself while it runs, in a cache line of its own.
//!
//! The loop alone writes, with relaxed stores and without reading the clock. Whoever looks twice
//! and finds the loop awake with neither a turn nor a poll between the two looks knows that it
//! was stuck meanwhile; how long, its own clock tells it.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::time::{Duration, Instant};

use crate::observe::info::TaskId;
use crate::observe::labels::{LabelId, Note};

/// What one loop publishes.
#[derive(Debug, Default)]
pub(crate) struct Vitals {
    /// The loop runs, and does not wait in its selector.
    is_awake: AtomicBool,
    has_ended: AtomicBool,
    turns: AtomicU64,
    polls: AtomicU64,
    /// The id of the task that is polled, plus one; zero between polls.
    task: AtomicU64,
    label: AtomicU32,
    note: AtomicU32,
    /// As of the beginning of the turn.
    ready: AtomicU32,
    timers: AtomicU32,
    tasks: AtomicU32,
}

/// How far a loop has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) is_awake: bool,
    pub(crate) turns: u64,
    pub(crate) polls: u64,
}

/// What is being polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Poll {
    pub(crate) task: TaskId,
    pub(crate) label: LabelId,
    pub(crate) note: Option<Note>,
}

/// How much a loop has to do, as of its last turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) ready: usize,
    pub(crate) timers: usize,
    pub(crate) tasks: usize,
}

/// For the loop.
impl Vitals {
    pub(crate) fn begin_turn(&self, load: Load) {
        self.is_awake.store(true, Relaxed);
        self.turns.store(self.turns.load(Relaxed).wrapping_add(1), Relaxed);
        self.ready.store(load.ready as u32, Relaxed);
        self.timers.store(load.timers as u32, Relaxed);
        self.tasks.store(load.tasks as u32, Relaxed);
    }

    /// Returns how many polls there were before.
    pub(crate) fn begin_poll(&self, task: TaskId, label: LabelId) -> u64 {
        let polls = self.polls.load(Relaxed);
        self.polls.store(polls.wrapping_add(1), Relaxed);
        self.task.store(task.as_u64().wrapping_add(1), Relaxed);
        self.label.store(label.to_u32(), Relaxed);
        self.note.store(0, Relaxed);
        polls
    }

    /// What the task that is polled works on, until the next poll.
    pub(crate) fn set_note(&self, note: Option<Note>) {
        self.note.store(note.map_or(0, Note::to_u32), Relaxed);
    }

    pub(crate) fn end_batch(&self) {
        self.task.store(0, Relaxed);
    }

    /// The loop is about to wait, or to run no more for now.
    pub(crate) fn rest(&self) {
        self.is_awake.store(false, Relaxed);
    }

    pub(crate) fn wake(&self) {
        self.is_awake.store(true, Relaxed);
    }

    pub(crate) fn end(&self) {
        self.has_ended.store(true, Relaxed);
        self.rest();
    }
}

/// For the others.
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

    /// What is being polled. To be believed where the progress has not changed meanwhile.
    pub(crate) fn poll(&self) -> Option<Poll> {
        let task = self.task.load(Relaxed).checked_sub(1).map(TaskId::from_u64)?;
        let label = LabelId::from_u32(self.label.load(Relaxed));
        Some(Poll { task, label, note: Note::from_u32(self.note.load(Relaxed)) })
    }

    pub(crate) fn load(&self) -> Load {
        let count = |of: &AtomicU32| of.load(Relaxed) as usize;
        Load { ready: count(&self.ready), timers: count(&self.timers), tasks: count(&self.tasks) }
    }
}

/// Since when one who looks has seen a loop stand still.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pulse {
    seen: Progress,
    since: Instant,
}

impl Pulse {
    pub(crate) fn new(seen: Progress, now: Instant) -> Self {
        Self { seen, since: now }
    }

    /// Looks again. Returns how long the loop has been stuck: zero if it rests or has moved.
    pub(crate) fn look(&mut self, progress: Progress, now: Instant) -> Duration {
        if progress != self.seen || !progress.is_awake {
            *self = Self::new(progress, now);
        }
        now.saturating_duration_since(self.since)
    }

    /// When the loop was first seen where it is.
    pub(crate) fn since(&self) -> Instant {
        self.since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_stuck_only_when_awake_with_neither_turn_nor_poll_between_two_looks() {
        let vitals = Vitals::default();
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut pulse = Pulse::new(vitals.progress(), begin);
        assert_eq!(pulse.look(vitals.progress(), at(5)), Duration::ZERO, "never begun");
        vitals.begin_turn(Load::default());
        assert_eq!(pulse.look(vitals.progress(), at(10)), Duration::ZERO, "it turned");
        assert_eq!(pulse.look(vitals.progress(), at(15)), Duration::from_millis(5));
        vitals.begin_poll(TaskId::from_u64(0), LabelId::default());
        assert_eq!(pulse.look(vitals.progress(), at(20)), Duration::ZERO, "it polled");
        assert_eq!(pulse.look(vitals.progress(), at(50)), Duration::from_millis(30));
        vitals.rest();
        assert_eq!(pulse.look(vitals.progress(), at(60)), Duration::ZERO, "it waits");
        assert_eq!(pulse.look(vitals.progress(), at(90)), Duration::ZERO, "it still waits");
    }

    #[test]
    fn a_poll_is_told_with_its_note_until_the_batch_is_over() {
        let vitals = Vitals::default();
        assert_eq!(vitals.poll(), None);
        let (task, note) = (TaskId::from_u64(0), Note::new("a note of this test"));
        vitals.begin_poll(task, LabelId::default());
        vitals.set_note(Some(note));
        let told = Poll { task, label: LabelId::default(), note: Some(note) };
        assert_eq!(vitals.poll(), Some(told));
        vitals.begin_poll(task, LabelId::default());
        assert_eq!(vitals.poll(), Some(Poll { note: None, ..told }));
        vitals.end_batch();
        assert_eq!(vitals.poll(), None);
    }
}
