//! What all HTTP connections of one loop share: the routes, the options, the buffers.

use std::cell::{Cell, Ref, RefCell};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use brigade_runtime::server::Connections;
use brigade_runtime::task::{Notebook, TaskId};
use brigade_runtime::{task, time};
use crossbeam_utils::CachePadded;

use crate::protocol::date::DateCache;
use crate::protocol::limits::Limits;
use crate::routing::service::Service;
use crate::server::activity::ConnectionInfo;
use crate::server::counters::Counters;
use crate::server::stats::Stats;
use crate::server::timeouts::Timeouts;
use crate::transport::buffers::LoopBuffers;

/// The age at which the loop's `Date` is renewed. Its text has whole seconds.
const DATE_AGE_MAX: Duration = Duration::from_millis(100);

/// What a loop needs to serve HTTP, beside its routes.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    pub(super) limits: Limits,
    pub(super) timeouts: Timeouts,
    pub(super) server_timing: bool,
}

/// What all HTTP connections of one loop share.
pub(crate) struct LoopContext {
    pub(crate) routes: Service,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    /// The loop's number, if responses get a `Server-Timing` header.
    pub(crate) timed_loop: Option<usize>,
    pub(crate) buffers: LoopBuffers,
    date: RefCell<DateCache>,
    /// When the date has to be renewed.
    date_ends: Cell<Instant>,
    /// The server is shutting down: responses say `Connection: close`.
    is_draining: Cell<bool>,
    pub(crate) counters: Arc<CachePadded<Counters>>,
    /// Where the running task notes the route that it works on.
    pub(crate) notebook: Notebook,
    /// How many times `snapshot` and `close_idle` are in progress.
    inspections: Cell<u32>,
    /// Every connection that is polled describes itself in `snapshot`.
    is_taking_snapshot: Cell<bool>,
    snapshot: RefCell<Vec<ConnectionInfo>>,
    /// The tasks of idle connections, which close themselves if they are still idle.
    to_close: RefCell<BTreeSet<TaskId>>,
}

impl LoopContext {
    pub(super) fn new(
        routes: Service,
        options: Options,
        number: usize,
        counters: Arc<CachePadded<Counters>>,
        stats: Stats,
    ) -> Self {
        Stats::set_current(Some(stats));
        let Options { limits, timeouts, server_timing } = options;
        let buffers = LoopBuffers::new(limits.read_ahead_bytes_max);
        Self {
            routes,
            limits,
            timeouts,
            timed_loop: server_timing.then_some(number),
            buffers,
            date: RefCell::new(DateCache::new()),
            date_ends: Cell::new(time::now()),
            is_draining: Cell::new(false),
            counters,
            notebook: Notebook::current(),
            inspections: Cell::new(0),
            is_taking_snapshot: Cell::new(false),
            snapshot: RefCell::default(),
            to_close: RefCell::default(),
        }
    }

    /// Starts the drain: responses say `Connection: close` from now on.
    pub(super) fn drain(&self) {
        self.is_draining.set(true);
    }

    /// Describes the open connections, those that have waited longest first.
    pub(super) async fn snapshot(&self, connections: &Connections) -> Vec<ConnectionInfo> {
        self.is_taking_snapshot.set(true);
        connections.wake_all();
        self.inspected().await;
        self.is_taking_snapshot.set(false);
        let mut snapshot = self.snapshot.take();
        snapshot.sort_by_key(|connection| std::cmp::Reverse(connection.lasted));
        snapshot
    }

    /// Closes the connections of these tasks, unless a request has arrived meanwhile. Returns how
    /// many were closed.
    pub(super) async fn close_idle(&self, tasks: impl Iterator<Item = TaskId>) -> usize {
        let tasks = tasks.collect::<BTreeSet<_>>();
        self.to_close.borrow_mut().extend(&tasks);
        tasks.iter().for_each(|id| task::wake(*id));
        self.inspected().await;
        let mut to_close = self.to_close.borrow_mut();
        tasks.iter().filter(|id| !to_close.remove(id)).count()
    }

    /// Waits until the connections that were just woken have been polled: their tasks are before
    /// this one in the ready queue.
    async fn inspected(&self) {
        self.inspections.update(|count| count + 1);
        task::yield_now().await;
        self.inspections.update(|count| count - 1);
    }

    /// Returns `true` while a connection that is polled has to look whether it is to describe or to
    /// close itself.
    pub(crate) fn is_inspecting(&self) -> bool {
        self.inspections.get() > 0
    }

    /// Returns `true` while every connection that is polled should describe itself.
    pub(crate) fn is_taking_snapshot(&self) -> bool {
        self.is_taking_snapshot.get()
    }

    /// Returns `true` if the connection of the task `id` is to be closed.
    pub(crate) fn is_to_close(&self, id: TaskId) -> bool {
        self.to_close.borrow().contains(&id)
    }

    /// Notes that the connection of the task `id` closes itself.
    pub(crate) fn note_closed(&self, id: TaskId) {
        self.to_close.borrow_mut().remove(&id);
    }

    /// Adds the description of a connection to the snapshot.
    pub(crate) fn add_to_snapshot(&self, connection: ConnectionInfo) {
        self.snapshot.borrow_mut().push(connection);
    }

    /// Renews the `Date` of responses if it is too old. Once a poll is enough, since the loop's
    /// time stands still until the next one.
    pub(crate) fn renew_date(&self) {
        let now = time::now();
        if now >= self.date_ends.get() {
            self.date_ends.set(now + DATE_AGE_MAX);
            self.date.borrow_mut().bytes(SystemTime::now());
        }
    }

    /// Returns the `Date` of responses that are sent now.
    pub(crate) fn date(&self) -> Ref<'_, DateCache> {
        self.date.borrow()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.get()
    }
}

impl Drop for LoopContext {
    fn drop(&mut self) {
        Stats::set_current(None);
    }
}

impl fmt::Debug for LoopContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopContext").finish_non_exhaustive()
    }
}
