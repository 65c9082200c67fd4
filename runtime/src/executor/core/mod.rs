//! The state of one loop, and how code on its thread finds it.
//!
//! The fields are private to this folder. What tasks ask of their loop is in this file, grouped
//! by headings; how tasks are spawned, polled, cancelled and ended is in `tasks`; the steps of a
//! turn are in `turn`, and `EventLoop::turn` gives their order.

mod tasks;
mod turn;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::thread::AccessError;
use std::time::Instant;

use crate::executor::blocking_pool::BlockingPool;
use crate::executor::clock::{Clock, Tick};
use crate::executor::selector::Selector;
use crate::executor::selector_times::SelectorTimes;
use crate::executor::settings::Settings;
use crate::executor::slots::Key;
use crate::executor::table::Tasks;
use crate::executor::timers::Timers;
use crate::executor::waker::{LoopInbox, ReadyQueue};
use crate::observe::panic::catch_panic;
use crate::observe::shared::Shared;
use crate::observe::unhandled::Unhandled;

thread_local! {
    static LOOP: RefCell<Option<Rc<Core>>> = const { RefCell::new(None) };
}

/// The state of one loop.
pub(crate) struct Core {
    settings: Settings,
    /// What any thread can read of the loop.
    shared: Arc<Shared>,
    /// What other threads send to the loop.
    inbox: Arc<LoopInbox>,
    tasks: Tasks,
    ready: Rc<ReadyQueue>,
    clock: Clock,
    timers: RefCell<Timers>,
    selector: Selector,
    selector_times: SelectorTimes,
    /// How often in a row a loop with a manual clock has polled its selector with nothing to do.
    idle_selector_polls: Cell<u32>,
    /// How many pieces of work on other threads keep a manual clock from moving.
    auto_advance_inhibitors: Cell<usize>,
    /// The task whose end ends the run.
    main: Cell<Option<Key>>,
    /// The run ends with this turn.
    stopping: Cell<bool>,
    life: Cell<Life>,
    /// A turn or the end of the loop runs now, so blocking the thread would block the loop.
    busy: Cell<bool>,
    /// What is to be reported at the end of the turn.
    unhandled: RefCell<Vec<Unhandled>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    Running,
    /// The tasks are being dropped. Tasks that their destructors spawn fail at once.
    Ending,
    /// All tasks were dropped, and nothing of the loop becomes ready any more.
    Ended,
}

/// # The loop of this thread
impl Core {
    /// Returns the loop of this thread, if it has one.
    pub(crate) fn try_current() -> Option<Rc<Self>> {
        LOOP.try_with(|core| core.borrow().clone()).ok().flatten()
    }

    /// Calls `f` with the loop of this thread, if it has one.
    pub(crate) fn with_current<R>(f: impl FnOnce(&Self) -> R) -> Option<R> {
        LOOP.try_with(|core| core.borrow().as_deref().map(f)).ok().flatten()
    }

    /// Returns the loop of this thread.
    ///
    /// # Panics
    /// If there is no event loop on this thread.
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

    pub(super) fn new(
        selector: Selector,
        inbox: Arc<LoopInbox>,
        clock: Clock,
        settings: Settings,
        shared: Shared,
    ) -> Rc<Self> {
        let ready = ReadyQueue::new(inbox.clone());
        Rc::new(Self {
            settings,
            tasks: Tasks::new(ready.clone(), inbox.clone(), shared.stall_threshold.is_some()),
            shared: Arc::new(shared),
            inbox,
            ready,
            clock,
            timers: RefCell::new(Timers::new()),
            selector,
            selector_times: SelectorTimes::default(),
            idle_selector_polls: Cell::new(0),
            auto_advance_inhibitors: Cell::new(0),
            main: Cell::new(None),
            stopping: Cell::new(false),
            life: Cell::new(Life::Running),
            busy: Cell::new(false),
            unhandled: RefCell::new(Vec::new()),
        })
    }

    /// Makes this the loop of this thread.
    ///
    /// # Errors
    /// If the thread's locals are being destroyed.
    pub(super) fn install(self: &Rc<Self>) -> Result<(), AccessError> {
        LOOP.try_with(|core| core.replace(Some(self.clone())))?;
        ReadyQueue::install(Some(self.ready.clone()));
        Ok(())
    }

    /// Ends the loop: drops its pending tasks, and makes later ones fail. Does not panic, because
    /// a destructor calls it, perhaps while the thread's locals are destroyed.
    pub(super) fn end(self: &Rc<Self>) {
        self.life.set(Life::Ending);
        self.busy.set(true);
        self.shared.vitals.end();
        self.inbox.close(|message| self.catch_panic(|| drop(message)));
        self.end_tasks();
        self.catch_panic(|| self.selector.remove_all());
        self.life.set(Life::Ended);
        self.report_unhandled();
        self.busy.set(false);
        let _ = LOOP.try_with(|core| core.replace(None));
        ReadyQueue::install(None);
    }

    /// Returns `true` once the loop has begun to end.
    pub(super) fn is_ending(&self) -> bool {
        self.life.get() != Life::Running
    }

    /// Returns an error if this loop has ended, so that `object`, which belongs to it, can never
    /// become ready.
    ///
    /// An object stays on the thread of its loop, and a thread has one loop at a time. So an object
    /// that is used on another loop belongs to one that has ended.
    ///
    /// # Errors
    /// `NotConnected`, with the names of the object and of the loop.
    #[inline]
    pub(crate) fn ensure_not_ended(&self, object: &str) -> io::Result<()> {
        if self.life.get() == Life::Ended { Err(self.outlived_by(object)) } else { Ok(()) }
    }

    #[cold]
    fn outlived_by(&self, object: &str) -> io::Error {
        let name = &self.shared.name;
        let text = format!("the event loop '{name}' of this {object} has ended");
        io::Error::new(io::ErrorKind::NotConnected, text)
    }

    /// Runs `turn`. Until it returns, the loop counts as busy.
    pub(super) fn while_busy(&self, turn: impl FnOnce()) {
        self.busy.set(true);
        turn();
        self.busy.set(false);
    }

    /// Returns the pool for work that blocks.
    pub(crate) fn blocking_pool(&self) -> &BlockingPool {
        &self.settings.blocking_pool
    }

    /// Returns `true` if blocking this thread would block the loop: its tasks, callbacks or
    /// destructors run now.
    pub(in crate::executor) fn is_busy(&self) -> bool {
        self.busy.get()
    }
}

/// # Runs
impl Core {
    /// Begins a run, which ends when the task `main` does, if one is given, or after
    /// [`Core::stop`].
    pub(super) fn begin_run(&self, main: Option<Key>) {
        self.main.set(main);
        self.stopping.set(false);
        // Time may have passed since the last turn.
        self.clock.invalidate();
    }

    pub(super) fn end_run(&self) {
        self.main.set(None);
        self.shared.vitals.set_awake(false);
    }

    /// Ends the run with the current turn.
    pub(super) fn stop(&self) {
        self.stopping.set(true);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }
}

/// # Clock
impl Core {
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Returns the earliest time at which a task that runs in this turn can have become ready.
    pub(crate) fn ready_since(&self) -> Instant {
        self.clock.instant_of(self.selector_times.ready_since())
    }

    /// Keeps a manual clock from moving until [`Core::allow_auto_advance`] is called as often.
    pub(crate) fn inhibit_auto_advance(&self) {
        self.auto_advance_inhibitors.update(|count| count + 1);
    }

    pub(crate) fn allow_auto_advance(&self) {
        self.auto_advance_inhibitors.update(|count| count - 1);
    }
}

/// # Timers
impl Core {
    /// Sets a timer that wakes `waker` at `deadline`, and stores its key in `timer`. If `timer`
    /// is set already, only its waker changes.
    pub(crate) fn set_timer(&self, timer: &mut Option<Key>, deadline: Tick, waker: &Waker) {
        if timer.is_some_and(|key| self.timers.borrow().will_wake(key, waker)) {
            return;
        }
        // Cloned before and dropped after the borrow, because wakers may run any code.
        let waker = waker.clone();
        let replaced = match *timer {
            Some(key) => self.timers.borrow_mut().replace_waker(key, waker),
            None => Err(waker),
        };
        if let Err(waker) = replaced {
            *timer = Some(self.timers.borrow_mut().set(deadline, waker));
        }
    }

    /// Cancels a timer. Does nothing if it has fired.
    pub(crate) fn cancel_timer(&self, timer: Key) {
        // Bound to a name, so that the waker is dropped after the borrow has ended.
        let _waker = self.timers.borrow_mut().cancel(timer);
    }

    pub(super) fn timers_len(&self) -> usize {
        self.timers.borrow().len()
    }
}

/// # Selector
impl Core {
    pub(crate) fn selector(&self) -> &Selector {
        &self.selector
    }
}

/// # Other threads
impl Core {
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(super) fn inbox(&self) -> &Arc<LoopInbox> {
        &self.inbox
    }
}

/// # Reports
impl Core {
    /// Calls `f`, code of a user whose panic must not end the loop, and reports a panic in it.
    fn catch_panic(&self, f: impl FnOnce()) {
        if let Err(message) = catch_panic(f) {
            self.report(Unhandled::CallbackPanic { message });
        }
    }

    /// Reports `unhandled` at the end of the turn or of the loop, or now if the loop has ended.
    pub(super) fn report(&self, unhandled: Unhandled) {
        match self.life.get() {
            Life::Ended => self.shared.report(&unhandled),
            Life::Running | Life::Ending => self.unhandled.borrow_mut().push(unhandled),
        }
    }

    /// Returns `true` if there is something to report at the end of the turn.
    fn has_unhandled(&self) -> bool {
        !self.unhandled.borrow().is_empty()
    }

    /// Step 6 of the turn: reports what went wrong in it. Returns the number of reports.
    pub(super) fn report_unhandled(&self) -> usize {
        if self.has_unhandled() { self.report_all() } else { 0 }
    }

    #[cold]
    fn report_all(&self) -> usize {
        let unhandled = self.unhandled.take();
        unhandled.iter().for_each(|one| self.shared.report(one));
        unhandled.len()
    }
}
