//! The counters of an HTTP server's loops: those of the TCP server, and the requests.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};

use brigade_runtime::{lock, server};
use crossbeam_utils::CachePadded;

use crate::server::activity::ConnectionInfo;
use crate::server::counters::Counters;
use crate::server::handshake::{Handshake, HandshakeCounts};

thread_local! {
    /// The counters of the server whose loop this thread runs.
    static CURRENT: RefCell<Option<Stats>> = const { RefCell::new(None) };
}

/// The counters of a server, see [`Server::stats`](crate::Server::stats). Clones refer to the same
/// server.
///
/// Each loop publishes its counters in atomics, so they can be read from any thread, also while the
/// loop is stuck.
#[derive(Clone)]
pub struct Stats {
    tcp: server::Stats,
    /// The requests of each loop, by its number.
    requests: Arc<Mutex<Vec<Option<LoopRequests>>>>,
    /// What counts the handshakes of all loops.
    handshake: Arc<Mutex<Option<Arc<dyn Handshake>>>>,
}

struct LoopRequests {
    counters: Arc<CachePadded<Counters>>,
    /// The counts of the loops that died before at this number.
    past: RequestCounts,
}

/// The counters of one loop of an HTTP server. They continue when the loop dies and is replaced.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoopStats {
    /// The event loop and its connections.
    pub tcp: server::LoopStats,
    /// The requests.
    pub requests: RequestCounts,
}

/// The requests of one loop, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestCounts {
    /// Requests whose head was read.
    pub total: u64,
    /// Requests whose response is not complete: the handler is running, or the body is being sent.
    /// A connection that was upgraded to another protocol has none.
    pub in_flight: u64,
    /// Responses by the class of their status, from 1xx to 5xx, counted once they are complete or
    /// given up midway. Error responses to malformed requests count as well.
    pub responses: [u64; 5],
    /// Requests that ended without a response: the client had gone, or the connection was
    /// cancelled.
    pub unanswered: u64,
    /// Responses that were cut off because their body failed: its stream returned an error, its
    /// length is not the announced one, or its file cannot be read. They also count as responses.
    pub bodies_failed: u64,
}

/// What one loop of an HTTP server did, returned when the server has ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoopReport {
    /// The loop's counters, all zero if it never started.
    pub stats: LoopStats,
    /// How many connections were still open at the drain deadline, and were cancelled.
    pub cancelled: usize,
    /// Descriptions of those connections, at most twenty, those that had waited longest first.
    pub cancelled_connections: Vec<ConnectionInfo>,
}

/// The counters of a server are the current ones of this thread until this is dropped.
pub(super) struct CurrentStats(PhantomData<*const ()>);

impl CurrentStats {
    fn set(stats: Option<Stats>) {
        // A thread past its destructors runs no loop.
        let _ = CURRENT.try_with(|current| current.replace(stats));
    }
}

impl Drop for CurrentStats {
    fn drop(&mut self) {
        Self::set(None);
    }
}

impl Stats {
    pub(super) fn new(tcp: server::Stats) -> Self {
        Self { tcp, requests: Arc::default(), handshake: Arc::default() }
    }

    /// Returns the counters of the server whose loop this thread runs; `None` on other threads.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Makes these the current ones of this thread until the returned value is dropped.
    pub(super) fn enter(self) -> CurrentStats {
        CurrentStats::set(Some(self));
        CurrentStats(PhantomData)
    }

    /// Returns the counters of each loop that has started.
    #[must_use]
    pub fn loops(&self) -> Vec<LoopStats> {
        self.tcp.loops().into_iter().map(|tcp| self.with_requests(tcp)).collect()
    }

    /// Returns the counters of the loop with this number, if it has started.
    #[must_use]
    pub fn of_loop(&self, number: usize) -> Option<LoopStats> {
        Some(self.with_requests(self.tcp.of_loop(number)?))
    }

    /// Returns how many connections were accepted and closed at once because descriptors had run
    /// out.
    #[must_use]
    pub fn turned_away(&self) -> usize {
        self.tcp.turned_away()
    }

    /// Returns the TLS handshakes of all loops, counted. `None` if the server speaks no TLS.
    #[must_use]
    pub fn handshakes(&self) -> Option<HandshakeCounts> {
        lock(&self.handshake).as_ref().map(|handshake| handshake.counts())
    }

    pub(super) fn set_handshake(&self, handshake: Arc<dyn Handshake>) {
        *lock(&self.handshake) = Some(handshake);
    }

    fn with_requests(&self, tcp: server::LoopStats) -> LoopStats {
        let requests = lock(&self.requests);
        // A loop that has just started may not count requests yet.
        let requests = requests.get(tcp.number).and_then(|requests| Some(requests.as_ref()?.now()));
        LoopStats { tcp, requests: requests.unwrap_or_default() }
    }

    /// Registers a loop that starts to serve, and may replace one that died. Returns the counters
    /// that it writes.
    pub(super) fn register(&self, number: usize) -> Arc<CachePadded<Counters>> {
        let counters = Arc::<CachePadded<Counters>>::default();
        let mut loops = lock(&self.requests);
        if loops.len() <= number {
            loops.resize_with(number + 1, || None);
        }
        let past = loops[number].take().map(|requests| requests.now()).unwrap_or_default();
        loops[number] = Some(LoopRequests { counters: counters.clone(), past });
        counters
    }

    /// Adds the counters of the requests to the reports of the TCP server.
    pub(super) fn reports(
        &self,
        reports: Vec<server::LoopReport<ConnectionInfo>>,
    ) -> Vec<LoopReport> {
        let report = |report: server::LoopReport<ConnectionInfo>| LoopReport {
            stats: self.with_requests(report.stats),
            cancelled: report.cancelled,
            cancelled_connections: report.cancelled_connections,
        };
        reports.into_iter().map(report).collect()
    }
}

impl LoopRequests {
    fn now(&self) -> RequestCounts {
        let mut now = RequestCounts::of(&self.counters);
        now.responses.iter_mut().zip(self.past.responses).for_each(|(count, past)| *count += past);
        now.total += self.past.total;
        now.unanswered += self.past.unanswered;
        now.bodies_failed += self.past.bodies_failed;
        now
    }
}

impl RequestCounts {
    pub(super) fn of(counters: &Counters) -> Self {
        Self {
            total: counters.requests(),
            in_flight: counters.in_flight(),
            responses: counters.responses(),
            unanswered: counters.unanswered(),
            bodies_failed: counters.bodies_failed(),
        }
    }
}

impl fmt::Display for LoopStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RequestCounts { in_flight, responses, .. } = self.requests;
        write!(f, "{}, {in_flight} requests in flight, responses", self.tcp)?;
        for (class, count) in (1..).zip(responses) {
            if class > 1 {
                f.write_str(",")?;
            }
            write!(f, " {count} x {class}xx")?;
        }
        Ok(())
    }
}

impl fmt::Display for LoopReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LoopStats { tcp, requests } = &self.stats;
        write!(f, "{} connections, {} requests", tcp.accepted, requests.total)
    }
}

impl fmt::Debug for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.loops()).finish()
    }
}
