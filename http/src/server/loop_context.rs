//! What all HTTP connections of one loop share: the routes, the options, the buffers.

use std::cell::{Cell, Ref, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use brigade_runtime::server::Connections;
use brigade_runtime::task::{Notebook, yield_now};
use brigade_runtime::time;
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
pub(crate) struct LoopServer {
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
    /// Every connection that is polled describes itself in each of `snapshots`.
    is_taking_snapshot: Cell<bool>,
    /// The snapshots that are being taken, by their number.
    snapshots: RefCell<BTreeMap<u64, Vec<ConnectionInfo>>>,
    last_snapshot: Cell<u64>,
}

/// A snapshot that is being taken. Dropping it gives it up.
struct TakingSnapshot<'a> {
    server: &'a LoopServer,
    number: u64,
}

impl<'a> TakingSnapshot<'a> {
    fn begin(server: &'a LoopServer) -> Self {
        let number = server.last_snapshot.get() + 1;
        server.last_snapshot.set(number);
        server.snapshots.borrow_mut().insert(number, Vec::new());
        server.is_taking_snapshot.set(true);
        Self { server, number }
    }

    /// Returns what was described since the beginning.
    fn take(&mut self) -> Vec<ConnectionInfo> {
        let mut snapshots = self.server.snapshots.borrow_mut();
        let taken = snapshots.remove(&self.number).unwrap_or_default();
        self.server.is_taking_snapshot.set(!snapshots.is_empty());
        taken
    }
}

impl Drop for TakingSnapshot<'_> {
    fn drop(&mut self) {
        self.take();
    }
}

impl LoopServer {
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
            is_taking_snapshot: Cell::new(false),
            snapshots: RefCell::default(),
            last_snapshot: Cell::new(0),
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
        // The tasks of the connections are before this task in the ready queue.
        yield_now().await;
        let mut snapshot = taking.take();
        snapshot.sort_by_key(|connection| std::cmp::Reverse(connection.lasted));
        snapshot
    }

    /// Returns `true` while every connection that is polled should describe itself.
    pub(crate) fn is_taking_snapshot(&self) -> bool {
        self.is_taking_snapshot.get()
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

impl Drop for LoopServer {
    fn drop(&mut self) {
        Stats::set_current(None);
    }
}

impl fmt::Debug for LoopServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopServer").finish_non_exhaustive()
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
        server: Rc<LoopServer>,
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
                yield_now().await;
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
            let server = LoopServer::new(routes, Options::default(), number, counters, stats);
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
