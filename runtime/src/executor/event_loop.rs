//! The event loop as its own thread sees it: runs, and the order of a turn.

use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::rc::Rc;
use std::task::{Poll, Waker};

use tracing::trace;

use crate::executor::core::Core;
use crate::executor::handle::LoopHandle;
use crate::executor::join_error::JoinError;
use crate::executor::table::Origin;

/// An event loop, which runs the tasks of one thread and stays on that thread.
///
/// A thread has at most one loop. Dropping the loop cancels its remaining tasks.
/// Most programs need only [`run`].
pub struct EventLoop {
    core: Rc<Core>,
    /// The loop stays on its thread, whatever `Core` is made of.
    not_send: PhantomData<*const ()>,
}

/// Runs `main` on a new event loop of this thread and returns its output, like `asyncio.run`.
/// Tasks that are still pending when `main` is done are cancelled.
///
/// # Panics
/// If this thread already has an event loop, if the system provides no selector, or if `main`
/// panics: then with the panic of `main`.
///
/// # Examples
/// ```
/// let sum = brigade_runtime::run(async { 1 + 2 });
/// assert_eq!(sum, 3);
/// ```
#[track_caller]
pub fn run<F>(main: F) -> F::Output
where
    F: Future + 'static,
    F::Output: 'static,
{
    match EventLoop::new() {
        Ok(mut event_loop) => event_loop.run_until_complete(main),
        Err(error) => panic!("{error}"),
    }
}

impl EventLoop {
    pub(super) fn from_core(core: Rc<Core>) -> Self {
        Self { core, not_send: PhantomData }
    }

    /// Runs the loop until `main` is done, and returns its output. Other tasks run meanwhile.
    /// Those that are still pending stay on the loop and continue with the next run.
    ///
    /// # Panics
    /// If `main` panics, with its panic, and if [`LoopHandle::stop`] ends the run before `main`
    /// is done.
    #[track_caller]
    pub fn run_until_complete<F>(&mut self, main: F) -> F::Output
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        match self.try_run_until_complete(Location::caller(), main) {
            Ok(output) => output,
            Err(error) => panic!("{}", error.resume_panic()),
        }
    }

    /// Runs the loop until `main` is done. Returns its output, or the reason why there is none.
    pub(crate) fn try_run_until_complete<F>(
        &mut self,
        site: &'static Location<'static>,
        main: F,
    ) -> Result<F::Output, JoinError>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let main = self.core.spawn(main, Origin { name: Some("main".into()), site });
        self.core.begin_run(Some(main));
        while !self.core.is_stopping() {
            self.turn();
        }
        self.core.end_run();
        match self.core.poll_outcome(main, Waker::noop()) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => {
                let error = JoinError::loop_ended(self.core.task_label(main));
                self.core.detach(main);
                Err(error)
            }
        }
    }

    /// Runs the loop until no task is left, or until [`LoopHandle::stop`]. Runs at least one
    /// turn, so calls that were sent to the loop before are made.
    pub fn run(&mut self) {
        self.core.begin_run(None);
        loop {
            self.turn();
            if self.core.unfinished_tasks() == 0 || self.core.is_stopping() {
                return self.core.end_run();
            }
        }
    }

    /// Returns a handle for other threads.
    #[must_use]
    pub fn handle(&self) -> LoopHandle {
        LoopHandle::of(&self.core)
    }

    /// Runs one turn, in six steps. If no task is ready, it waits for I/O or a deadline.
    ///
    /// 1. Handle what other threads sent: wakes and calls.
    /// 2. Run the tasks that are ready, each to its next await. Tasks that become ready meanwhile
    ///    form the next batch. It runs in the same turn if fewer than 64 polls have been made in
    ///    it so far, and in the next turn otherwise. A turn runs one batch only if the clock is
    ///    manual, and starts no further batch once [`LoopHandle::stop`] has taken effect, a task
    ///    has spent its budget, or there is something to report in step 6.
    /// 3. Wake the tasks whose timers are due.
    /// 4. Wait for I/O until the next deadline. If a task is ready, only poll for it.
    /// 5. Wake the tasks whose I/O is ready.
    /// 6. Report what went wrong.
    ///
    /// The clock is read when the time is first needed after a batch of tasks or a wait: by a
    /// task, or by steps 3 and 4.
    pub fn turn(&mut self) {
        let core = &*self.core;
        core.begin_turn();
        let messages = core.take_messages();
        trace!(target: "brigade::turn", step = 1, messages, "handled messages");
        let polls = core.run_tasks();
        trace!(target: "brigade::turn", step = 2, polls, "ran tasks");
        let timers = core.expire_timers();
        trace!(target: "brigade::turn", step = 3, timers, "expired timers");
        let timeout = core.wait_for_io();
        trace!(target: "brigade::turn", step = 4, ?timeout, "polled the selector");
        let sources = core.selector().mark_ready();
        trace!(target: "brigade::turn", step = 5, sources, "woke tasks for I/O");
        let reports = core.report_unhandled();
        trace!(target: "brigade::turn", step = 6, reports, "reported what went wrong");
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        self.core.end();
    }
}

impl fmt::Debug for EventLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLoop")
            .field("name", &self.core.shared().name)
            .field("tasks", &self.core.unfinished_tasks())
            .field("ready", &self.core.ready_tasks())
            .field("timers", &self.core.timers_len())
            .field("sources", &self.core.selector().len())
            .finish_non_exhaustive()
    }
}
