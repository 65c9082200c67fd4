//! A bounded queue of accepted connections on their way to one loop, with the count of what that
//! loop has open.
//!
//! The acceptor pushes, the loop pops. If the loop is stuck, the acceptor may take back what the
//! loop has not popped, and what it has popped and not claimed.

use std::fmt;
use std::future::poll_fn;
use std::os::fd::AsFd;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use crate::budget;
use crate::executor::core::Core;
use crate::executor::handle::LoopHandle;
use crate::executor::remote_registry::RemoteRegistry;
use crate::net::PeerAddr;
use crate::net::any_socket::AnySocket;
use crate::observe::vitals::Progress;
use crate::server::accepted::{AcceptedConnection, Newcomer, Source};
use crate::server::acceptor_waker::AcceptorWaker;
use crate::server::claim::Taken;
use crate::server::connection_guard::{ConnectionGuard, OpenConnections};
use crate::server::handover::{Handover, Popped};
use crate::time;

/// Connections that may wait in one queue. Beyond these the kernel's backlog holds them.
pub(crate) const QUEUE_CAPACITY: usize = 1024;

/// The queue of one loop, shared by that loop and the acceptor.
pub(crate) struct ConnectionQueue {
    handover: Handover<AcceptedConnection>,
    /// Connections given to the loop and not closed yet, those in the queue included.
    open: Arc<OpenConnections>,
    /// Unset until the loop pops for the first time.
    receiver: OnceLock<Receiver>,
}

/// The loop that pops.
struct Receiver {
    handle: LoopHandle,
    registry: RemoteRegistry,
}

impl ConnectionQueue {
    pub(crate) fn new(capacity: usize, acceptor: Arc<AcceptorWaker>) -> Arc<Self> {
        Arc::new(Self {
            handover: Handover::new(capacity, acceptor),
            open: Arc::default(),
            receiver: OnceLock::new(),
        })
    }

    /// Returns how many connections were given to the loop and are not closed yet.
    pub(crate) fn open(&self) -> usize {
        self.open.count()
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

    /// Returns `true` if the loop that pops is this thread's.
    pub(crate) fn is_current(&self) -> bool {
        self.receiver.get().is_some_and(|receiver| receiver.handle.is_current())
    }

    /// Returns how far the loop that pops has come; `None` if none has started to.
    pub(crate) fn progress(&self) -> Option<Progress> {
        self.receiver.get().map(|receiver| receiver.handle.progress())
    }

    /// Counts one more connection as open, for a connection that is about to be pushed.
    pub(crate) fn guard(&self) -> ConnectionGuard {
        self.open.guard()
    }

    /// Gives a connection to the loop. Returns it if the queue is full.
    pub(crate) fn push(&self, connection: AcceptedConnection) -> Result<(), AcceptedConnection> {
        self.handover.push(connection)
    }

    /// Counts a connection that the loop has accepted for itself.
    fn admit(&self) -> ConnectionGuard {
        self.handover.count_one();
        self.guard()
    }

    /// Takes back the connection that has waited longest to be popped.
    pub(crate) fn take_back(&self) -> Option<AcceptedConnection> {
        self.handover.take_back()
    }

    /// Ends what the loop has begun with a connection that was popped and then taken back: it is
    /// removed from the loop's selector, and its task is woken to end.
    pub(crate) fn end_taken_back(&self, taken: &Taken<Newcomer>) {
        self.handover.count_taken_back();
        // Without a key, its task has not been polled and is about to be.
        if let (Some(key), Some(receiver)) = (taken.key, self.receiver.get()) {
            receiver.registry.deregister(taken.item.stream.as_fd());
            // The task of a loop that has ended is gone.
            let _ =
                receiver.handle.call_soon(move || Core::current().selector().mark_readable(key));
        }
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
            let core = Core::current();
            let registry = core.selector().remote_registry();
            let _ = self.receiver.set(Receiver { handle: LoopHandle::of(&core), registry });
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
    pub(crate) fn admit(&self, stream: AnySocket, peer: PeerAddr) -> AcceptedConnection {
        let source = Source::Own(Newcomer { stream, guard: self.queue.admit() });
        AcceptedConnection { peer, accepted: time::ready_since(), source }
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

    /// Returns how many connections were given to the loop and taken back before it claimed them,
    /// because it was stuck.
    #[must_use]
    pub fn taken_back(&self) -> usize {
        self.queue.handover.taken_back()
    }
}
