//! The state of one loop, and how code on its thread finds it.
//!
//! Everything that a task may ask of its loop is here: to poll and to cancel tasks, to wait for
//! I/O and for time. The order in which a turn does these things is in `event_loop`.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::executor::clock::{Clock, Tick};
use crate::executor::coroutine::Coroutine;
use crate::executor::join_error::JoinError;
use crate::executor::selector::Selector;
use crate::executor::slots::Key;
use crate::executor::table::{Origin, Remains, Tasks, Turn};
use crate::executor::timers::Timers;
use crate::executor::waker::{LoopInbox, ReadyQueue};
use crate::observe::labels::LabelId;
use crate::observe::panic::panic_message;
use crate::observe::poll_times::is_sampled;
use crate::observe::shared::Shared;
use crate::observe::unhandled::Unhandled;
use crate::observe::vitals::Load;

thread_local! {
    static LOOP: RefCell<Option<Rc<Core>>> = const { RefCell::new(None) };
}

/// The state of one loop.
pub(crate) struct Core {
    pub(crate) tasks: Tasks,
    pub(crate) ready: Rc<ReadyQueue>,
    pub(crate) timers: RefCell<Timers>,
    pub(crate) selector: Selector,
    pub(crate) inbox: Arc<LoopInbox>,
    pub(crate) clock: Clock,
    pub(crate) settings: Settings,
    /// What other threads may know of the loop.
    pub(crate) shared: Arc<Shared>,
    /// The task that `run_until_complete` waits for.
    pub(crate) main: Cell<Option<Key>>,
    /// The loop is to return from `run` at the end of this turn.
    pub(crate) stopping: Cell<bool>,
    /// The loop has ended: nothing is spawned any more.
    ended: Cell<bool>,
    /// Work for this loop that is under way on other threads: a manual clock waits for it.
    pub(crate) elsewhere: Cell<usize>,
    /// How often a loop with a manual clock has asked its selector in vain.
    pub(crate) idle_looks: Cell<u32>,
    /// When the selector was asked last.
    pub(crate) looks: Looks,
    /// What went wrong since it was last told.
    unhandled: RefCell<Vec<Unhandled>>,
}

/// When the selector was asked last, by the loop's clock.
#[derive(Default)]
pub(crate) struct Looks {
    /// When it had answered the time before.
    ended_before: Cell<Tick>,
    /// When it was asked.
    began: Cell<Tick>,
    /// When it had answered.
    ended: Cell<Tick>,
}

impl Looks {
    /// It is asked now. Returns how long the loop has been away from it.
    pub(crate) fn begin(&self, now: Tick) -> Tick {
        let before = self.ended.get();
        self.ended_before.set(before);
        self.began.set(now);
        now - before
    }

    /// It has answered.
    pub(crate) fn end(&self, now: Tick) {
        self.ended.set(now);
    }

    /// Since when what it told may have been so: since it answered the time before, unless it
    /// waited now for longer than the loop had been away from it.
    pub(crate) fn told_since(&self) -> Tick {
        let (before, began, ended) = (self.ended_before.get(), self.began.get(), self.ended.get());
        if ended - began > began - before { ended } else { before }
    }
}

/// What the builder was told.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) debug: bool,
    pub(crate) slow_poll_threshold: Duration,
}

impl Core {
    /// The loop of this thread, if it has one.
    pub(crate) fn try_current() -> Option<Rc<Self>> {
        LOOP.try_with(|core| core.borrow().clone()).ok().flatten()
    }

    /// Calls `f` with the loop of this thread, if it has one.
    pub(crate) fn with_current<R>(f: impl FnOnce(&Self) -> R) -> Option<R> {
        LOOP.try_with(|core| core.borrow().as_deref().map(f)).ok().flatten()
    }

    /// The loop of this thread.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub(crate) fn current() -> Rc<Self> {
        match Self::try_current() {
            Some(core) => core,
            None => panic!(
                "there is no event loop on this thread: call this within `brigade::run`, \
                 or on the thread that made the `EventLoop`"
            ),
        }
    }

    pub(crate) fn new(
        selector: Selector,
        inbox: Arc<LoopInbox>,
        clock: Clock,
        settings: Settings,
        shared: Shared,
    ) -> Rc<Self> {
        let ready = ReadyQueue::new(inbox.clone());
        Rc::new(Self {
            tasks: Tasks::new(ready.clone(), inbox.clone(), shared.stall_threshold.is_some()),
            ready,
            timers: RefCell::new(Timers::new()),
            selector,
            inbox,
            clock,
            settings,
            shared: Arc::new(shared),
            main: Cell::new(None),
            stopping: Cell::new(false),
            ended: Cell::new(false),
            elsewhere: Cell::new(0),
            idle_looks: Cell::new(0),
            looks: Looks::default(),
            unhandled: RefCell::new(Vec::new()),
        })
    }

    /// Returns what other threads may know of the loop.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Makes this the loop of this thread.
    pub(crate) fn install(self: &Rc<Self>) {
        LOOP.set(Some(self.clone()));
        ReadyQueue::install(Some(self.ready.clone()));
    }

    /// Adds a task. On a loop that has ended the task fails at once.
    pub(crate) fn spawn(&self, coroutine: Pin<Box<dyn Coroutine>>, origin: Origin) -> Key {
        let key = self.tasks.add(coroutine, origin, self.clock.last_read());
        if self.ended.get() {
            self.end_task(key);
        }
        key
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.get()
    }

    /// Publishes that the loop turns, and how much it has to do.
    pub(crate) fn begin_turn(&self) {
        self.shared.vitals.begin_turn(Load {
            ready: self.ready.len(),
            timers: self.timers.borrow().len(),
            tasks: self.tasks.unfinished(),
        });
    }

    /// Publishes which task is polled. Returns how many polls there were before.
    fn begin_poll(&self, key: Key, label: LabelId) -> u64 {
        if label.has_own_name()
            && let Some(task) = self.tasks.label(key)
        {
            self.shared.publish_name(task.name().unwrap_or_default());
        }
        self.shared.vitals.begin_poll(key.into(), label)
    }

    /// Runs the task that became ready first to its next await.
    pub(crate) fn run_one(&self) {
        match self.tasks.begin(self.clock.last_read()) {
            None => {}
            Some((key, Turn::Cancel(coroutine))) => self.cancel(key, coroutine),
            Some((key, Turn::Poll(mut coroutine, waker, label))) => {
                let nth = self.begin_poll(key, label);
                let is_timed = is_sampled(nth) || self.settings.debug;
                let began = is_timed.then(Instant::now);
                let poll = || self.tasks.poll(key, &mut coroutine, &waker);
                let polled = catch_unwind(AssertUnwindSafe(poll));
                if let Some(began) = began {
                    self.note_duration(key, began.elapsed());
                }
                match polled {
                    Ok(poll) if poll.is_pending() => self.tasks.suspend(key, coroutine, waker),
                    Ok(_) => self.finish(key, coroutine, Some(waker)),
                    Err(payload) => {
                        drop(waker);
                        let task = self.tasks.label(key).expect("it was just polled");
                        self.fail(key, coroutine, JoinError::panicked(payload, task));
                    }
                }
            }
        }
    }

    #[cold]
    fn note_duration(&self, key: Key, took: Duration) {
        self.shared.poll_times.count(took);
        if self.settings.debug
            && took >= self.settings.slow_poll_threshold
            && let Some(task) = self.tasks.label(key)
        {
            self.report(Unhandled::SlowPoll { task, took });
        }
    }

    /// Cancels the task now, with all destructors run when this returns, unless it has finished
    /// or is being polled: then it is cancelled where it awaits next.
    pub(crate) fn cancel_now(&self, key: Key) {
        if let Some(coroutine) = self.tasks.seize(key) {
            self.cancel(key, coroutine);
        }
    }

    fn cancel(&self, key: Key, coroutine: Pin<Box<dyn Coroutine>>) {
        let task = self.tasks.label(key).expect("it was just taken from the table");
        self.fail(key, coroutine, JoinError::cancelled(task));
    }

    fn fail(&self, key: Key, mut coroutine: Pin<Box<dyn Coroutine>>, error: JoinError) {
        self.guarded(|| self.tasks.as_current(key, || coroutine.as_mut().fail(error)));
        self.finish(key, coroutine, None);
    }

    fn finish(&self, key: Key, coroutine: Pin<Box<dyn Coroutine>>, waker: Option<Waker>) {
        if self.main.get() == Some(key) {
            self.main.set(None);
            self.stopping.set(true);
        }
        let remains = self.tasks.finish(key, coroutine, waker);
        self.bury(remains);
    }

    /// The handle of the task goes.
    pub(crate) fn detach(&self, key: Key) {
        let remains = self.tasks.detach(key);
        self.bury(remains);
    }

    /// Drops what is left of a task, and reports its panic, which nobody will see now.
    fn bury(&self, remains: Remains) {
        let Some(coroutine) = remains else { return };
        if let Some(error) = coroutine.panic() {
            self.report(Unhandled::panic(error));
        }
        self.guarded(|| drop(coroutine));
    }

    /// Runs code of a user that must not end the loop by a panic.
    pub(crate) fn guarded(&self, f: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
            let message = panic_message(&*payload).to_owned();
            self.report(Unhandled::CallbackPanic { message });
        }
    }

    /// Has `unhandled` told at the end of the turn, or now if the loop turns no more.
    pub(crate) fn report(&self, unhandled: Unhandled) {
        self.unhandled.borrow_mut().push(unhandled);
        if self.ended.get() {
            self.report_unhandled();
        }
    }

    /// Whether something went wrong that was not told yet.
    pub(crate) fn has_unhandled(&self) -> bool {
        !self.unhandled.borrow().is_empty()
    }

    /// Tells what went wrong since the last time. Returns how much it was.
    pub(crate) fn report_unhandled(&self) -> usize {
        if !self.has_unhandled() {
            return 0;
        }
        let unhandled = self.unhandled.take();
        unhandled.iter().for_each(|one| self.shared.report(one));
        unhandled.len()
    }

    /// Ends the loop: what is pending is dropped, what comes later fails.
    pub(crate) fn end(&self) {
        self.ended.set(true);
        self.shared.vitals.end();
        self.inbox.close();
        // A destructor may have put back what it found, so once is not always enough.
        loop {
            let keys = self.tasks.waiting_keys();
            if keys.is_empty() {
                break;
            }
            keys.into_iter().for_each(|key| self.end_task(key));
        }
        while self.ready.pop().is_some() {}
        self.report_unhandled();
        LOOP.set(None);
        ReadyQueue::install(None);
    }

    fn end_task(&self, key: Key) {
        if self.settings.debug
            && let Some(task) = self.tasks.info(key, &self.clock)
        {
            self.report(Unhandled::DroppedPending { task });
        }
        if let Some(coroutine) = self.tasks.seize(key) {
            let error = JoinError::loop_ended(self.tasks.label(key));
            self.fail(key, coroutine, error);
        }
    }
}

impl Unhandled {
    /// `error` is that a task panicked.
    pub(crate) fn panic(error: &JoinError) -> Self {
        match error.task() {
            Some(task) => Self::Panic { task: task.clone(), message: error.panic_text() },
            None => Self::CallbackPanic { message: error.panic_text() },
        }
    }
}
