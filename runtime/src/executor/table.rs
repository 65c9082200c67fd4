//! The tasks of one loop, and the way of each through its states:
//!
//! ```text
//!            spawn
//!              │
//!              ▼      begin               finish
//!   ┌──────► Ready ─────────► Polling ─────────────► Finished ───► (slot vacated)
//!   │ wake                       │                       once its outcome was taken,
//!   └─────── Waiting ◄───────────┘                       or nobody holds its handle
//!                      suspend
//! ```
//!
//! Ready is in the ready queue; Waiting is known only to whoever holds the task's waker. A task
//! woken while Polling is in the queue already when it suspends. An aborted task is made Ready,
//! and its future is dropped where it would have been polled.
//!
//! No code of a user runs while the table is borrowed: futures are taken out to be polled, and
//! whatever is dropped is handed to the caller first.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::executor::clock::{Clock, Tick};
use crate::executor::coroutine::Coroutine;
use crate::executor::slots::{Key, Slots};
use crate::executor::waker::{LoopInbox, ReadyQueue, TaskWaker};
use crate::observe::info::{TaskId, TaskInfo, TaskLabel, TaskState};
use crate::observe::labels::LabelId;

pub(crate) struct Tasks {
    slots: RefCell<Slots<Task>>,
    ready: Rc<ReadyQueue>,
    inbox: Arc<LoopInbox>,
    /// The task that is being polled.
    current: Cell<Option<Key>>,
    /// Wakers of tasks that ended, of which nobody holds a clone.
    spare_wakers: RefCell<Vec<(Waker, Arc<TaskWaker>)>>,
    unfinished: Cell<usize>,
    /// Tasks get a label for those who watch the loop.
    labelled: bool,
}

/// Wakers kept for later tasks; about 200 KB at the most, and less than the slots of so many tasks,
/// which stay too.
const SPARE_WAKERS_MAX: usize = 4096;

impl From<Key> for TaskId {
    fn from(key: Key) -> Self {
        Self::from_u64(key.to_u64())
    }
}

impl From<TaskId> for Key {
    fn from(task: TaskId) -> Self {
        Self::from_u64(task.as_u64())
    }
}

/// What a task is called and where it came from.
pub(crate) struct Origin {
    pub(crate) name: Option<Cow<'static, str>>,
    pub(crate) site: &'static Location<'static>,
}

struct Task {
    /// The future, or its outcome. Absent while it is polled.
    coroutine: Option<Pin<Box<dyn Coroutine>>>,
    /// `wake` as a future wants it. Absent while the task is polled.
    waker: Option<Waker>,
    wake: Arc<TaskWaker>,
    /// Who awaits the handle.
    joiner: Option<Waker>,
    origin: Origin,
    parent: Option<Key>,
    spawned: Tick,
    polled: Tick,
    polls: u32,
    /// What others may know of it while it is polled.
    label: LabelId,
    /// No more polls: there is an outcome.
    finished: bool,
    /// Nobody holds the handle.
    detached: bool,
    /// To be cancelled where it would be polled next.
    aborted: bool,
}

/// What the caller of [`Tasks::begin`] is to do with the task.
pub(crate) enum Turn {
    Poll(Pin<Box<dyn Coroutine>>, Waker, LabelId),
    Cancel(Pin<Box<dyn Coroutine>>),
}

/// A coroutine that nobody needs any more, to be dropped when the table is not borrowed.
pub(crate) type Remains = Option<Pin<Box<dyn Coroutine>>>;

impl Tasks {
    pub(crate) fn new(ready: Rc<ReadyQueue>, inbox: Arc<LoopInbox>, labelled: bool) -> Self {
        Self {
            slots: RefCell::new(Slots::new()),
            ready,
            inbox,
            current: Cell::new(None),
            spare_wakers: RefCell::new(Vec::new()),
            unfinished: Cell::new(0),
            labelled,
        }
    }

    /// How many tasks have not finished.
    pub(crate) fn unfinished(&self) -> usize {
        self.unfinished.get()
    }

    /// The task that is being polled.
    pub(crate) fn current(&self) -> Option<Key> {
        self.current.get()
    }

    /// Adds a task, ready to run.
    pub(crate) fn add(&self, coroutine: Pin<Box<dyn Coroutine>>, origin: Origin, now: Tick) -> Key {
        let parent = self.current.get();
        let label = match self.labelled {
            true => LabelId::of(origin.name.as_ref(), origin.site),
            false => LabelId::default(),
        };
        let key = self.slots.borrow_mut().insert_with(|key| {
            let (waker, wake) = self.waker_for(key);
            wake.wake_in(&self.ready);
            Task {
                coroutine: Some(coroutine),
                waker: Some(waker),
                wake,
                joiner: None,
                origin,
                parent,
                spawned: now,
                polled: now,
                polls: 0,
                label,
                finished: false,
                detached: false,
                aborted: false,
            }
        });
        self.unfinished.update(|n| n + 1);
        key
    }

    fn waker_for(&self, key: Key) -> (Waker, Arc<TaskWaker>) {
        if let Some((waker, wake)) = self.spare_wakers.borrow_mut().pop() {
            wake.rename(key);
            return (waker, wake);
        }
        let wake = Arc::new(TaskWaker::new(key, self.inbox.clone()));
        (Waker::from(wake.clone()), wake)
    }

    /// Another thread woke the task.
    pub(crate) fn wake_from_inbox(&self, key: Key) {
        if let Some(task) = self.slots.borrow().value(key) {
            task.wake.left_inbox();
            task.wake.wake_in(&self.ready);
        }
    }

    /// Makes the task ready, whatever it waits for.
    pub(crate) fn wake(&self, key: Key) {
        if let Some(task) = self.slots.borrow().value(key).filter(|task| !task.finished) {
            task.wake.wake_in(&self.ready);
        }
    }

    /// Takes from the ready queue the task that became ready first, and out of the table what is
    /// to be polled. Nothing if that task has ended meanwhile.
    pub(crate) fn begin(&self, now: Tick) -> Option<(Key, Turn)> {
        let key = self.ready.pop()?;
        let mut slots = self.slots.borrow_mut();
        let task = slots.value_mut(key)?;
        task.wake.left_queue();
        if task.finished {
            return None;
        }
        let coroutine = task.coroutine.take()?;
        if task.aborted {
            return Some((key, Turn::Cancel(coroutine)));
        }
        task.polls = task.polls.saturating_add(1);
        task.polled = now;
        Some((key, Turn::Poll(coroutine, task.waker.take()?, task.label)))
    }

    /// Polls what [`Tasks::begin`] gave, with the task as the current one.
    /// A panic goes through to the caller.
    pub(crate) fn poll(
        &self,
        key: Key,
        coroutine: &mut Pin<Box<dyn Coroutine>>,
        waker: &Waker,
    ) -> Poll<()> {
        let _current = Current::enter(&self.current, key);
        coroutine.as_mut().poll(&mut Context::from_waker(waker))
    }

    /// Runs `f` with the task as the current one: for the destructors of its future.
    pub(crate) fn as_current<R>(&self, key: Key, f: impl FnOnce() -> R) -> R {
        let _current = Current::enter(&self.current, key);
        f()
    }

    /// Puts back a task that waits.
    pub(crate) fn suspend(&self, key: Key, coroutine: Pin<Box<dyn Coroutine>>, waker: Waker) {
        let mut slots = self.slots.borrow_mut();
        let task = slots.value_mut(key).expect("a task that was polled is in the table");
        task.coroutine = Some(coroutine);
        task.waker = Some(waker);
        if task.aborted {
            task.wake.wake_in(&self.ready);
        }
    }

    /// Puts back a task that has an outcome, for its handle; wakes who awaits it. `waker` is the
    /// one that [`Tasks::begin`] gave, if it was polled and is to be used again.
    /// Returns what is left if nobody has the handle.
    pub(crate) fn finish(
        &self,
        key: Key,
        coroutine: Pin<Box<dyn Coroutine>>,
        waker: Option<Waker>,
    ) -> Remains {
        self.unfinished.update(|n| n - 1);
        let mut slots = self.slots.borrow_mut();
        let task = slots.value_mut(key).expect("a task that was polled is in the table");
        task.finished = true;
        task.coroutine = Some(coroutine);
        task.waker = waker.or(task.waker.take());
        if task.detached {
            let task = slots.remove(key);
            drop(slots);
            return self.recycle(task?);
        }
        let joiner = task.joiner.take();
        drop(slots);
        if let Some(joiner) = joiner {
            joiner.wake();
        }
        None
    }

    fn recycle(&self, task: Task) -> Remains {
        let mut spare = self.spare_wakers.borrow_mut();
        if let Some(waker) = task.waker
            && spare.len() < SPARE_WAKERS_MAX
            && task.wake.is_unshared()
        {
            spare.push((waker, task.wake));
        }
        task.coroutine
    }

    /// Moves the outcome into `place` and vacates the slot, if the task has finished; otherwise
    /// `waker` is woken when it has. Pending too for a task that is not in the table.
    pub(crate) fn poll_outcome(
        &self,
        key: Key,
        waker: &Waker,
        place: &mut dyn std::any::Any,
    ) -> Poll<()> {
        let mut slots = self.slots.borrow_mut();
        let Some(task) = slots.value_mut(key) else { return Poll::Pending };
        if !task.finished {
            let before = match &mut task.joiner {
                Some(joiner) if joiner.will_wake(waker) => None,
                joiner => joiner.replace(waker.clone()),
            };
            drop(slots);
            drop(before);
            return Poll::Pending;
        }
        let task = slots.remove(key);
        drop(slots);
        if let Some(mut coroutine) = task.and_then(|task| self.recycle(task)) {
            coroutine.as_mut().take_outcome(place);
        }
        Poll::Ready(())
    }

    /// The handle goes. Returns what is left of a task that had finished before.
    pub(crate) fn detach(&self, key: Key) -> Remains {
        let mut slots = self.slots.borrow_mut();
        let task = slots.value_mut(key)?;
        task.detached = true;
        let joiner = task.joiner.take();
        let ended = if task.finished { slots.remove(key) } else { None };
        drop(slots);
        drop(joiner);
        ended.and_then(|task| self.recycle(task))
    }

    /// Marks the task to be cancelled where it would be polled next.
    pub(crate) fn abort(&self, key: Key) {
        let mut slots = self.slots.borrow_mut();
        if let Some(task) = slots.value_mut(key).filter(|task| !task.finished) {
            task.aborted = true;
            // While it is polled, `suspend` queues it.
            if task.coroutine.is_some() {
                task.wake.wake_in(&self.ready);
            }
        }
    }

    /// Takes out a task to cancel it now, unless it has finished or is being polled.
    pub(crate) fn seize(&self, key: Key) -> Option<Pin<Box<dyn Coroutine>>> {
        let mut slots = self.slots.borrow_mut();
        let task = slots.value_mut(key).filter(|task| !task.finished)?;
        task.aborted = true;
        task.coroutine.take()
    }

    pub(crate) fn is_finished(&self, key: Key) -> bool {
        self.slots.borrow().value(key).is_none_or(|task| task.finished)
    }

    /// The keys of all tasks that have not finished and are not being polled.
    pub(crate) fn waiting_keys(&self) -> Vec<Key> {
        let slots = self.slots.borrow();
        let waiting = slots.iter().filter(|(_, task)| !task.finished && task.coroutine.is_some());
        waiting.map(|(key, _)| key).collect()
    }

    pub(crate) fn label(&self, key: Key) -> Option<TaskLabel> {
        self.slots.borrow().value(key).map(|task| task.label(key))
    }

    pub(crate) fn info(&self, key: Key, clock: &Clock) -> Option<TaskInfo> {
        self.slots.borrow().value(key).map(|task| task.info(key, clock))
    }

    pub(crate) fn infos(&self, clock: &Clock) -> Vec<TaskInfo> {
        let slots = self.slots.borrow();
        slots.iter().map(|(key, task)| task.info(key, clock)).collect()
    }
}

impl Task {
    fn label(&self, key: Key) -> TaskLabel {
        TaskLabel { id: key.into(), name: self.origin.name.clone(), site: self.origin.site }
    }

    fn info(&self, key: Key, clock: &Clock) -> TaskInfo {
        let since = |tick: Tick| std::time::Duration::from_nanos(clock.now().saturating_sub(tick));
        TaskInfo {
            label: self.label(key),
            parent: self.parent.map(TaskId::from),
            state: self.state(),
            age: since(self.spawned),
            since_poll: (self.polls > 0).then(|| since(self.polled)),
            polls: self.polls,
        }
    }

    fn state(&self) -> TaskState {
        if self.finished {
            TaskState::Finished
        } else if self.coroutine.is_none() {
            TaskState::Polling
        } else if self.wake.is_queued() {
            TaskState::Ready
        } else {
            TaskState::Waiting
        }
    }
}

/// Names a task as the current one until dropped, also when a panic goes through.
struct Current<'a> {
    place: &'a Cell<Option<Key>>,
    before: Option<Key>,
}

impl<'a> Current<'a> {
    fn enter(place: &'a Cell<Option<Key>>, key: Key) -> Self {
        let before = place.replace(Some(key));
        Self { place, before }
    }
}

impl Drop for Current<'_> {
    fn drop(&mut self) {
        self.place.set(self.before);
    }
}

#[cfg(test)]
mod tests {
    use std::mem::size_of;

    use super::*;

    /// What each task holds beside its future. Bounds, to be lowered with what they hold: whoever
    /// raises one says in the commit what is bought with it.
    #[test]
    fn tasks_stay_small() {
        let sizes = [
            ("Task", size_of::<Task>(), 128),
            ("TaskWaker", size_of::<TaskWaker>(), 32),
            ("Turn", size_of::<Turn>(), 40),
        ];
        for (name, bytes, most) in sizes {
            println!("{name}: {bytes} bytes of {most}");
            assert!(bytes <= most, "{name} has {bytes} bytes, {most} are allowed");
        }
    }
}
