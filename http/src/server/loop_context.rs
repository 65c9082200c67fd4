//! What all connections of one loop share: the application, the options, the buffers.

use std::cell::{Cell, Ref, RefCell};
use std::fmt;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant, SystemTime};

use brigade_runtime::task::{self, Notebook, TaskId, yield_now};
use brigade_runtime::time;
use crossbeam_utils::CachePadded;

use crate::protocol::date::DateCache;
use crate::protocol::limits::{Limits, Timeouts};
use crate::routing::service::Service;
use crate::server::activity::{Activity, ConnectionState, describe};
use crate::server::counters::Counters;
use crate::server::stats::Stats;
use crate::transport::buffers::LoopBuffers;

/// How old the loop's `Date` may be; its text has whole seconds.
const DATE_AGE_MAX: Duration = Duration::from_millis(100);

/// A connection that was quiet for so long may be closed for want of descriptors; one that was
/// busy until just now may have a request on its way.
const SHED_QUIET: Duration = Duration::from_millis(250);

thread_local! {
    /// What this thread's loop serves.
    static SERVER: RefCell<Weak<LoopServer>> = const { RefCell::new(Weak::new()) };
}

/// One loop's side of a server.
pub(crate) struct LoopServer {
    pub(crate) routes: Service,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    /// The loop's number, if answers are to tell their times.
    pub(crate) timed_loop: Option<usize>,
    pub(crate) buffers: LoopBuffers,
    date: RefCell<DateCache>,
    /// Until when that date is new enough.
    date_ends: Cell<Instant>,
    /// The server is shutting down: answers say `Connection: close`.
    is_draining: Cell<bool>,
    /// Connections whose task has not ended.
    open: Cell<usize>,
    /// What this loop counts, and what is counted of all.
    pub(crate) counters: Arc<CachePadded<Counters>>,
    pub(crate) stats: Stats,
    /// Who waits until no connection is open.
    drained: Cell<Option<Waker>>,
    /// Where the task that is running says what it works on.
    pub(crate) notebook: Notebook,
    /// The task that spawns those of the connections.
    accept_task: Option<TaskId>,
    /// Connections are to say what they do.
    is_taking_snapshot: Cell<bool>,
    connection_snapshot: RefCell<Vec<Activity>>,
}

impl LoopServer {
    pub(crate) fn new(
        routes: Service,
        limits: Limits,
        timeouts: Timeouts,
        timed_loop: Option<usize>,
        counters: Arc<CachePadded<Counters>>,
        stats: Stats,
    ) -> Self {
        let buffers = LoopBuffers::new(limits.read_ahead_bytes_max);
        Self {
            routes,
            limits,
            timeouts,
            timed_loop,
            buffers,
            date: RefCell::new(DateCache::new()),
            date_ends: Cell::new(time::now()),
            is_draining: Cell::new(false),
            open: Cell::new(0),
            counters,
            stats,
            drained: Cell::new(None),
            notebook: Notebook::current(),
            accept_task: task::current().map(|task| task.label.id()),
            is_taking_snapshot: Cell::new(false),
            connection_snapshot: RefCell::default(),
        }
    }

    /// What this thread's loop serves, if it does.
    pub(crate) fn current() -> Option<Rc<Self>> {
        SERVER.with_borrow(Weak::upgrade)
    }

    /// Makes this what the thread's loop serves.
    pub(crate) fn install(self: &Rc<Self>) {
        SERVER.set(Rc::downgrade(self));
    }

    /// The tasks of the connections.
    pub(crate) fn connections(&self) -> impl Iterator<Item = TaskId> {
        let accept_task = self.accept_task;
        let is_one = move |task: &task::TaskInfo| {
            task.parent == accept_task && task.label.name() == Some(CONNECTION)
        };
        task::all().into_iter().filter(is_one).map(|task| task.label.id())
    }

    /// Asks every connection what it does.
    pub(crate) async fn connection_snapshot(&self) -> Vec<Activity> {
        self.is_taking_snapshot.set(true);
        self.connections().for_each(task::wake);
        // They are before this task in the queue.
        yield_now().await;
        self.is_taking_snapshot.set(false);
        self.connection_snapshot.take()
    }

    pub(crate) fn is_taking_snapshot(&self) -> bool {
        self.is_taking_snapshot.get()
    }

    pub(crate) fn count(&self, activity: Activity) {
        self.connection_snapshot.borrow_mut().push(activity);
    }

    /// Closes up to `count` connections that wait for a request, those first that have waited
    /// longest. Returns how many.
    pub(crate) async fn shed(&self, count: usize) -> usize {
        let mut idle = self.connection_snapshot().await;
        idle.retain(|one| one.state == ConnectionState::Idle && one.lasted >= SHED_QUIET);
        idle.sort_by_key(|one| std::cmp::Reverse(one.lasted));
        idle.truncate(count);
        idle.iter().for_each(|one| task::abort(one.task));
        idle.len()
    }

    /// Looks whether the date is new enough; to be called before answers are sent. Once a poll
    /// will do: the loop's time stands still until the next one.
    pub(crate) fn keep_date(&self) {
        let now = time::now();
        if now >= self.date_ends.get() {
            self.date_ends.set(now + DATE_AGE_MAX);
            self.date.borrow_mut().bytes(SystemTime::now());
        }
    }

    /// Knows the `Date` of answers that are sent now.
    pub(crate) fn date(&self) -> Ref<'_, DateCache> {
        self.date.borrow()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.get()
    }

    pub(crate) fn begin_drain(&self) {
        self.is_draining.set(true);
    }

    pub(crate) fn open(&self) -> usize {
        self.open.get()
    }

    pub(crate) fn connection_opened(&self) {
        self.open.update(|open| open + 1);
    }

    pub(crate) fn connection_closed(&self) {
        self.open.update(|open| open - 1);
        if self.open.get() == 0
            && let Some(waker) = self.drained.take()
        {
            waker.wake();
        }
    }

    /// Waits until no connection is open.
    pub(crate) async fn drained(&self) {
        std::future::poll_fn(|cx| {
            if self.open.get() == 0 {
                return std::task::Poll::Ready(());
            }
            self.drained.set(Some(cx.waker().clone()));
            std::task::Poll::Pending
        })
        .await;
    }
}

/// What the tasks of connections are called.
pub(crate) const CONNECTION: &str = "connection";

/// What this thread's loop does, in a few lines.
pub(crate) async fn describe_this_loop() -> String {
    match LoopServer::current() {
        Some(server) => describe(server.connection_snapshot().await),
        None => describe(Vec::new()),
    }
}

impl fmt::Debug for LoopServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopServer").field("open", &self.open).finish_non_exhaustive()
    }
}
