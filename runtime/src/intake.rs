//! Connections on their way into a loop: a bounded queue that the acceptor fills and the loop
//! empties, with the count of what the loop has open.

use std::future::poll_fn;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicUsize, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use crossbeam_queue::ArrayQueue;
use crossbeam_utils::CachePadded;

/// Connections that may wait in one intake; beyond so many the kernel's backlog holds them.
pub(crate) const INTAKE_CAPACITY: usize = 1024;

/// What the acceptor and one loop share.
#[derive(Debug)]
pub(crate) struct Intake {
    queue: ArrayQueue<Arrival>,
    /// Connections handed to the loop and not closed yet, those in the queue included.
    open: CachePadded<AtomicUsize>,
    /// Connections ever handed to the loop.
    handed: AtomicUsize,
    closed: AtomicBool,
    /// The task that empties the queue, while it waits.
    taker: Mutex<Option<Waker>>,
    door: Arc<Door>,
}

/// Where the acceptor waits while every intake is full.
#[derive(Debug, Default)]
pub(crate) struct Door {
    is_waiting: AtomicBool,
    acceptor: Mutex<Option<Waker>>,
}

/// A connection that was accepted and is to be served by a loop.
#[derive(Debug)]
pub struct Arrival {
    /// The socket: non-blocking, nodelay, registered nowhere.
    pub stream: TcpStream,
    /// The address of the peer.
    pub peer: SocketAddr,
    /// Counts the connection as open on its loop; to be dropped when it is closed.
    pub place: Place,
}

/// One connection in the count of what its loop has open. Dropping it takes it out.
#[derive(Debug)]
pub struct Place {
    intake: Arc<Intake>,
}

impl Intake {
    pub(crate) fn new(capacity: usize, door: Arc<Door>) -> Arc<Self> {
        Arc::new(Self {
            queue: ArrayQueue::new(capacity),
            open: CachePadded::new(AtomicUsize::new(0)),
            handed: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
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

    pub(crate) fn is_full(&self) -> bool {
        self.queue.is_full()
    }

    /// Hands a connection to the loop. Gives it back if the queue is full.
    pub(crate) fn hand(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> Result<(), TcpStream> {
        self.open.fetch_add(1, Relaxed);
        let place = Place { intake: self.clone() };
        match self.queue.push(Arrival { stream, peer, place }) {
            Ok(()) => {
                self.handed.fetch_add(1, Relaxed);
                self.wake_taker();
                Ok(())
            }
            Err(arrival) => Err(arrival.stream),
        }
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

    fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Option<Arrival>> {
        if let Some(arrival) = self.take() {
            return Poll::Ready(Some(arrival));
        }
        *lock(&self.taker) = Some(cx.waker().clone());
        // Whoever handed or closed before the lock was taken found no waker there.
        let is_closed = self.closed.load(Acquire);
        match self.take() {
            None if !is_closed => Poll::Pending,
            arrival => Poll::Ready(arrival),
        }
    }

    fn take(&self) -> Option<Arrival> {
        let arrival = self.queue.pop()?;
        self.door.room();
        Some(arrival)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.intake.open.fetch_sub(1, Relaxed);
    }
}

impl Door {
    /// Waits until [`Door::room`] is called, unless `has_room` says that there is some already.
    pub(crate) async fn wait(&self, has_room: impl Fn() -> bool) {
        poll_fn(|cx| {
            *lock(&self.acceptor) = Some(cx.waker().clone());
            self.is_waiting.store(true, Relaxed);
            // With the fence in `room`: either this sees the room, or `room` sees the waiting.
            fence(SeqCst);
            if !has_room() {
                return Poll::Pending;
            }
            self.is_waiting.store(false, Relaxed);
            Poll::Ready(())
        })
        .await;
    }

    /// There is room in an intake.
    fn room(&self) {
        fence(SeqCst);
        if self.is_waiting.load(Relaxed) && self.is_waiting.swap(false, AcqRel) {
            let acceptor = lock(&self.acceptor).take();
            acceptor.into_iter().for_each(Waker::wake);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The connections that come to one loop.
#[derive(Debug)]
pub struct Arrivals {
    intake: Arc<Intake>,
}

impl Arrivals {
    pub(crate) fn new(intake: Arc<Intake>) -> Self {
        Self { intake }
    }

    /// Waits for the next connection; `None` once the acceptor has stopped and all that it
    /// accepted has been taken.
    pub async fn next(&mut self) -> Option<Arrival> {
        poll_fn(|cx| self.intake.poll_take(cx)).await
    }

    /// Connections of this loop that are open, those that wait to be taken included.
    #[must_use]
    pub fn open(&self) -> usize {
        self.intake.open()
    }

    /// Connections that were ever handed to this loop.
    #[must_use]
    pub fn handed(&self) -> usize {
        self.intake.handed()
    }
}
