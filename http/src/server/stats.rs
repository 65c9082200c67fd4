//! The loops of a server in numbers, for whoever asks, on any thread.
//!
//! Each loop writes what it does into atomics of its own, and nobody is asked for anything: so a
//! loop that is stuck is told of like the others.

use std::fmt;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use brigade_runtime::{LoopHandle, Snapshot, Traffic};
use crossbeam_utils::CachePadded;

use crate::server::counters::Counters;
use crate::server::loop_context::LoopServer;

/// What the loops of a server do, in numbers, from any thread and without asking them. See
/// [`Server::stats`](crate::Server::stats).
#[derive(Clone, Default)]
pub struct Stats {
    shared: Arc<Mutex<Sources>>,
}

/// Where the numbers come from.
#[derive(Default)]
struct Sources {
    /// By their number, each from when it began for the first time.
    loops: Vec<Option<Source>>,
    /// Counted by all who accept for the server; absent until it serves.
    turned_away: Option<Arc<AtomicUsize>>,
}

/// One loop.
struct Source {
    handle: LoopHandle,
    traffic: Traffic,
    counters: Arc<CachePadded<Counters>>,
    /// What those that died before in its place have left.
    past: Option<LoopStats>,
}

/// What one loop of a server does, in numbers.
///
/// What is counted does not begin anew when the loop dies and another one takes its place.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoopStats {
    /// Which of the server's loops this is, from 0.
    pub number: usize,
    /// What every loop tells of itself.
    pub event_loop: Snapshot,
    /// Connections that are open, those that wait to be taken included.
    pub open: usize,
    /// Connections that it accepted, or that were handed to it.
    pub handed: usize,
    /// Those of them that were taken back before it began with them, since it did not turn.
    pub taken_back: usize,
    /// Requests whose head it read.
    pub requests: u64,
    /// Those of them of which the answer is not complete: its handler is at work, or its body on
    /// the way. A connection that another protocol has taken over is none.
    pub in_flight: u64,
    /// Answers by the class of their status, from 1xx to 5xx, counted when the answer is complete
    /// or is given up midway. The refusal of what is no request is one too.
    pub answered: [u64; 5],
    /// Requests that ended without an answer: the client had gone, or the connection was cut.
    pub unanswered: u64,
}

impl Stats {
    /// The numbers of the server whose loop this thread runs; `None` on other threads.
    #[must_use]
    pub fn current() -> Option<Self> {
        LoopServer::current().map(|server| server.stats.clone())
    }

    /// What each loop does that has begun.
    #[must_use]
    pub fn loops(&self) -> Vec<LoopStats> {
        let sources = self.sources();
        let loops = sources.loops.iter().enumerate();
        loops.filter_map(|(number, source)| Some(source.as_ref()?.stats(number))).collect()
    }

    /// Connections that were accepted and closed at once, since descriptors had run out.
    #[must_use]
    pub fn turned_away(&self) -> usize {
        self.sources().turned_away.as_ref().map_or(0, |count| count.load(Relaxed))
    }

    /// What one loop does, if it has begun.
    pub(crate) fn of_loop(&self, number: usize) -> Option<LoopStats> {
        Some(self.sources().loops.get(number)?.as_ref()?.stats(number))
    }

    /// This thread's loop begins to serve, in the place of one that died if there was one.
    /// Returns what it is to count with.
    pub(crate) fn enter(&self, number: usize, traffic: Traffic) -> Arc<CachePadded<Counters>> {
        let counters = Arc::<CachePadded<Counters>>::default();
        let handle = LoopHandle::current();
        let mut sources = self.sources();
        if sources.loops.len() <= number {
            sources.loops.resize_with(number + 1, || None);
        }
        let past = sources.loops[number].take().map(|source| source.stats(number));
        sources.loops[number] = Some(Source { handle, traffic, counters: counters.clone(), past });
        counters
    }

    /// `turned_away` counts those whom the server turns away.
    pub(crate) fn count_turned_away(&self, turned_away: Arc<AtomicUsize>) {
        self.sources().turned_away = Some(turned_away);
    }

    fn sources(&self) -> MutexGuard<'_, Sources> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    fn stats(&self, number: usize) -> LoopStats {
        let mut stats = LoopStats {
            number,
            event_loop: self.handle.snapshot(),
            open: self.traffic.open(),
            handed: self.traffic.handed(),
            taken_back: self.traffic.taken_back(),
            requests: self.counters.requests(),
            in_flight: self.counters.in_flight(),
            answered: self.counters.answered(),
            unanswered: self.counters.unanswered(),
        };
        if let Some(past) = &self.past {
            stats.go_on_from(past);
        }
        stats
    }
}

impl LoopStats {
    /// Adds what was counted before.
    fn go_on_from(&mut self, past: &Self) {
        self.event_loop.turns += past.event_loop.turns;
        self.event_loop.polls += past.event_loop.polls;
        self.event_loop.stalls += past.event_loop.stalls;
        self.event_loop.poll_times += past.event_loop.poll_times;
        self.handed += past.handed;
        self.taken_back += past.taken_back;
        self.requests += past.requests;
        self.unanswered += past.unanswered;
        self.answered.iter_mut().zip(past.answered).for_each(|(count, before)| *count += before);
    }
}

impl fmt::Display for LoopStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { event_loop, open, in_flight, .. } = self;
        write!(
            f,
            "{event_loop}\n  {open} connections open, {in_flight} requests in flight, answered"
        )?;
        for (class, count) in (1..).zip(self.answered) {
            if class > 1 {
                f.write_str(",")?;
            }
            write!(f, " {count} x {class}xx")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.loops()).finish()
    }
}
