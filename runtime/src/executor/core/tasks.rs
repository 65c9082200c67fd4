//! The tasks of a loop: spawn, poll, cancel, end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::Core;
use crate::executor::coroutine::{BoxCoroutine, Stage};
use crate::executor::join_error::JoinError;
use crate::executor::slots::Key;
use crate::executor::table::{Finished, Origin, ReadyTask};
use crate::observe::info::{TaskInfo, TaskLabel};
use crate::observe::labels::LabelId;
use crate::observe::nesting::nested;
use crate::observe::poll_times::is_sampled;
use crate::observe::unhandled::Unhandled;

/// # Spawning and awaiting
impl Core {
    /// Spawns `future` as a task, ready to run. On a loop that has ended the task fails at once.
    ///
    /// The outcome is kept until [`Core::poll_outcome`] takes it or [`Core::detach`] gives it up.
    pub(crate) fn spawn<F>(self: &Rc<Self>, future: F, origin: Origin) -> Key
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.add_task(Box::pin(Stage::Running { future }), origin)
    }

    fn add_task(self: &Rc<Self>, coroutine: BoxCoroutine, origin: Origin) -> Key {
        let key = self.tasks.add(coroutine, origin, self.clock.last_read());
        if self.is_ending() {
            self.end_task(key);
        }
        key
    }

    /// Takes the outcome of a task whose future returns `T` and frees its slot, once it has
    /// finished. Until then `waker` is woken when it does.
    pub(crate) fn poll_outcome<T: 'static>(
        &self,
        key: Key,
        waker: &Waker,
    ) -> Poll<Result<T, JoinError>> {
        let mut outcome: Option<Result<T, JoinError>> = None;
        match self.tasks.poll_outcome(key, waker, &mut outcome) {
            Poll::Ready(()) => Poll::Ready(outcome.expect("a finished task has an outcome")),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Lets a task run on without a handle; its outcome is dropped, and a panic is reported.
    pub(crate) fn detach(self: &Rc<Self>, key: Key) {
        if let Some(coroutine) = self.tasks.detach(key) {
            self.discard(coroutine);
        }
    }
}

/// # Waking and cancelling
impl Core {
    /// Makes the task ready, whatever it waits for.
    pub(crate) fn wake_task(&self, key: Key) {
        self.tasks.wake(key);
    }

    /// Gives the task the parent of the one that is being polled.
    pub(crate) fn inherit_parent(&self, key: Key) {
        self.tasks.inherit_parent(key);
    }

    /// Cancels the task where it would be polled next.
    pub(crate) fn abort(&self, key: Key) {
        self.tasks.abort(key);
    }

    /// Cancels the task and runs its destructors before this returns. A task that is being polled
    /// is cancelled at its next await instead, and one that has finished is left alone. If many
    /// cancellations are nested, the destructors run before the outermost of them returns.
    pub(crate) fn cancel_now(self: &Rc<Self>, key: Key) {
        if let Some(coroutine) = self.tasks.take_for_cancel(key) {
            self.cancel(key, coroutine);
        }
    }
}

/// # Information
impl Core {
    /// Returns the task that is being polled.
    pub(crate) fn current_task(&self) -> Option<Key> {
        self.tasks.current()
    }

    pub(crate) fn task_label(&self, key: Key) -> Option<TaskLabel> {
        self.tasks.label(key)
    }

    pub(crate) fn task_info(&self, key: Key) -> Option<TaskInfo> {
        self.tasks.info(key, &self.clock)
    }

    pub(crate) fn task_infos(&self) -> Vec<TaskInfo> {
        self.tasks.infos(&self.clock)
    }

    /// Returns `true` if the task has an outcome, or is no longer in the table.
    pub(crate) fn is_finished(&self, key: Key) -> bool {
        self.tasks.is_finished(key)
    }

    /// Returns the number of tasks that have not finished.
    pub(crate) fn unfinished_tasks(&self) -> usize {
        self.tasks.unfinished()
    }

    pub(crate) fn ready_tasks(&self) -> usize {
        self.ready.len()
    }
}

/// # Running
impl Core {
    /// Runs the task at the head of the ready queue to its next await.
    pub(super) fn run_next(self: &Rc<Self>) {
        match self.tasks.take_ready(self.clock.last_read()) {
            None => {}
            Some((key, ReadyTask::Cancel(coroutine))) => self.cancel(key, coroutine),
            Some((key, ReadyTask::Poll(mut coroutine, waker, label))) => {
                let nth = self.begin_poll(key, label);
                let is_timed = is_sampled(nth) || self.settings.debug;
                let began = is_timed.then(Instant::now);
                let poll = || self.tasks.poll(key, &mut coroutine, &waker);
                let polled = catch_unwind(AssertUnwindSafe(poll));
                if let Some(began) = began {
                    self.record_poll_time(key, began.elapsed());
                }
                match polled {
                    Ok(poll) if poll.is_pending() => self.tasks.suspend(key, coroutine, waker),
                    Ok(_) => self.finish(key, coroutine, Some(waker)),
                    Err(payload) => {
                        drop(waker);
                        let task = self.tasks.label(key).expect("it was just polled");
                        self.fail(key, coroutine, JoinError::panicked(payload, Some(task)));
                    }
                }
            }
        }
    }

    /// Publishes which task is polled. Returns the number of polls before this one.
    fn begin_poll(&self, key: Key, label: LabelId) -> u64 {
        if label.has_own_name()
            && let Some(task) = self.tasks.label(key)
        {
            self.shared.publish_name(task.name().unwrap_or_default());
        }
        self.shared.vitals.begin_poll(key.into(), label)
    }

    #[cold]
    fn record_poll_time(&self, key: Key, took: Duration) {
        self.shared.poll_times.count(took);
        if self.settings.debug
            && took >= self.settings.slow_poll_threshold
            && let Some(task) = self.tasks.label(key)
        {
            self.report(Unhandled::SlowPoll { task, took });
        }
    }
}

/// # Ending
impl Core {
    fn cancel(self: &Rc<Self>, key: Key, coroutine: BoxCoroutine) {
        let task = self.tasks.label(key).expect("it was just taken from the table");
        self.fail(key, coroutine, JoinError::cancelled(task));
    }

    /// Drops the future of a task, which may cancel other tasks in turn, and finishes the task.
    fn fail(self: &Rc<Self>, key: Key, mut coroutine: BoxCoroutine, error: JoinError) {
        let core = self.clone();
        nested(move || {
            core.catch_panic(|| core.tasks.with_current(key, || coroutine.as_mut().fail(error)));
            core.finish(key, coroutine, None);
        });
    }

    fn finish(self: &Rc<Self>, key: Key, coroutine: BoxCoroutine, waker: Option<Waker>) {
        if self.main.get() == Some(key) {
            self.main.set(None);
            self.stopping.set(true);
        }
        match self.tasks.finish(key, coroutine, waker) {
            Finished::Detached(outcome) => self.discard(outcome),
            Finished::Kept(Some(joiner)) => self.catch_panic(|| joiner.wake()),
            Finished::Kept(None) => {}
        }
    }

    /// Drops a finished task that has no handle, and reports its panic. Its output may own handles
    /// of other finished tasks.
    fn discard(self: &Rc<Self>, coroutine: BoxCoroutine) {
        if let Some(error) = coroutine.panic() {
            self.report(error.to_unhandled());
        }
        let core = self.clone();
        nested(move || core.catch_panic(|| drop(coroutine)));
    }

    /// Ends all tasks, because the loop ends.
    pub(super) fn end_tasks(self: &Rc<Self>) {
        // A destructor may spawn or wake, so one pass is not always enough.
        loop {
            let keys = self.tasks.waiting_keys();
            if keys.is_empty() {
                break;
            }
            for key in keys {
                // The destructors of the tasks before may have cancelled it.
                if !self.tasks.is_pending(key) {
                    self.cancel_now(key);
                    continue;
                }
                if self.settings.debug
                    && let Some(task) = self.task_info(key)
                {
                    self.report(Unhandled::DroppedPending { task });
                }
                self.end_task(key);
            }
        }
        while self.ready.pop().is_some() {}
    }

    fn end_task(self: &Rc<Self>, key: Key) {
        if let Some(coroutine) = self.tasks.take_for_cancel(key) {
            let error = JoinError::loop_ended(self.tasks.label(key));
            self.fail(key, coroutine, error);
        }
    }
}
