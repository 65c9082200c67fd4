//! The tasks of one loop, and their states:
//!
//! ```text
//!             add
//!              │
//!              ▼    take_ready             finish
//!   ┌──────► Ready ─────────► Polling ─────────────► Finished ───► (slot vacated)
//!   │ wake                       │                       when the outcome is taken,
//!   └─────── Waiting ◄───────────┘                       or the handle is dropped
//!                      suspend
//! ```
//!
//! A Ready task is in the ready queue. A Waiting task can be made ready only through its waker, by
//! `wake` or by `abort`. A task that is woken while it is Polling is already in the queue when it
//! suspends. An aborted task is made Ready, and its future is dropped instead of polled.
//!
//! No user code runs while the table is borrowed: futures are taken out to be polled, and what is
//! to be dropped is returned to the caller.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use crate::budget;
use crate::executor::clock::{Clock, Tick};
use crate::executor::coroutine::BoxCoroutine;
use crate::executor::slots::{Key, Slots};
use crate::executor::waker::{LoopInbox, ReadyQueue, TaskWaker};
use crate::observe::info::{TaskId, TaskInfo, TaskLabel, TaskState};
use crate::observe::labels::LabelId;
use crate::sync::{poll_and_register, register};

pub(crate) struct Tasks {
    slots: RefCell<Slots<Task>>,
    ready: Rc<ReadyQueue>,
    inbox: Arc<LoopInbox>,
    /// The task that is being polled.
    current: Cell<Option<Key>>,
    /// Wakers of finished tasks that have no clones, to be used again.
    spare_wakers: RefCell<Vec<(Waker, Arc<TaskWaker>)>>,
    unfinished: Cell<usize>,
    /// The loop publishes labels of its tasks, because it is watched for stalls.
    is_labelled: bool,
}

/// The number of wakers that are kept for later tasks. They take at most about 200 KB, less than
/// the slots of as many tasks, which are kept too.
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

/// A task's name, and where it was spawned.
pub(crate) struct Origin {
    pub(crate) name: Option<Cow<'static, str>>,
    pub(crate) site: &'static Location<'static>,
}

struct Task {
    /// The future, or its outcome. Absent while it is polled.
    coroutine: Option<BoxCoroutine>,
    /// `wake` as a `Waker`. Absent while the task is polled.
    waker: Option<Waker>,
    wake: Arc<TaskWaker>,
    /// Wakes the task that awaits the handle.
    joiner: Option<Waker>,
    origin: Origin,
    parent: Option<Key>,
    spawned: Tick,
    polled: Tick,
    polls: u32,
    /// Published while the task is polled.
    label: LabelId,
    /// The task has an outcome and is not polled again.
    finished: bool,
    /// The handle was dropped.
    detached: bool,
    /// The task is to be cancelled where it would be polled next.
    aborted: bool,
}

/// What the caller of [`Tasks::take_ready`] must do with the task.
pub(crate) enum ReadyTask {
    Poll(BoxCoroutine, Waker, LabelId),
    Cancel(BoxCoroutine),
}

/// What the caller of [`Tasks::finish`] must do: these run code of users.
pub(crate) enum Finished {
    /// Drop the outcome, because no code awaits it.
    Detached(BoxCoroutine),
    /// Wake the task that awaits the outcome.
    Kept(Option<Waker>),
}

impl Tasks {
    pub(crate) fn new(ready: Rc<ReadyQueue>, inbox: Arc<LoopInbox>, is_labelled: bool) -> Self {
        Self {
            slots: RefCell::new(Slots::new()),
            ready,
            inbox,
            current: Cell::new(None),
            spare_wakers: RefCell::new(Vec::new()),
            unfinished: Cell::new(0),
            is_labelled,
        }
    }

    /// Returns the number of tasks that have not finished.
    pub(crate) fn unfinished(&self) -> usize {
        self.unfinished.get()
    }

    /// Returns the task that is being polled.
    pub(crate) fn current(&self) -> Option<Key> {
        self.current.get()
    }

    /// Adds a task, ready to run.
    pub(crate) fn add(&self, coroutine: BoxCoroutine, origin: Origin, now: Tick) -> Key {
        let parent = self.current.get();
        let label = match self.is_labelled {
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
            wake.reuse_for(key);
            return (waker, wake);
        }
        let wake = Arc::new(TaskWaker::new(key, self.inbox.clone()));
        (Waker::from(wake.clone()), wake)
    }

    /// Makes the task ready after its wake was taken from the inbox.
    pub(crate) fn wake_from_inbox(&self, key: Key) {
        if let Some(task) = self.slots.borrow().get(key) {
            task.wake.clear_in_inbox();
            task.wake.wake_in(&self.ready);
        }
    }

    /// Makes the task ready, whatever it waits for.
    pub(crate) fn wake(&self, key: Key) {
        if let Some(task) = self.slots.borrow().get(key).filter(|task| !task.finished) {
            task.wake.wake_in(&self.ready);
        }
    }

    /// Takes the task at the head of the ready queue, and its future out of the table. Returns
    /// `None` if the task has finished meanwhile.
    pub(crate) fn take_ready(&self, now: Tick) -> Option<(Key, ReadyTask)> {
        let key = self.ready.pop()?;
        let mut slots = self.slots.borrow_mut();
        let task = slots.get_mut(key)?;
        task.wake.clear_queued();
        if task.finished {
            return None;
        }
        let coroutine = task.coroutine.take()?;
        if task.aborted {
            return Some((key, ReadyTask::Cancel(coroutine)));
        }
        task.polls = task.polls.saturating_add(1);
        task.polled = now;
        Some((key, ReadyTask::Poll(coroutine, task.waker.take()?, task.label)))
    }

    /// Polls the future that [`Tasks::take_ready`] returned, with the task as the current one and
    /// with a whole budget.
    /// A panic is passed on to the caller.
    pub(crate) fn poll(&self, key: Key, coroutine: &mut BoxCoroutine, waker: &Waker) -> Poll<()> {
        // Polls do not nest, so there is no other task to go back to.
        self.current.set(Some(key));
        let _current = Current { current: &self.current, previous: None };
        let _limit = budget::begin_poll();
        coroutine.as_mut().poll(&mut Context::from_waker(waker))
    }

    /// Calls `f`, which runs the destructors of the task's future, with the task as the current
    /// one.
    pub(crate) fn with_current<R>(&self, key: Key, f: impl FnOnce() -> R) -> R {
        let _current = Current::enter(&self.current, key);
        f()
    }

    /// Puts back the future of a task that is pending.
    pub(crate) fn suspend(&self, key: Key, coroutine: BoxCoroutine, waker: Waker) {
        let mut slots = self.slots.borrow_mut();
        let task = slots.get_mut(key).expect("a task that was polled is in the table");
        task.coroutine = Some(coroutine);
        task.waker = Some(waker);
        if task.aborted {
            task.wake.wake_in(&self.ready);
        }
    }

    /// Puts back a task that has an outcome. `waker` is the one that [`Tasks::take_ready`]
    /// returned, if it can be used again.
    ///
    /// Returns what the caller must do then.
    pub(crate) fn finish(
        &self,
        key: Key,
        coroutine: BoxCoroutine,
        waker: Option<Waker>,
    ) -> Finished {
        self.unfinished.update(|n| n - 1);
        let mut slots = self.slots.borrow_mut();
        let task = slots.get_mut(key).expect("a task that was polled is in the table");
        task.finished = true;
        if !task.detached {
            task.coroutine = Some(coroutine);
            task.waker = waker.or(task.waker.take());
            return Finished::Kept(task.joiner.take());
        }
        let waker = waker.or(task.waker.take());
        let task = slots.remove(key);
        drop(slots);
        if let Some(task) = task {
            self.recycle(waker, task.wake);
        }
        Finished::Detached(coroutine)
    }

    /// Keeps the waker of a task that left the table, if it has no clones.
    fn recycle(&self, waker: Option<Waker>, wake: Arc<TaskWaker>) {
        let mut spare = self.spare_wakers.borrow_mut();
        if let Some(waker) = waker
            && spare.len() < SPARE_WAKERS_MAX
            && wake.is_unshared()
        {
            spare.push((waker, wake));
        }
    }

    /// Moves the outcome into `place` and vacates the slot if the task has finished. Otherwise
    /// registers `waker` to be woken when it does.
    pub(crate) fn poll_outcome(
        &self,
        key: Key,
        waker: &Waker,
        place: &mut dyn std::any::Any,
    ) -> Poll<()> {
        let poll = |place: &mut Option<Waker>| {
            let mut slots = self.slots.borrow_mut();
            match slots.get_mut(key).filter(|task| !task.finished) {
                None => Some(Poll::Ready(())),
                Some(task) => register(&mut task.joiner, waker, place),
            }
        };
        ready!(poll_and_register(waker, poll));
        if let Some(mut coroutine) = self.remove_finished(key) {
            coroutine.as_mut().take_outcome(place);
        }
        Poll::Ready(())
    }

    /// Vacates the slot of a task that has finished, and returns its outcome.
    fn remove_finished(&self, key: Key) -> Option<BoxCoroutine> {
        // What is not needed is dropped after the borrow has ended.
        let task = self.slots.borrow_mut().remove(key)?;
        self.recycle(task.waker, task.wake);
        task.coroutine
    }

    /// Records that the handle was dropped. If the task has finished, vacates its slot and returns
    /// the outcome for the caller to drop.
    pub(crate) fn detach(&self, key: Key) -> Option<BoxCoroutine> {
        let mut slots = self.slots.borrow_mut();
        let task = slots.get_mut(key)?;
        task.detached = true;
        let is_finished = task.finished;
        let joiner = task.joiner.take();
        drop(slots);
        drop(joiner);
        if is_finished { self.remove_finished(key) } else { None }
    }

    /// Marks the task to be cancelled where it would be polled next.
    pub(crate) fn abort(&self, key: Key) {
        let mut slots = self.slots.borrow_mut();
        if let Some(task) = slots.get_mut(key).filter(|task| !task.finished) {
            task.aborted = true;
            // While the task is polled, `suspend` queues it.
            if task.coroutine.is_some() {
                task.wake.wake_in(&self.ready);
            }
        }
    }

    /// Takes the future of a task out of the table, to cancel it now. If the task is being polled,
    /// marks it to be cancelled afterwards and returns `None`.
    pub(crate) fn take_for_cancel(&self, key: Key) -> Option<BoxCoroutine> {
        let mut slots = self.slots.borrow_mut();
        let task = slots.get_mut(key).filter(|task| !task.finished)?;
        task.aborted = true;
        task.coroutine.take()
    }

    /// Gives the task the parent of the current one.
    pub(crate) fn inherit_parent(&self, key: Key) {
        let mut slots = self.slots.borrow_mut();
        let current = self.current().and_then(|current| slots.get(current));
        let parent = current.and_then(|current| current.parent);
        if let Some(task) = slots.get_mut(key) {
            task.parent = parent;
        }
    }

    pub(crate) fn is_finished(&self, key: Key) -> bool {
        self.slots.borrow().get(key).is_none_or(|task| task.finished)
    }

    /// Returns `true` if the task waits for a poll, and was not cancelled.
    pub(crate) fn is_pending(&self, key: Key) -> bool {
        let slots = self.slots.borrow();
        let is_pending = |task: &Task| !task.finished && !task.aborted && task.coroutine.is_some();
        slots.get(key).is_some_and(is_pending)
    }

    /// Returns the keys of all tasks that have not finished and are not being polled.
    pub(crate) fn waiting_keys(&self) -> Vec<Key> {
        let slots = self.slots.borrow();
        let waiting = slots.iter().filter(|(_, task)| !task.finished && task.coroutine.is_some());
        waiting.map(|(key, _)| key).collect()
    }

    pub(crate) fn label(&self, key: Key) -> Option<TaskLabel> {
        self.slots.borrow().get(key).map(|task| task.label(key))
    }

    pub(crate) fn info(&self, key: Key, clock: &Clock) -> Option<TaskInfo> {
        self.slots.borrow().get(key).map(|task| task.info(key, clock))
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

/// Makes a task the current one until it is dropped, also by a panic.
struct Current<'a> {
    current: &'a Cell<Option<Key>>,
    previous: Option<Key>,
}

impl<'a> Current<'a> {
    fn enter(current: &'a Cell<Option<Key>>, key: Key) -> Self {
        let previous = current.replace(Some(key));
        Self { current, previous }
    }
}

impl Drop for Current<'_> {
    fn drop(&mut self) {
        self.current.set(self.previous);
    }
}

#[cfg(all(test, not(brigade_loom)))]
mod tests {
    use std::mem::size_of;

    use super::*;
    use crate::executor::coroutine::Stage;
    use crate::executor::inbox::Inbox;
    use crate::executor::selector::Selector;

    #[test]
    fn the_wakers_of_finished_tasks_are_kept_up_to_a_limit() {
        let inbox = Arc::new(Inbox::new(Selector::new().unwrap().1));
        let tasks = Tasks::new(ReadyQueue::new(inbox.clone()), inbox, false);
        let add = |_: usize| {
            let origin = Origin { name: None, site: Location::caller() };
            let coroutine = Box::pin(Stage::Running { future: async {} });
            let key = tasks.add(coroutine, origin, 0);
            assert!(tasks.detach(key).is_none());
            key
        };
        let keys: Vec<_> = (0..SPARE_WAKERS_MAX + 2).map(add).collect();
        let end = |key| {
            let coroutine = tasks.take_for_cancel(key).unwrap();
            assert!(matches!(tasks.finish(key, coroutine, None), Finished::Detached(_)));
            tasks.spare_wakers.borrow().len()
        };
        let kept: Vec<_> = keys.into_iter().map(end).collect();
        assert_eq!(kept[..2], [1, 2]);
        assert_eq!(kept[SPARE_WAKERS_MAX - 1..], [SPARE_WAKERS_MAX; 3]);
        add(0);
        assert_eq!(tasks.spare_wakers.borrow().len(), SPARE_WAKERS_MAX - 1);
    }

    /// What each task takes beside its future. A commit that raises a limit must say what for.
    #[test]
    fn what_a_task_takes_beside_its_future_stays_within_its_limits() {
        let sizes = [
            ("Task", size_of::<Task>(), 128),
            ("TaskWaker", size_of::<TaskWaker>(), 32),
            ("ReadyTask", size_of::<ReadyTask>(), 40),
        ];
        for (name, bytes, limit) in sizes {
            println!("{name}: {bytes} bytes, limit {limit}");
            assert!(bytes <= limit, "{name} takes {bytes} bytes, its limit is {limit}");
        }
    }
}
