//! What all HTTP connections of one loop share: the routes, the options, the buffers.

use std::cell::{Cell, Ref, RefCell};
use std::collections::{BTreeMap, BTreeSet};
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
use crate::server::handshake::Handshake;
use crate::server::http2::Http2Options;
use crate::server::stats::{CurrentStats, Stats};
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
    pub(super) http2: Http2Options,
    /// Present if connections begin with a handshake.
    pub(super) handshake: Option<Arc<dyn Handshake>>,
}

/// What all HTTP connections of one loop share.
pub(crate) struct LoopContext {
    pub(crate) routes: Service,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    /// The loop's number, if responses get a `Server-Timing` header.
    pub(crate) timed_loop: Option<usize>,
    pub(crate) http2: Http2Options,
    /// Present if connections begin with a handshake.
    pub(crate) handshake: Option<Arc<dyn Handshake>>,
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
    /// The snapshots that are being taken, by their number. Every connection that is polled
    /// describes itself in each of them.
    snapshots: RefCell<BTreeMap<u64, Vec<ConnectionInfo>>>,
    last_snapshot: Cell<u64>,
    /// The tasks of idle connections, which close themselves if they are still idle.
    to_close: RefCell<BTreeSet<TaskId>>,
    /// Absent without a server.
    _current: Option<CurrentStats>,
}

/// A snapshot that is being taken. Dropping it gives it up.
struct TakingSnapshot<'a> {
    context: &'a LoopContext,
    number: u64,
}

impl<'a> TakingSnapshot<'a> {
    fn begin(context: &'a LoopContext) -> Self {
        let number = context.last_snapshot.get() + 1;
        context.last_snapshot.set(number);
        context.snapshots.borrow_mut().insert(number, Vec::new());
        Self { context, number }
    }

    /// Returns what was described since the beginning.
    fn take(&mut self) -> Vec<ConnectionInfo> {
        self.context.snapshots.borrow_mut().remove(&self.number).unwrap_or_default()
    }
}

impl Drop for TakingSnapshot<'_> {
    fn drop(&mut self) {
        self.take();
    }
}

/// An inspection of the connections in progress, until dropped.
struct Inspection<'a>(&'a Cell<u32>);

impl<'a> Inspection<'a> {
    fn begin(inspections: &'a Cell<u32>) -> Self {
        inspections.update(|count| count + 1);
        Self(inspections)
    }
}

impl Drop for Inspection<'_> {
    fn drop(&mut self) {
        self.0.update(|count| count - 1);
    }
}

impl LoopContext {
    pub(super) fn new(
        routes: Service,
        options: Options,
        number: usize,
        counters: Arc<CachePadded<Counters>>,
        stats: Option<Stats>,
    ) -> Self {
        let Options { limits, timeouts, server_timing, http2, handshake } = options;
        let buffers = LoopBuffers::new(limits.read_ahead_bytes_max);
        Self {
            routes,
            limits,
            timeouts,
            timed_loop: server_timing.then_some(number),
            http2,
            handshake,
            buffers,
            date: RefCell::new(DateCache::new()),
            date_ends: Cell::new(time::now()),
            is_draining: Cell::new(false),
            counters,
            notebook: Notebook::current(),
            inspections: Cell::new(0),
            snapshots: RefCell::default(),
            last_snapshot: Cell::new(0),
            to_close: RefCell::default(),
            _current: stats.map(Stats::enter),
        }
    }

    /// Starts the drain: responses say `Connection: close` from now on.
    pub(super) fn drain(&self) {
        self.is_draining.set(true);
    }

    /// Describes the open connections, those that have waited longest first.
    pub(super) async fn snapshot(&self, connections: &Connections) -> Vec<ConnectionInfo> {
        let mut taking = TakingSnapshot::begin(self);
        connections.wake_all();
        self.inspected().await;
        let mut snapshot = taking.take();
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
        let _inspection = Inspection::begin(&self.inspections);
        task::yield_now().await;
    }

    /// Returns `true` while a connection that is polled has to look whether it is to describe or to
    /// close itself.
    pub(crate) fn is_inspecting(&self) -> bool {
        self.inspections.get() > 0
    }

    /// Returns `true` while every connection that is polled should describe itself.
    pub(crate) fn is_taking_snapshot(&self) -> bool {
        !self.snapshots.borrow().is_empty()
    }

    /// Returns `true` if the connection of the task `id` is to be closed.
    pub(crate) fn is_to_close(&self, id: TaskId) -> bool {
        self.to_close.borrow().contains(&id)
    }

    /// Notes that the connection of the task `id` closes itself.
    pub(crate) fn note_closed(&self, id: TaskId) {
        self.to_close.borrow_mut().remove(&id);
    }

    /// Adds the description of a connection to the snapshots that are being taken.
    pub(crate) fn add_to_snapshot(&self, connection: ConnectionInfo) {
        let mut snapshots = self.snapshots.borrow_mut();
        snapshots.values_mut().for_each(|snapshot| snapshot.push(connection.clone()));
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

impl fmt::Debug for LoopContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopContext").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::pin::pin;
    use std::sync::{Mutex, mpsc};
    use std::task::{Context, Waker};

    use std::rc::Rc;

    use brigade_runtime::server::{AcceptedConnection, Protocol};
    use brigade_runtime::{TcpServer, gather, oneshot, spawn};

    use super::*;
    use crate::routing::router::Router;

    /// Takes snapshots once three connections are open.
    struct Observed {
        server: Rc<LoopContext>,
        lengths: mpsc::Sender<[usize; 3]>,
    }

    impl Protocol for Observed {
        type Connection = ConnectionInfo;

        fn serve(self: &Rc<Self>, connection: AcceptedConnection, connections: &Connections) {
            self.server.serve(connection, connections);
            if connections.open() == 3 {
                let (this, connections) = (self.clone(), connections.clone());
                spawn(async move { this.take_snapshots(&connections).await }).detach();
            }
        }

        async fn snapshot(&self, connections: &Connections) -> Vec<ConnectionInfo> {
            self.server.snapshot(connections).await
        }
    }

    impl Observed {
        async fn take_snapshots(&self, connections: &Connections) {
            let server = &self.server;
            {
                let mut given_up = pin!(server.snapshot(connections));
                let cx = &mut Context::from_waker(Waker::noop());
                assert!(given_up.as_mut().poll(cx).is_pending());
            }
            assert!(!server.is_taking_snapshot());
            let later = async {
                task::yield_now().await;
                server.snapshot(connections).await
            };
            let (first, second, third) =
                gather((server.snapshot(connections), server.snapshot(connections), later)).await;
            self.lengths.send([first.len(), second.len(), third.len()]).unwrap();
            assert!(!server.is_taking_snapshot());
        }
    }

    #[test]
    fn snapshots_that_are_taken_at_the_same_time_each_contain_every_connection() {
        let server = TcpServer::bind("127.0.0.1:0").unwrap().loops(1).pin(false);
        let address = server.local_addr().unwrap();
        let (lengths, taken) = mpsc::channel();
        let stats = Mutex::new(Some((Stats::new(server.stats()), lengths)));
        let stats = Arc::new(stats);
        let make = move |number| {
            let (stats, lengths) = stats.lock().unwrap().take().unwrap();
            let (routes, counters) = (Router::new().into_service(), stats.register(number));
            let server =
                LoopContext::new(routes, Options::default(), number, counters, Some(stats));
            Observed { server: Rc::new(server), lengths }
        };
        let (shutdown, shut_down) = oneshot::sync_channel::<()>();
        let clients = std::thread::spawn(move || {
            let _clients = [(); 3].map(|()| TcpStream::connect(address).unwrap());
            let taken = taken.recv_timeout(Duration::from_secs(30));
            drop(shutdown);
            taken
        });
        let shutdown = async {
            let _ = shut_down.await;
        };
        let serve = server.serve_protocol(make, shutdown, std::future::pending());
        brigade_runtime::run(serve).unwrap();
        assert_eq!(clients.join().unwrap(), Ok([3, 3, 3]));
    }
}
