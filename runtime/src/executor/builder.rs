//! Making an event loop: its options, and why it may fail.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam_utils::CachePadded;

use crate::executor::clock::Clock;
use crate::executor::core::Core;
use crate::executor::event_loop::EventLoop;
use crate::executor::inbox::Inbox;
use crate::executor::selector::Selector;
use crate::executor::settings::Settings;
use crate::observe::panic::Guarded;
use crate::observe::poll_times::PollTimer;
use crate::observe::shared::Shared;
use crate::observe::unhandled::{Unhandled, UnhandledHook};
use crate::observe::watchdog;

impl EventLoop {
    /// Makes the event loop of this thread, with default options.
    ///
    /// # Errors
    /// If the thread already has a loop, or the system provides no selector.
    pub fn new() -> Result<Self, BuildError> {
        Self::builder().build()
    }

    /// Returns a builder, to make an event loop with other options.
    pub fn builder() -> Builder {
        Builder::new()
    }
}

/// Makes an event loop with options. Returned by [`EventLoop::builder`].
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
        Self {
            name: None,
            manual_clock: false,
            settings: Settings::from_env(),
            on_unhandled: None,
            stall_threshold: None,
        }
    }

    /// Sets the loop's name, used in logs and reports. The default is the name of its thread.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Switches debug mode on or off. Debug mode reports polls that take longer than
    /// [`Builder::slow_poll_threshold`], and tasks that are dropped while pending because the
    /// loop ends. It costs two readings of the clock per poll. Off by default, unless the
    /// environment has `BRIGADE_DEBUG=1`.
    pub fn debug(mut self, debug: bool) -> Self {
        self.settings.debug = debug;
        self
    }

    /// Sets how long one poll may take before debug mode reports it. The default is 100 ms.
    pub fn slow_poll_threshold(mut self, threshold: Duration) -> Self {
        self.settings.slow_poll_threshold = threshold;
        self
    }

    /// Calls `hook` with each [`Unhandled`] instead of logging it. A panic in `hook` is logged.
    ///
    /// `hook` is called on the loop's thread, with two exceptions: what happens on another thread
    /// after the loop has ended is reported there, and stalls ([`Builder::watch`]) are reported
    /// on the watchdog's thread, because the loop itself is stuck.
    ///
    /// `hook` may use the loop, for instance to spawn tasks. What it causes is reported at the end
    /// of the next turn, or logged if the loop has ended.
    pub fn on_unhandled(mut self, hook: impl Fn(&Unhandled) + Send + Sync + 'static) -> Self {
        self.on_unhandled = Some(Guarded::new(Arc::new(hook)));
        self
    }

    /// Reports when a poll or a callback keeps the loop from turning for longer than
    /// `threshold`: once while the loop is stuck ([`Unhandled::Stalled`]), and once when it turns
    /// again ([`Unhandled::Recovered`]).
    ///
    /// One watchdog thread checks all loops of the process, four times per threshold. The loop
    /// publishes what it polls, which costs a few stores per poll and no reading of the clock.
    /// Off by default. A threshold below one millisecond counts as one millisecond.
    pub fn watch(mut self, threshold: Option<Duration>) -> Self {
        self.stall_threshold = threshold.map(|threshold| threshold.max(Duration::from_millis(1)));
        self
    }

    /// Sets how many threads the pool of [`spawn_blocking`](crate::spawn_blocking) may have, at
    /// least one. More work waits for a thread. The default is 512, in one pool for all loops of
    /// the process.
    ///
    /// With this option the loops that are made from this builder and its clones have a pool of
    /// their own, such as those of one group or server. The reads of served files and name lookups
    /// have other threads, and do not count.
    pub fn max_blocking_threads(mut self, threads: usize) -> Self {
        self.settings.blocking_pool = self.settings.blocking_pool.with_threads_max(threads);
        self
    }

    /// Sets for how long a thread of that pool waits for more work before it ends. The default is
    /// 10 s. The pool is one of its own then, as with [`Builder::max_blocking_threads`].
    pub fn thread_keep_alive(mut self, duration: Duration) -> Self {
        self.settings.blocking_pool = self.settings.blocking_pool.with_keep_alive(duration);
        self
    }

    /// Uses a clock for tests. It stands still, and jumps to the next deadline when no task and
    /// no I/O is ready and no work of [`spawn_blocking`](crate::spawn_blocking) is running. A
    /// test of a timeout of one hour takes no time and gives the same result in each run.
    ///
    /// The clock does not know what other threads are about to send, so both ends of a connection
    /// must be on the loop.
    pub fn manual_clock(mut self, manual: bool) -> Self {
        self.manual_clock = manual;
        self
    }

    /// Makes the event loop of this thread.
    ///
    /// # Errors
    /// If the thread already has a loop or is about to end, or the system provides no selector.
    pub fn build(self) -> Result<EventLoop, BuildError> {
        if let Some(core) = Core::try_current() {
            return Err(BuildError::SecondLoop { name: core.shared().name.clone() });
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
        core.install().map_err(|_| BuildError::ThreadEnds)?;
        watchdog::watch(core.shared());
        Ok(EventLoop::from_core(core))
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

/// Why an event loop could not be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// This thread already has an event loop. A second one would not run while the first one
    /// does.
    SecondLoop {
        /// The name of the first loop.
        name: String,
    },
    /// The system provides no selector, most likely because the process has run out of file
    /// descriptors.
    Selector(std::io::Error),
    /// The thread ends: the loop was to be made by the destructor of a thread-local.
    ThreadEnds,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecondLoop { name } => write!(
                f,
                "this thread already has an event loop ('{name}'), and a thread has at most one: \
                 spawn a task on that loop, or start another thread with `run_in_thread`"
            ),
            Self::Selector(error) => write!(f, "cannot create a selector: {error}"),
            Self::ThreadEnds => f.write_str("cannot create an event loop on a thread that ends"),
        }
    }
}

impl std::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::SecondLoop { .. } | Self::ThreadEnds => None,
            Self::Selector(error) => Some(error),
        }
    }
}

impl From<BuildError> for std::io::Error {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Selector(error) => error,
            error => Self::other(error),
        }
    }
}
