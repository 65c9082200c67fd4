//! What all HTTP connections of one loop share: the routes, the options, the buffers.

use std::cell::{Cell, Ref, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use brigade_runtime::server::{AcceptedConnection, Connections, Protocol};
use brigade_runtime::task::{self, Notebook, yield_now};
use brigade_runtime::time;
use crossbeam_utils::CachePadded;

use crate::protocol::date::DateCache;
use crate::protocol::limits::{Limits, Timeouts};
use crate::routing::service::Service;
use crate::server::activity::{ConnectionInfo, ConnectionState, summary};
use crate::server::connection::{ConnectionTask, WatchedConnection};
use crate::server::counters::Counters;
use crate::server::stats::Stats;

/// A write buffer that has grown beyond this is not kept.
const WRITE_BUFFER_BYTES_MAX: usize = 1024 * 1024;

/// The age at which the loop's `Date` is renewed. Its text has whole seconds.
const DATE_AGE_MAX: Duration = Duration::from_millis(100);

/// Only connections that have been idle for this long are closed when descriptors run out: the
/// next request of one that was busy until just now may be on its way.
const SHED_IDLE_MIN: Duration = Duration::from_millis(250);

/// What a loop needs to serve HTTP, beside its routes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    pub(crate) server_timing: bool,
}

/// What all HTTP connections of one loop share.
pub(crate) struct LoopServer {
    pub(crate) routes: Service,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    /// The loop's number, if responses get a `Server-Timing` header.
    pub(crate) timed_loop: Option<usize>,
    /// The buffer that bytes are read into, initialized once.
    pub(crate) read_buffer: RefCell<Box<[u8]>>,
    /// The buffer that responses are written into. A connection holds it only while its task runs.
    write_buffer: Cell<Vec<u8>>,
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

impl Protocol for LoopServer {
    type Connection = ConnectionInfo;

    fn serve(self: &Rc<Self>, connection: AcceptedConnection, connections: &Connections) {
        let (connection, guard) = ConnectionTask::new(self.clone(), connection);
        if connection.is_watched() {
            connections.spawn(guard, WatchedConnection(connection));
        } else {
            connections.spawn(guard, connection);
        }
    }

    fn drain(&self) {
        self.is_draining.set(true);
    }

    async fn shed(&self, count: usize, connections: &Connections) -> usize {
        let mut idle = self.snapshot(connections).await;
        idle.retain(|one| one.state == ConnectionState::Idle && one.lasted >= SHED_IDLE_MIN);
        idle.truncate(count);
        idle.iter().for_each(|one| task::abort(one.task));
        idle.len()
    }

    async fn snapshot(&self, connections: &Connections) -> Vec<ConnectionInfo> {
        let mut taking = TakingSnapshot::begin(self);
        connections.wake_all();
        // They are before this task in the ready queue.
        yield_now().await;
        let mut snapshot = taking.take();
        snapshot.sort_by_key(|connection| std::cmp::Reverse(connection.lasted));
        snapshot
    }

    fn summary(&self, connections: &[ConnectionInfo]) -> String {
        summary(connections)
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
        let read_ahead = limits.read_ahead_bytes_max.max(1);
        Self {
            routes,
            limits,
            timeouts,
            timed_loop: server_timing.then_some(number),
            read_buffer: RefCell::new(vec![0; read_ahead].into_boxed_slice()),
            write_buffer: Cell::new(Vec::new()),
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

    /// Returns `true` while every connection that is polled should describe itself.
    pub(crate) fn is_taking_snapshot(&self) -> bool {
        self.is_taking_snapshot.get()
    }

    /// Adds the description of a connection to the snapshots that are being taken.
    pub(crate) fn add_to_snapshot(&self, connection: ConnectionInfo) {
        let mut snapshots = self.snapshots.borrow_mut();
        snapshots.values_mut().for_each(|snapshot| snapshot.push(connection.clone()));
    }

    /// Takes the loop's write buffer, which is empty. It must be given back.
    pub(crate) fn take_write_buffer(&self) -> Vec<u8> {
        self.write_buffer.take()
    }

    /// Gives the write buffer back.
    pub(crate) fn give_write_buffer(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= WRITE_BUFFER_BYTES_MAX {
            buffer.clear();
            self.write_buffer.set(buffer);
        }
    }

    /// Renews the `Date` of responses if it is too old. Once per poll is enough, since the loop's
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
