//! A bounded queue of accepted connections on their way to one loop, with the count of what that
//! loop has open.
//!
//! The acceptor pushes, the loop pops. The acceptor may also take back what the loop has not
//! started, if the loop is stuck.

use std::fmt;
use std::future::poll_fn;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

use crossbeam_utils::CachePadded;

use crate::budget;
use crate::executor::core::Core;
use crate::observe::shared::Shared;
use crate::observe::vitals::Progress;
use crate::server::acceptor_waker::AcceptorWaker;
use crate::server::handover::{Handover, Popped};
use crate::time;

/// Connections that may wait in one queue. Beyond these the kernel's backlog holds them.
pub(crate) const QUEUE_CAPACITY: usize = 1024;

/// The queue of one loop, shared by that loop and the acceptor.
pub(crate) struct ConnectionQueue {
    handover: Handover<AcceptedConnection>,
    /// Connections given to the loop and not closed yet, those in the queue included.
    open: CachePadded<AtomicUsize>,
    /// The loop that pops. Unset until it does so for the first time.
    receiver: OnceLock<Arc<Shared>>,
}

/// A connection that was accepted and waits to be served by a loop.
#[derive(Debug)]
pub struct AcceptedConnection {
    /// The socket. It is non-blocking, has nodelay set, and is registered with no selector.
    pub stream: TcpStream,
    /// The address of the peer.
    pub peer: SocketAddr,
    /// When it was accepted, by the clock of the loop that accepted it. If the loop that serves it
    /// accepted it itself, this is the earliest time at which it can have waited; see
    /// [`time::ready_since`](crate::time::ready_since).
    pub accepted: Instant,
    /// Counts the connection as open on its loop. Drop it when the connection is closed.
    pub guard: ConnectionGuard,
}

/// Counts one connection as open on its loop until dropped.
#[derive(Debug)]
pub struct ConnectionGuard {
    queue: Arc<ConnectionQueue>,
}

impl ConnectionQueue {
    pub(crate) fn new(capacity: usize, acceptor: Arc<AcceptorWaker>) -> Arc<Self> {
        Arc::new(Self {
            handover: Handover::new(capacity, acceptor),
            open: CachePadded::new(AtomicUsize::new(0)),
            receiver: OnceLock::new(),
        })
    }

    /// Returns how many connections were given to the loop and are not closed yet.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Relaxed)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.handover.is_full()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.handover.is_empty()
    }

    /// Returns `true` once the loop pops no more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.handover.is_abandoned()
    }

    /// Returns `true` once a loop has popped for the first time, or none ever will.
    pub(crate) fn is_started(&self) -> bool {
        self.receiver.get().is_some() || self.is_abandoned()
    }

    /// Returns how far the loop that pops has come; `None` if none has started to.
    pub(crate) fn progress(&self) -> Option<Progress> {
        self.receiver.get().map(|shared| shared.vitals.progress())
    }

    /// Counts one more connection as open, for a connection that is about to be pushed.
    pub(crate) fn guard(self: &Arc<Self>) -> ConnectionGuard {
        self.open.fetch_add(1, Relaxed);
        ConnectionGuard { queue: self.clone() }
    }

    /// Gives a connection to the loop. Returns it if the queue is full.
    pub(crate) fn push(&self, connection: AcceptedConnection) -> Result<(), AcceptedConnection> {
        debug_assert!(std::ptr::eq(&*connection.guard.queue, self), "the guard is of another loop");
        self.handover.push(connection)
    }

    /// Counts a connection that the loop has accepted for itself.
    fn admit(self: &Arc<Self>) -> ConnectionGuard {
        self.handover.count_one();
        self.guard()
    }

    /// Takes back the connection that has waited longest.
    pub(crate) fn take_back(&self) -> Option<AcceptedConnection> {
        self.handover.take_back()
    }

    /// Asks the loop to close up to `count` idle connections.
    pub(crate) fn shed(&self, count: usize) {
        self.handover.shed(count);
    }

    /// Records that no more connections will be pushed.
    pub(crate) fn close(&self) {
        self.handover.close();
    }

    fn poll_pop(&self, cx: &mut Context<'_>) -> Poll<Option<LoopEvent>> {
        if self.receiver.get().is_none() {
            let _ = self.receiver.set(Core::current().shared().clone());
            self.handover.acceptor().wake();
        }
        self.handover.poll_pop(cx).map(|popped| popped.map(LoopEvent::from))
    }
}

impl fmt::Debug for ConnectionQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionQueue")
            .field("open", &self.open())
            .field("accepted", &self.handover.accepted())
            .finish_non_exhaustive()
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.queue.open.fetch_sub(1, Relaxed);
    }
}

/// What the acceptor has for a loop.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoopEvent {
    /// A connection to serve.
    Connection(AcceptedConnection),
    /// The process has run out of descriptors. The loop may close up to this many idle
    /// connections, those that have been idle longest first.
    Shed(usize),
}

impl From<Popped<AcceptedConnection>> for LoopEvent {
    fn from(popped: Popped<AcceptedConnection>) -> Self {
        match popped {
            Popped::Item(connection) => Self::Connection(connection),
            Popped::Shed(count) => Self::Shed(count),
        }
    }
}

/// Receives the connections of one loop.
///
/// Drop it when the loop takes no more connections; those that still wait then go to another loop.
#[derive(Debug)]
pub struct ConnectionReceiver {
    queue: Arc<ConnectionQueue>,
}

impl ConnectionReceiver {
    pub(crate) fn new(queue: Arc<ConnectionQueue>) -> Self {
        Self { queue }
    }

    /// Waits for the next connection, or for a request to close idle ones. Returns `None` once the
    /// acceptor has stopped and every accepted connection has been received.
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    ///
    /// # Cancel safety
    /// Cancel safe: no connection is lost.
    pub async fn recv(&mut self) -> Option<LoopEvent> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    pub(crate) fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Option<LoopEvent>> {
        budget::poll_counted(cx, |cx| self.queue.poll_pop(cx))
    }

    /// Counts a connection that the loop has accepted for itself.
    pub(crate) fn admit(&self, stream: TcpStream, peer: SocketAddr) -> AcceptedConnection {
        AcceptedConnection {
            stream,
            peer,
            accepted: time::ready_since(),
            guard: self.queue.admit(),
        }
    }

    /// Returns the counter of connections that were accepted and closed at once.
    pub(crate) fn turned_away(&self) -> &Arc<AtomicUsize> {
        self.queue.handover.acceptor().turned_away()
    }

    /// Reports to the acceptor that descriptors have run out.
    pub(crate) fn report_exhausted(&self) {
        self.queue.handover.acceptor().report_exhausted();
    }

    /// Returns the counters of this loop's connections.
    #[must_use]
    pub fn counts(&self) -> ConnectionCounts {
        ConnectionCounts { queue: self.queue.clone() }
    }
}

impl Drop for ConnectionReceiver {
    fn drop(&mut self) {
        self.queue.handover.abandon();
    }
}

/// Counters of one loop's connections, for any thread, also after the loop has ended.
#[derive(Clone, Debug)]
pub struct ConnectionCounts {
    queue: Arc<ConnectionQueue>,
}

impl ConnectionCounts {
    /// Returns how many connections are open, those that wait to be started included.
    #[must_use]
    pub fn open(&self) -> usize {
        self.queue.open()
    }

    /// Returns how many connections the loop has accepted or was given, without those that were
    /// taken back.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.queue.handover.accepted()
    }

    /// Returns how many connections were given to the loop and taken back before it started them,
    /// because it was stuck.
    #[must_use]
    pub fn taken_back(&self) -> usize {
        self.queue.handover.taken_back()
    }
}
