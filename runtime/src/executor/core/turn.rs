//! The steps of a turn, in their order. `EventLoop::turn` runs them; step 6, the reports, is in
//! the parent module.

use std::rc::Rc;
use std::time::Duration;

use super::Core;
use crate::budget;
use crate::executor::clock::Tick;
use crate::executor::waker::Message;
use crate::observe::vitals::Load;

/// Messages taken from the inbox in one turn. More wait for the next turn, so that threads that
/// send without pause do not keep the loop from its tasks.
const MESSAGES_PER_TURN: usize = 4096;

/// A turn with this many polls or more starts no further batch. A poll of the selector costs as
/// much as about ten polls of small tasks, so tasks that only wake each other would spend their
/// time there.
const POLLS_BEFORE_IO: usize = 64;

/// After an absence of this many nanoseconds, the loop polls its selector twice before it waits.
const LONG_ABSENCE: Tick = 1_000_000;

/// A manual clock moves once the selector has been polled this often with nothing to do.
const IDLE_SELECTOR_POLLS: u32 = 2;

impl Core {
    /// Publishes that the loop turns, and how much work it has.
    pub(in crate::executor) fn begin_turn(&self) {
        self.shared.vitals.begin_turn(Load {
            ready: self.ready.len(),
            timers: self.timers_len(),
            tasks: self.tasks.unfinished(),
        });
    }

    /// Step 1: handles the messages of other threads. Returns their number.
    pub(in crate::executor) fn take_messages(&self) -> usize {
        if !self.inbox.clear_notified() {
            return 0;
        }
        for count in 0..MESSAGES_PER_TURN {
            match self.inbox.pop() {
                None => return count,
                Some(Message::Wake(key)) => self.tasks.wake_from_inbox(key),
                Some(Message::Call(call)) => self.catch_panic(call),
            }
        }
        self.inbox.set_notified();
        MESSAGES_PER_TURN
    }

    /// Step 2: runs the tasks that are ready. Returns the number of polls.
    pub(in crate::executor) fn run_tasks(self: &Rc<Self>) -> usize {
        let mut polls = self.run_batch();
        if polls > 0 {
            self.idle_selector_polls.set(0);
        }
        while polls < POLLS_BEFORE_IO && self.may_run_next_batch() {
            polls += self.run_batch();
        }
        self.shared.vitals.end_batch();
        polls
    }

    /// Runs each task that is ready now once. Returns their number.
    fn run_batch(self: &Rc<Self>) -> usize {
        let batch = self.ready.len();
        (0..batch).for_each(|_| self.run_next());
        self.clock.invalidate();
        batch
    }

    /// Returns `true` if there are ready tasks and nothing waits for the turn to end. A manual
    /// clock moves only between turns, so there each batch has a turn of its own. A task that has
    /// spent its budget is ready, and took as long as many others.
    fn may_run_next_batch(&self) -> bool {
        let must_end = || {
            self.stopping.get()
                || self.has_unhandled()
                || self.clock.is_manual()
                || budget::take_put_off()
        };
        self.ready.len() > 0 && !must_end()
    }

    /// Step 3: wakes the tasks whose timers are due. Returns the number of timers.
    pub(in crate::executor) fn expire_timers(&self) -> usize {
        if self.timers_len() == 0 {
            return 0;
        }
        let now = self.clock.now();
        let mut expired = 0;
        // If a waker panics, the next turn wakes the rest.
        self.catch_panic(|| {
            let next = || self.timers.borrow_mut().expire(now);
            while let Some(waker) = next() {
                expired += 1;
                waker.wake();
            }
        });
        expired
    }

    /// Step 4: waits for I/O, a message or the next deadline. Does not wait if there is other
    /// work. Returns the timeout of the wait; `None` means that it had none.
    pub(in crate::executor) fn wait_for_io(&self) -> Option<Duration> {
        let mut timeout = self.selector_timeout();
        let parked = timeout != Some(Duration::ZERO);
        // A message that is in the inbox already is to be handled in the next turn, at once.
        let may_wait = parked && self.inbox.park();
        if !may_wait {
            timeout = Some(Duration::ZERO);
        }
        if parked {
            self.shared.vitals.set_awake(false);
        }
        let was_long = self.selector_times.begin(self.clock.now()) >= LONG_ABSENCE;
        if !(may_wait && was_long && self.poll_selector_after_absence()) {
            self.poll_selector(timeout);
        }
        if parked {
            self.shared.vitals.set_awake(true);
            self.inbox.unpark();
            self.clock.invalidate();
        }
        self.selector_times.end(self.clock.now());
        timeout
    }

    /// Polls the selector. Returns `true` if there was an event. Inlined because every turn calls
    /// it; its second caller is rare.
    #[inline(always)]
    fn poll_selector(&self, timeout: Option<Duration>) -> bool {
        match self.selector.wait(timeout) {
            Ok(has_events) => has_events,
            // Only an invalid selector fails, and a loop that ignored it would spin for ever.
            Err(error) => {
                panic!("the selector of event loop '{}' failed: {error}", self.shared.name)
            }
        }
    }

    /// Polls the selector without waiting, so that events that arrived during a long absence are
    /// not counted as new. Returns `true` if there was an event. If not, the wait that follows is
    /// timed as a poll of its own.
    #[cold]
    #[inline(never)]
    fn poll_selector_after_absence(&self) -> bool {
        let has_events = self.poll_selector(Some(Duration::ZERO));
        if !has_events {
            self.selector_times.end(self.clock.now());
            self.selector_times.begin(self.clock.now());
        }
        has_events
    }

    /// Returns how long the loop may wait: until the next deadline, or not at all if there is
    /// something to do.
    fn selector_timeout(&self) -> Option<Duration> {
        let is_busy = self.ready.len() > 0 || self.stopping.get() || self.tasks.unfinished() == 0;
        // Reports are sent in the last step of this turn, so they must not wait for I/O.
        if is_busy || self.has_unhandled() {
            return Some(Duration::ZERO);
        }
        let deadline = self.timers.borrow().next_deadline()?;
        if self.clock.is_manual() {
            return self.advance_manual_clock(deadline);
        }
        Some(Duration::from_nanos(deadline.saturating_sub(self.clock.now())))
    }

    /// Moves a manual clock to `deadline` once nothing else can happen before it. Returns the
    /// timeout for the selector.
    fn advance_manual_clock(&self, deadline: Tick) -> Option<Duration> {
        if self.auto_advance_inhibitors.get() > 0 {
            return None;
        }
        // I/O within this machine arrives by the next poll of the selector, so the loop is idle
        // once several polls in a row have made no task ready.
        let polls = self.idle_selector_polls.get();
        self.idle_selector_polls.set(polls + 1);
        if polls >= IDLE_SELECTOR_POLLS {
            self.idle_selector_polls.set(0);
            self.clock.advance_to(deadline);
        }
        Some(Duration::ZERO)
    }
}
