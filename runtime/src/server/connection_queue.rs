//! A bounded queue of accepted connections on their way to one loop, with the count of what that
//! loop has open.
//!
//! The acceptor pushes, the loop pops. The acceptor may also take back what the loop has not
//! started, if the loop is stuck.

use std::fmt;
use std::future::poll_fn;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicUsize, fence};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crossbeam_queue::ArrayQueue;
use crossbeam_utils::CachePadded;

use crate::budget;
use crate::executor::core::Core;
use crate::observe::shared::Shared;
use crate::observe::vitals::Progress;
use crate::sync::lock;
use crate::time;

/// Connections that may wait in one queue. Beyond these the kernel's backlog holds them.
pub(crate) const QUEUE_CAPACITY: usize = 1024;

/// The queue of one loop, shared by that loop and the acceptor.
pub(crate) struct ConnectionQueue {
    queue: ArrayQueue<AcceptedConnection>,
    /// Connections given to the loop and not closed yet, those in the queue included.
    open: CachePadded<AtomicUsize>,
    /// Connections ever given to the loop.
    accepted: AtomicUsize,
    /// Connections given to the loop and taken back before it started them.
    taken_back: AtomicUsize,
    /// Idle connections that the loop is asked to close, because descriptors have run out.
    to_shed: AtomicUsize,
    /// No more connections will be pushed.
    closed: AtomicBool,
    /// No more connections will be popped.
    abandoned: AtomicBool,
    /// The loop that pops. Unset until it does so for the first time.
    receiver: OnceLock<Arc<Shared>>,
    /// The task that pops, while it waits.
    receiver_waker: Mutex<Option<Waker>>,
    acceptor: Arc<AcceptorWaker>,
}

/// Wakes the acceptor while it waits for room in a queue, or for word from the loops.
#[derive(Debug, Default)]
pub(crate) struct AcceptorWaker {
    is_waiting_for_room: AtomicBool,
    /// A loop has run out of descriptors.
    is_exhausted: AtomicBool,
    /// Connections that were accepted and closed at once because descriptors had run out.
    turned_away: Arc<AtomicUsize>,
    waker: Mutex<Option<Waker>>,
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
            queue: ArrayQueue::new(capacity),
            open: CachePadded::new(AtomicUsize::new(0)),
            accepted: AtomicUsize::new(0),
            taken_back: AtomicUsize::new(0),
            to_shed: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            receiver: OnceLock::new(),
            receiver_waker: Mutex::new(None),
            acceptor,
        })
    }

    /// Returns how many connections were given to the loop and are not closed yet.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Relaxed)
    }

    /// Returns how many connections were ever given to the loop and not taken back.
    fn accepted(&self) -> usize {
        // Read in this order: a connection is counted as accepted before it can be taken back.
        let taken_back = self.taken_back.load(Acquire);
        self.accepted.load(Relaxed).saturating_sub(taken_back)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.queue.is_full()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Returns `true` once the loop pops no more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Acquire)
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
        // Counted first, so that nobody sees it taken back before it is counted.
        self.accepted.fetch_add(1, Relaxed);
        if let Err(connection) = self.queue.push(connection) {
            self.accepted.fetch_sub(1, Relaxed);
            return Err(connection);
        }
        self.wake_receiver();
        Ok(())
    }

    /// Counts a connection that the loop has accepted for itself.
    fn admit(self: &Arc<Self>) -> ConnectionGuard {
        self.accepted.fetch_add(1, Relaxed);
        self.guard()
    }

    /// Takes back the connection that has waited longest.
    pub(crate) fn take_back(&self) -> Option<AcceptedConnection> {
        let connection = self.queue.pop()?;
        self.taken_back.fetch_add(1, Release);
        Some(connection)
    }

    /// Asks the loop to close up to `count` idle connections.
    pub(crate) fn shed(&self, count: usize) {
        self.to_shed.store(count, Release);
        self.wake_receiver();
    }

    /// Says that no more connections will be pushed.
    pub(crate) fn close(&self) {
        self.closed.store(true, Release);
        self.wake_receiver();
    }

    fn wake_receiver(&self) {
        let waker = lock(&self.receiver_waker).take();
        waker.into_iter().for_each(Waker::wake);
    }

    fn poll_pop(&self, cx: &mut Context<'_>) -> Poll<Option<LoopEvent>> {
        if self.receiver.get().is_none() {
            let _ = self.receiver.set(Core::current().shared().clone());
            self.acceptor.wake();
        }
        if let Some(event) = self.pop() {
            return Poll::Ready(Some(event));
        }
        *lock(&self.receiver_waker) = Some(cx.waker().clone());
        // A push or close that came before the waker was stored found none to wake.
        let is_closed = self.closed.load(Acquire);
        match self.pop() {
            None if !is_closed => Poll::Pending,
            event => Poll::Ready(event),
        }
    }

    fn pop(&self) -> Option<LoopEvent> {
        if self.to_shed.load(Acquire) > 0 {
            return Some(LoopEvent::Shed(self.to_shed.swap(0, AcqRel)));
        }
        let connection = self.queue.pop()?;
        self.acceptor.wake_for_room();
        Some(LoopEvent::Connection(connection))
    }
}

impl fmt::Debug for ConnectionQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionQueue")
            .field("waiting", &self.queue.len())
            .field("open", &self.open())
            .field("accepted", &self.accepted())
            .finish_non_exhaustive()
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.queue.open.fetch_sub(1, Relaxed);
    }
}

impl AcceptorWaker {
    /// Registers the acceptor's waker, to be woken when a loop starts, ends, or runs out of
    /// descriptors.
    pub(crate) fn register(&self, acceptor: &Waker) {
        let mut waker = lock(&self.waker);
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(acceptor)) {
            *waker = Some(acceptor.clone());
        }
    }

    /// Waits until a queue has room again, unless `has_room` says that one has already.
    pub(crate) fn poll_room(
        &self,
        cx: &mut Context<'_>,
        has_room: impl FnOnce() -> bool,
    ) -> Poll<()> {
        self.register(cx.waker());
        self.is_waiting_for_room.store(true, Relaxed);
        // Pairs with the fence in `wake_for_room`: this sees the room, or that sees the flag.
        fence(SeqCst);
        if !has_room() {
            return Poll::Pending;
        }
        self.is_waiting_for_room.store(false, Relaxed);
        Poll::Ready(())
    }

    fn wake(&self) {
        let waker = lock(&self.waker).take();
        waker.into_iter().for_each(Waker::wake);
    }

    fn wake_for_room(&self) {
        fence(SeqCst);
        if self.is_waiting_for_room.load(Relaxed) && self.is_waiting_for_room.swap(false, AcqRel) {
            self.wake();
        }
    }

    /// Returns `true` if a loop has run out of descriptors since the last call.
    pub(crate) fn take_exhausted(&self) -> bool {
        self.is_exhausted.swap(false, AcqRel)
    }

    /// Returns the counter of connections that were accepted and closed at once.
    pub(crate) fn turned_away(&self) -> &Arc<AtomicUsize> {
        &self.turned_away
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
        self.queue.acceptor.turned_away()
    }

    /// Reports to the acceptor that descriptors have run out.
    pub(crate) fn report_exhausted(&self) {
        self.queue.acceptor.is_exhausted.store(true, Release);
        self.queue.acceptor.wake();
    }

    /// Returns the counters of this loop's connections.
    #[must_use]
    pub fn counts(&self) -> ConnectionCounts {
        ConnectionCounts { queue: self.queue.clone() }
    }
}

impl Drop for ConnectionReceiver {
    fn drop(&mut self) {
        self.queue.abandoned.store(true, Release);
        self.queue.acceptor.wake();
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
        self.queue.accepted()
    }

    /// Returns how many connections were given to the loop and taken back before it started them,
    /// because it was stuck.
    #[must_use]
    pub fn taken_back(&self) -> usize {
        self.queue.taken_back.load(Relaxed)
    }
}
