//! The event loop, and its turn.

use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::rc::Rc;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crossbeam_utils::CachePadded;
use tracing::trace;

use crate::executor::clock::{Clock, Tick};
use crate::executor::core::{Core, Settings};
use crate::executor::handle::LoopHandle;
use crate::executor::inbox::Inbox;
use crate::executor::selector::Selector;
use crate::executor::table::Origin;
use crate::executor::waker::Message;
use crate::observe::poll_times::PollTimer;
use crate::observe::shared::Shared;
use crate::observe::unhandled::{Unhandled, UnhandledHook};
use crate::observe::watchdog;
use crate::task;
use crate::task::JoinError;

/// A poll that takes longer than this is reported in debug mode, as asyncio does.
pub const SLOW_POLL_THRESHOLD: Duration = Duration::from_millis(100);

/// An event loop: it runs the tasks of one thread, and belongs to that thread.
///
/// A thread has one loop at most. Dropping the loop cancels the tasks that it still has.
/// Most programs need only [`run`].
pub struct EventLoop {
    core: Rc<Core>,
    /// Never leaves its thread, whatever `Core` comes to be made of.
    not_send: PhantomData<*const ()>,
}

/// Why there is no new event loop.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// This thread has a loop already; a second one would wait while the first one runs.
    SecondLoop {
        /// The name of the loop that is there.
        name: String,
    },
    /// The system gave no selector: most likely no descriptor is left.
    Selector(std::io::Error),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecondLoop { name } => write!(
                f,
                "this thread already has an event loop ('{name}'): a thread has one at most; \
                 spawn a task on that one, or start another thread with `run_in_thread`"
            ),
            Self::Selector(error) => write!(f, "the system gave no selector: {error}"),
        }
    }
}

impl std::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::SecondLoop { .. } => None,
            Self::Selector(error) => Some(error),
        }
    }
}

impl From<BuildError> for std::io::Error {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Selector(error) => error,
            error @ BuildError::SecondLoop { .. } => Self::other(error),
        }
    }
}

/// Runs `main` on a new event loop of this thread, and returns its output. What `asyncio.run`
/// does: tasks that are left when `main` is done are cancelled.
///
/// # Panics
/// If this thread has an event loop already, if the system gives no selector, or if `main`
/// panics: then with its panic.
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
    /// A new loop for this thread.
    ///
    /// # Errors
    /// If the thread has a loop already, or the system gives no selector.
    pub fn new() -> Result<Self, BuildError> {
        Self::builder().build()
    }

    /// For a loop with options.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Turns until `main` is done, and returns its output. Other tasks run meanwhile; those that
    /// are left stay on the loop and go on with the next call.
    ///
    /// # Panics
    /// If `main` panics, with its panic, and if [`LoopHandle::stop`] ended the run before `main`
    /// was done.
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

    pub(crate) fn try_run_until_complete<F>(
        &mut self,
        site: &'static Location<'static>,
        main: F,
    ) -> Result<F::Output, JoinError>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let origin = Origin { name: Some("main".into()), site };
        let mut main = task::spawn_on(self.core.clone(), main, origin);
        self.core.main.set(main.key());
        self.begin_run();
        while !self.core.stopping.get() {
            self.turn();
        }
        self.core.shared.vitals.rest();
        self.core.main.set(None);
        match main.poll_outcome(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => {
                let task = main.info().map(|info| info.label);
                Err(JoinError::loop_ended(task))
            }
        }
    }

    /// Turns until no task is left, or until [`LoopHandle::stop`]. It turns once at least, so what
    /// was sent to the loop before is taken.
    pub fn run(&mut self) {
        self.begin_run();
        loop {
            self.turn();
            if self.core.tasks.unfinished() == 0 || self.core.stopping.get() {
                return self.core.shared.vitals.rest();
            }
        }
    }

    fn begin_run(&self) {
        self.core.stopping.set(false);
        // The loop may have stood still since its last turn.
        self.core.clock.outdate();
    }

    /// A handle for other threads.
    #[must_use]
    pub fn handle(&self) -> LoopHandle {
        LoopHandle::of(&self.core)
    }

    /// One turn, in six steps. Returns after waiting for I/O or a deadline if nothing is ready.
    ///
    /// 1. take what other threads sent;
    /// 2. run the tasks that were ready when the turn began, each to its next await. What becomes
    ///    ready meanwhile runs after them, in this turn if they were few, else in the next one: so
    ///    no task keeps the others from I/O;
    /// 3. move timers that are due to the ready queue;
    /// 4. wait for I/O until the next deadline, not at all if a task is ready;
    /// 5. move the tasks whose I/O is ready to the ready queue;
    /// 6. report what went wrong.
    ///
    /// The clock is read when the time is first asked for after a batch of tasks or a wait: by a
    /// task, or in step 3 if a timer is set.
    pub fn turn(&mut self) {
        let core = &*self.core;
        core.begin_turn();
        let messages = take_messages(core);
        trace!(target: "brigade::turn", step = 1, messages, "took messages");
        let polls = run_tasks(core);
        trace!(target: "brigade::turn", step = 2, polls, "ran tasks");
        let timers = expire_timers(core);
        trace!(target: "brigade::turn", step = 3, timers, "expired timers");
        let waited = wait_for_io(core);
        trace!(target: "brigade::turn", step = 4, ?waited, "asked the selector");
        let sources = core.selector.mark_ready();
        trace!(target: "brigade::turn", step = 5, sources, "marked tasks ready");
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
            .field("name", &self.core.shared.name)
            .field("tasks", &self.core.tasks.unfinished())
            .field("ready", &self.core.ready.len())
            .field("timers", &self.core.timers.borrow().len())
            .field("sources", &self.core.selector.len())
            .finish_non_exhaustive()
    }
}

/// Step 1. Returns how many messages there were.
fn take_messages(core: &Core) -> usize {
    if !core.inbox.open() {
        return 0;
    }
    // Bounded, so that threads which send without end do not keep the loop from its tasks.
    for count in 0..MESSAGES_PER_TURN {
        match core.inbox.take() {
            None => return count,
            Some(Message::Wake(key)) => core.tasks.wake_from_inbox(key),
            Some(Message::Call(call)) => core.guarded(call),
        }
    }
    core.inbox.reopen();
    MESSAGES_PER_TURN
}

/// Messages taken from the inbox in one turn; more wait for the next one.
const MESSAGES_PER_TURN: usize = 4096;

/// Step 2. Returns how many polls there were.
fn run_tasks(core: &Core) -> usize {
    let mut polls = run_batch(core);
    if polls > 0 {
        core.idle_looks.set(0);
    }
    while polls < POLLS_BEFORE_IO && may_run_on(core) {
        polls += run_batch(core);
    }
    core.shared.vitals.end_batch();
    polls
}

/// Runs each task that is ready once. Returns how many there were.
fn run_batch(core: &Core) -> usize {
    let batch = core.ready.len();
    (0..batch).for_each(|_| core.run_one());
    core.clock.outdate();
    batch
}

/// Whether there is a task that the turn may run before it goes on to its other steps. A clock that
/// is moved by hand moves between two turns, so there they stay small.
fn may_run_on(core: &Core) -> bool {
    let is_awaited = core.stopping.get() || core.has_unhandled() || core.clock.is_manual();
    core.ready.len() > 0 && !is_awaited
}

/// A turn that has run so many polls runs no further batch. Asking the selector costs as much as
/// some ten polls of small tasks: those that only wake each other would spend their time there.
const POLLS_BEFORE_IO: usize = 64;

/// Step 3. Returns how many timers were due.
fn expire_timers(core: &Core) -> usize {
    if core.timers.borrow().len() == 0 {
        return 0;
    }
    let now = core.clock.now();
    let next = || core.timers.borrow_mut().expire(now);
    std::iter::from_fn(next).map(Waker::wake).count()
}

/// Step 4. Returns how long the loop was ready to wait; `None` is for ever.
fn wait_for_io(core: &Core) -> Option<Duration> {
    let mut patience = patience(core);
    let parked = patience != Some(Duration::ZERO);
    // What waits in the inbox came while the loop was away, as what the selector tells at once.
    let is_quiet = parked && core.inbox.park();
    if !is_quiet {
        patience = Some(Duration::ZERO);
    }
    if parked {
        core.shared.vitals.rest();
    }
    let was_long = core.looks.begin(core.clock.now()) >= LONG_ABSENCE;
    if !(is_quiet && was_long && look_at_once(core)) {
        look(core, patience);
    }
    if parked {
        core.shared.vitals.wake();
        core.inbox.unpark();
        core.clock.outdate();
    }
    core.looks.end(core.clock.now());
    patience
}

/// Asks the selector. Returns `true` if it told of anything. Inlined for the sake of every turn,
/// since the second place that calls it is a rare one.
#[inline(always)]
fn look(core: &Core, patience: Option<Duration>) -> bool {
    match core.selector.wait(patience) {
        Ok(told) => told,
        // Only a selector that was never valid gives one; waiting on would spin in silence.
        Err(error) => panic!("the selector of event loop '{}' failed: {error}", core.shared.name),
    }
}

/// Only so can what came while the loop was away be told from what is about to come. If nothing
/// did, this counts as a look of its own.
#[cold]
#[inline(never)]
fn look_at_once(core: &Core) -> bool {
    let is_told = look(core, Some(Duration::ZERO));
    if !is_told {
        core.looks.end(core.clock.now());
        core.looks.begin(core.clock.now());
    }
    is_told
}

/// A loop that was away from its selector for so many nanoseconds asks twice before it waits.
const LONG_ABSENCE: Tick = 1_000_000;

/// How long the loop may wait: to the next deadline, and not at all if there is something to do.
fn patience(core: &Core) -> Option<Duration> {
    let busy = core.ready.len() > 0 || core.stopping.get() || core.tasks.unfinished() == 0;
    // What went wrong in this turn is told in its last step, which must not wait for I/O.
    if busy || core.has_unhandled() {
        return Some(Duration::ZERO);
    }
    let deadline = core.timers.borrow().next_deadline()?;
    if core.clock.is_manual() {
        return manual_patience(core, deadline);
    }
    Some(Duration::from_nanos(deadline.saturating_sub(core.clock.now())))
}

/// A clock that is moved by hand jumps to the next deadline once nothing is ready, neither here
/// nor, as far as the loop knows, elsewhere.
fn manual_patience(core: &Core, deadline: Tick) -> Option<Duration> {
    if core.elsewhere.get() > 0 {
        return None;
    }
    // I/O that is on its way within this machine is there by the next look; two looks with
    // nothing between them are taken for idleness.
    if core.idle_looks.replace(core.idle_looks.get() + 1) >= IDLE_LOOKS {
        core.idle_looks.set(0);
        core.clock.advance_to(deadline);
    }
    Some(Duration::ZERO)
}

/// How often the selector is asked in vain before a manual clock jumps.
const IDLE_LOOKS: u32 = 2;

/// Makes a loop with options.
#[derive(Clone)]
#[must_use]
pub struct Builder {
    name: Option<String>,
    manual_clock: bool,
    settings: Settings,
    on_unhandled: Option<UnhandledHook>,
    stall_threshold: Option<Duration>,
}

impl Builder {
    fn new() -> Self {
        let debug = std::env::var_os("BRIGADE_DEBUG").is_some_and(|value| value == "1");
        let settings = Settings { debug, slow_poll_threshold: SLOW_POLL_THRESHOLD };
        Self {
            name: None,
            manual_clock: false,
            settings,
            on_unhandled: None,
            stall_threshold: None,
        }
    }

    /// The loop's name in logs. Without one it is called like its thread.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Debug mode: polls that take longer than the slow-poll threshold are reported, and so are
    /// tasks that are dropped while pending when the loop ends. Off by default, and on when the
    /// environment has `BRIGADE_DEBUG=1`. Costs two readings of the clock a poll.
    pub fn debug(mut self, debug: bool) -> Self {
        self.settings.debug = debug;
        self
    }

    /// How long one poll may take before debug mode reports it: 100 ms by default.
    pub fn slow_poll_threshold(mut self, threshold: Duration) -> Self {
        self.settings.slow_poll_threshold = threshold;
        self
    }

    /// Called with what would otherwise be logged: a panic that nobody saw, what debug mode finds,
    /// a loop that is stuck. On the loop's thread, but for what comes up elsewhere once the loop
    /// has ended, and what [`Builder::watch`] finds, which is told while the loop cannot. A panic
    /// in `hook` is logged.
    pub fn on_unhandled(mut self, hook: impl Fn(&Unhandled) + Send + Sync + 'static) -> Self {
        self.on_unhandled = Some(Arc::new(hook));
        self
    }

    /// Has a thread beside the loop report a poll, or a callback, that keeps the loop from turning
    /// for longer than `threshold`: while it is stuck ([`Unhandled::Stalled`]) and when it is over
    /// ([`Unhandled::Recovered`]). One thread watches all loops of the process, and looks four
    /// times a threshold. The loop reads no clock for it, but tells what it polls: a few stores a
    /// poll. Off by default; a threshold of zero is one of a millisecond.
    pub fn watch(mut self, threshold: Option<Duration>) -> Self {
        self.stall_threshold = threshold.map(|threshold| threshold.max(Duration::from_millis(1)));
        self
    }

    /// A clock for tests: it stands still, and jumps to the next deadline when no task is ready,
    /// no I/O is, and no work of [`spawn_blocking`](crate::spawn_blocking) is under way. A test
    /// of a timeout of an hour takes no time and gives the same result each run. The clock knows
    /// nothing of what other threads are about to send: keep both ends of a connection on the
    /// loop.
    pub fn manual_clock(mut self, manual: bool) -> Self {
        self.manual_clock = manual;
        self
    }

    /// Makes the loop of this thread.
    ///
    /// # Errors
    /// If the thread has a loop already, or the system gives no selector.
    pub fn build(self) -> Result<EventLoop, BuildError> {
        if let Some(core) = Core::try_current() {
            return Err(BuildError::SecondLoop { name: core.shared.name.clone() });
        }
        let (selector, waker) = Selector::new().map_err(BuildError::Selector)?;
        let thread = std::thread::current();
        let name = self.name.or_else(|| thread.name().map(str::to_owned));
        let shared = Shared {
            name: name.unwrap_or_else(|| "unnamed".to_owned()),
            thread: thread.id(),
            on_unhandled: self.on_unhandled,
            stall_threshold: self.stall_threshold,
            vitals: CachePadded::default(),
            stalls: AtomicU64::new(0),
            poll_times: PollTimer::default(),
            own_name: Mutex::default(),
        };
        let inbox = Arc::new(Inbox::new(waker));
        let clock = Clock::new(self.manual_clock);
        let core = Core::new(selector, inbox, clock, self.settings, shared);
        core.install();
        watchdog::watch(&core.shared);
        Ok(EventLoop { core, not_send: PhantomData })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("manual_clock", &self.manual_clock)
            .field("debug", &self.settings.debug)
            .field("slow_poll_threshold", &self.settings.slow_poll_threshold)
            .field("stall_threshold", &self.stall_threshold)
            .finish_non_exhaustive()
    }
}
