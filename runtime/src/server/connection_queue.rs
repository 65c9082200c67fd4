//! Connections on their way into a loop: a bounded queue that the acceptor fills and the loop
//! empties, with the count of what the loop has open.

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

use crate::executor::core::Core;
use crate::observe::shared::Shared;
use crate::observe::vitals::Progress;
use crate::sync::lock;
use crate::time;

/// Connections that may wait in one intake; beyond so many the kernel's backlog holds them.
pub(crate) const QUEUE_CAPACITY: usize = 1024;

/// What the acceptor and one loop share.
pub(crate) struct ConnectionQueue {
    queue: ArrayQueue<AcceptedConnection>,
    /// Connections handed to the loop and not closed yet, those in the queue included.
    open: CachePadded<AtomicUsize>,
    /// Connections ever handed to the loop.
    handed: AtomicUsize,
    /// Connections that were handed to the loop, and taken back before it began with them.
    taken_back: AtomicUsize,
    /// Connections that the loop is asked to close, because descriptors have run out.
    to_shed: AtomicUsize,
    closed: AtomicBool,
    /// Nobody takes from the queue any more.
    abandoned: AtomicBool,
    /// The loop that takes; unknown until it does for the first time.
    taken_by: OnceLock<Arc<Shared>>,
    /// The task that empties the queue, while it waits.
    taker: Mutex<Option<Waker>>,
    door: Arc<AcceptorWaker>,
}

/// Where the acceptor waits while every intake is full, or the loops accept for themselves.
#[derive(Debug, Default)]
pub(crate) struct AcceptorWaker {
    is_waiting: AtomicBool,
    /// A loop found that descriptors have run out.
    is_exhausted: AtomicBool,
    /// Connections that were accepted and closed at once, since descriptors had run out.
    pub(crate) turned_away: Arc<AtomicUsize>,
    acceptor: Mutex<Option<Waker>>,
}

/// A connection that was accepted and is to be served by a loop.
#[derive(Debug)]
pub struct AcceptedConnection {
    /// The socket: non-blocking, nodelay, registered nowhere.
    pub stream: TcpStream,
    /// The address of the peer.
    pub peer: SocketAddr,
    /// When it was accepted, by the clock of the loop that accepted it. If that is the one that
    /// serves it, since when it may have waited for that: see
    /// [`time::ready_since`](crate::time::ready_since).
    pub accepted: Instant,
    /// Counts the connection as open on its loop; to be dropped when it is closed.
    pub place: ConnectionGuard,
}

/// One connection in the count of what its loop has open. Dropping it takes it out.
#[derive(Debug)]
pub struct ConnectionGuard {
    intake: Arc<ConnectionQueue>,
}

impl ConnectionQueue {
    pub(crate) fn new(capacity: usize, door: Arc<AcceptorWaker>) -> Arc<Self> {
        Arc::new(Self {
            queue: ArrayQueue::new(capacity),
            open: CachePadded::new(AtomicUsize::new(0)),
            handed: AtomicUsize::new(0),
            taken_back: AtomicUsize::new(0),
            to_shed: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            taken_by: OnceLock::new(),
            taker: Mutex::new(None),
            door,
        })
    }

    /// Connections handed to the loop and not closed yet.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Relaxed)
    }

    /// Connections ever handed to the loop.
    pub(crate) fn handed(&self) -> usize {
        self.handed.load(Relaxed)
    }

    /// Connections taken back from the loop before it began with them.
    pub(crate) fn taken_back(&self) -> usize {
        self.taken_back.load(Relaxed)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.queue.is_full()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether nobody will take from the queue any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Acquire)
    }

    /// Whether a loop has begun to take connections, or none ever will.
    pub(crate) fn has_begun(&self) -> bool {
        self.taken_by.get().is_some() || self.is_abandoned()
    }

    /// How far the loop has come that takes; nothing if none has begun to.
    pub(crate) fn progress(&self) -> Option<Progress> {
        self.taken_by.get().map(|shared| shared.vitals.progress())
    }

    /// A place on the loop, for a connection that is about to be handed to it.
    pub(crate) fn place(self: &Arc<Self>) -> ConnectionGuard {
        self.open.fetch_add(1, Relaxed);
        ConnectionGuard { intake: self.clone() }
    }

    /// Hands a connection to the loop, where it has its place. Gives it back if the queue is full.
    pub(crate) fn hand(&self, arrival: AcceptedConnection) -> Result<(), AcceptedConnection> {
        debug_assert!(std::ptr::eq(&*arrival.place.intake, self), "its place is elsewhere");
        self.queue.push(arrival)?;
        self.handed.fetch_add(1, Relaxed);
        self.wake_taker();
        Ok(())
    }

    /// A place for a connection that the loop has accepted for itself.
    fn admit(self: &Arc<Self>) -> ConnectionGuard {
        self.handed.fetch_add(1, Relaxed);
        self.place()
    }

    /// Takes back the connection that has waited longest to be taken.
    pub(crate) fn take_back(&self) -> Option<AcceptedConnection> {
        let arrival = self.queue.pop()?;
        self.taken_back.fetch_add(1, Relaxed);
        Some(arrival)
    }

    /// Asks the loop to close up to `count` connections that do nothing.
    pub(crate) fn ask_to_shed(&self, count: usize) {
        self.to_shed.store(count, Release);
        self.wake_taker();
    }

    /// No more connections will come.
    pub(crate) fn close(&self) {
        self.closed.store(true, Release);
        self.wake_taker();
    }

    fn wake_taker(&self) {
        let taker = lock(&self.taker).take();
        taker.into_iter().for_each(Waker::wake);
    }

    fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        if self.taken_by.get().is_none() {
            let _ = self.taken_by.set(Core::current().shared().clone());
            self.door.wake();
        }
        if let Some(incoming) = self.take() {
            return Poll::Ready(Some(incoming));
        }
        *lock(&self.taker) = Some(cx.waker().clone());
        // Whoever handed or closed before the lock was taken found no waker there.
        let is_closed = self.closed.load(Acquire);
        match self.take() {
            None if !is_closed => Poll::Pending,
            incoming => Poll::Ready(incoming),
        }
    }

    fn take(&self) -> Option<Incoming> {
        if self.to_shed.load(Acquire) > 0 {
            return Some(Incoming::Shed(self.to_shed.swap(0, AcqRel)));
        }
        let arrival = self.queue.pop()?;
        self.door.room();
        Some(Incoming::Connection(arrival))
    }
}

impl fmt::Debug for ConnectionQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionQueue")
            .field("waiting", &self.queue.len())
            .field("open", &self.open())
            .field("handed", &self.handed())
            .field("taken_back", &self.taken_back())
            .finish_non_exhaustive()
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.intake.open.fetch_sub(1, Relaxed);
    }
}

impl AcceptorWaker {
    /// The acceptor that waits here is woken when a loop has gone.
    pub(crate) fn watch(&self, acceptor: &Waker) {
        let mut place = lock(&self.acceptor);
        if !place.as_ref().is_some_and(|waker| waker.will_wake(acceptor)) {
            *place = Some(acceptor.clone());
        }
    }

    /// Waits until [`AcceptorWaker::room`] is called, unless `has_room` says that there is some already.
    pub(crate) fn poll_room(
        &self,
        cx: &mut Context<'_>,
        has_room: impl FnOnce() -> bool,
    ) -> Poll<()> {
        self.watch(cx.waker());
        self.is_waiting.store(true, Relaxed);
        // With the fence in `room`: either this sees the room, or `room` sees the waiting.
        fence(SeqCst);
        if !has_room() {
            return Poll::Pending;
        }
        self.is_waiting.store(false, Relaxed);
        Poll::Ready(())
    }

    fn wake(&self) {
        let acceptor = lock(&self.acceptor).take();
        acceptor.into_iter().for_each(Waker::wake);
    }

    /// Whether a loop has found since the last call that descriptors have run out. The acceptor
    /// that [watches](AcceptorWaker::watch) is woken then.
    pub(crate) fn take_exhausted(&self) -> bool {
        self.is_exhausted.swap(false, AcqRel)
    }

    /// There is room in an intake.
    fn room(&self) {
        fence(SeqCst);
        if self.is_waiting.load(Relaxed) && self.is_waiting.swap(false, AcqRel) {
            self.wake();
        }
    }
}

/// What the acceptor has for a loop.
#[derive(Debug)]
#[non_exhaustive]
pub enum Incoming {
    /// A connection to be served.
    Connection(AcceptedConnection),
    /// The process has run out of descriptors: the loop may close up to so many connections that
    /// do nothing, those first that did nothing for longest.
    Shed(usize),
}

/// The connections that come to one loop. To be dropped when no more of them will be taken: what
/// waits still is given to another loop then.
#[derive(Debug)]
pub struct ConnectionReceiver {
    intake: Arc<ConnectionQueue>,
}

impl ConnectionReceiver {
    pub(crate) fn new(intake: Arc<ConnectionQueue>) -> Self {
        Self { intake }
    }

    /// Waits for the next connection; `None` once the acceptor has stopped and all that it
    /// accepted has been taken.
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    pub async fn next(&mut self) -> Option<AcceptedConnection> {
        loop {
            match self.next_incoming().await? {
                Incoming::Connection(arrival) => return Some(arrival),
                Incoming::Shed(_) => {}
            }
        }
    }

    /// Like [`ConnectionReceiver::next`], for a loop that can close idle connections when it is asked to.
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    pub async fn next_incoming(&mut self) -> Option<Incoming> {
        poll_fn(|cx| self.poll_incoming(cx)).await
    }

    pub(crate) fn poll_incoming(&self, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        self.intake.poll_take(cx)
    }

    /// A connection that the loop has accepted for itself.
    pub(crate) fn admit(&self, stream: TcpStream, peer: SocketAddr) -> AcceptedConnection {
        AcceptedConnection {
            stream,
            peer,
            accepted: time::ready_since(),
            place: self.intake.admit(),
        }
    }

    /// Counts those whom the loop turns away.
    pub(crate) fn turned_away(&self) -> Arc<AtomicUsize> {
        self.intake.door.turned_away.clone()
    }

    /// The loop has found that descriptors have run out.
    pub(crate) fn tell_exhausted(&self) {
        self.intake.door.is_exhausted.store(true, Release);
        self.intake.door.wake();
    }

    /// What came to this loop, in numbers.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        Traffic { intake: self.intake.clone() }
    }
}

/// What came to one loop, in numbers: for any thread, and also when the loop has ended.
#[derive(Clone, Debug)]
pub struct Traffic {
    intake: Arc<ConnectionQueue>,
}

impl Traffic {
    /// Connections of the loop that are open, those that wait to be taken included.
    #[must_use]
    pub fn open(&self) -> usize {
        self.intake.open()
    }

    /// Connections that were ever handed to the loop, or accepted by it.
    #[must_use]
    pub fn handed(&self) -> usize {
        self.intake.handed()
    }

    /// Connections that were handed to the loop, and taken back since it did not turn.
    #[must_use]
    pub fn taken_back(&self) -> usize {
        self.intake.taken_back()
    }
}

impl Drop for ConnectionReceiver {
    fn drop(&mut self) {
        self.intake.abandoned.store(true, Release);
        self.intake.door.wake();
    }
}
