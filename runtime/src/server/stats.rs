//! The counters of a server's loops, for any thread.
//!
//! Observing a server is layered. Each layer contains the one before it:
//!
//! 1. [`Snapshot`]: one event loop, whatever it runs.
//! 2. [`LoopStats`]: a loop of a server, with its connections. A protocol adds its own counters:
//!    `brigade::http::LoopStats` adds requests.
//! 3. [`LoopReport`](crate::server::LoopReport): what a loop did, at its end, with the connections
//!    that were cancelled.
//!
//! Each loop publishes its counters in atomics, so they can be read also while the loop is stuck.

use std::fmt;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

use crate::executor::handle::LoopHandle;
use crate::observe::snapshot::Snapshot;
use crate::server::connection_queue::ConnectionCounts;
use crate::sync::lock;

/// The counters of a server, see [`TcpServer::stats`](crate::server::TcpServer::stats). Clones
/// refer to the same server.
#[derive(Clone, Default)]
pub struct Stats {
    shared: Arc<Mutex<Sources>>,
}

#[derive(Default)]
struct Sources {
    /// By the number of the loop, each from when it first started.
    loops: Vec<Option<Source>>,
    /// `None` until the server serves.
    turned_away: Option<Arc<AtomicUsize>>,
}

struct Source {
    handle: LoopHandle,
    counts: ConnectionCounts,
    /// The counters of the loops that died before at this number.
    past: Option<LoopStats>,
}

/// The counters of one loop of a server. They continue when the loop dies and is replaced.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct LoopStats {
    /// The number of the loop among those of the server, from 0.
    pub number: usize,
    /// The event loop.
    pub event_loop: Snapshot,
    /// Open connections, those that wait to be started included.
    pub open: usize,
    /// Connections that the loop accepted or was given, without those that were taken back.
    pub accepted: usize,
    /// Connections that were taken back before the loop claimed them, because it was stuck.
    pub taken_back: usize,
}

impl Stats {
    /// Returns the counters of each loop that has started.
    #[must_use]
    pub fn loops(&self) -> Vec<LoopStats> {
        let sources = lock(&self.shared);
        let loops = sources.loops.iter().enumerate();
        loops.filter_map(|(number, source)| Some(source.as_ref()?.stats(number))).collect()
    }

    /// Returns the counters of the loop with this number, if it has started.
    #[must_use]
    pub fn of_loop(&self, number: usize) -> Option<LoopStats> {
        Some(lock(&self.shared).loops.get(number)?.as_ref()?.stats(number))
    }

    /// Returns how many connections were accepted and closed at once because descriptors had run
    /// out.
    #[must_use]
    pub fn turned_away(&self) -> usize {
        lock(&self.shared).turned_away.as_ref().map_or(0, |count| count.load(Relaxed))
    }

    /// Registers this thread's loop, which may replace one that died.
    pub(super) fn register(&self, number: usize, counts: ConnectionCounts) {
        let handle = LoopHandle::current();
        let mut sources = lock(&self.shared);
        if sources.loops.len() <= number {
            sources.loops.resize_with(number + 1, || None);
        }
        let past = sources.loops[number].take().map(|source| source.stats(number));
        sources.loops[number] = Some(Source { handle, counts, past });
    }

    pub(super) fn set_turned_away(&self, turned_away: Arc<AtomicUsize>) {
        lock(&self.shared).turned_away = Some(turned_away);
    }
}

impl Source {
    fn stats(&self, number: usize) -> LoopStats {
        let mut stats = LoopStats {
            number,
            event_loop: self.handle.snapshot(),
            open: self.counts.open(),
            accepted: self.counts.accepted(),
            taken_back: self.counts.taken_back(),
        };
        if let Some(past) = &self.past {
            stats.add_past(past);
        }
        stats
    }
}

impl LoopStats {
    fn add_past(&mut self, past: &Self) {
        self.event_loop.turns += past.event_loop.turns;
        self.event_loop.polls += past.event_loop.polls;
        self.event_loop.stalls += past.event_loop.stalls;
        self.event_loop.poll_times += past.event_loop.poll_times;
        self.accepted += past.accepted;
        self.taken_back += past.taken_back;
    }
}

impl fmt::Display for LoopStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  {} connections open", self.event_loop, self.open)
    }
}

impl fmt::Debug for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.loops()).finish()
    }
}

#[cfg(all(test, not(brigade_loom)))]
mod tests {
    use std::time::Duration;

    use super::*;

    fn stats(n: u64) -> LoopStats {
        let mut stats = LoopStats::default();
        let event_loop = &mut stats.event_loop;
        (event_loop.turns, event_loop.polls, event_loop.stalls) = (n, n + 1, n + 2);
        event_loop.poll_times.sum = Duration::from_secs(n);
        (stats.open, stats.accepted, stats.taken_back) = (4, 5, 6);
        stats
    }

    #[test]
    fn the_counters_of_a_loop_continue_those_of_the_loops_before_it() {
        let mut sum = stats(10);
        sum.add_past(&stats(100));
        let Snapshot { turns, polls, stalls, poll_times, .. } = sum.event_loop;
        assert_eq!((turns, polls, stalls, poll_times.sum.as_secs()), (110, 112, 114, 110));
        assert_eq!((sum.open, sum.accepted, sum.taken_back), (4, 10, 12));
    }

    #[test]
    fn the_text_of_a_loop_says_how_many_connections_are_open() {
        let stats = stats(1);
        let text = format!("{}\n  4 connections open", stats.event_loop);
        assert_eq!(stats.to_string(), text);
    }

    #[test]
    fn connections_that_were_turned_away_are_counted_once_the_server_serves() {
        let stats = Stats::default();
        assert_eq!(stats.turned_away(), 0);
        stats.set_turned_away(Arc::new(AtomicUsize::new(3)));
        assert_eq!(stats.turned_away(), 3);
    }
}
