//! Accepts connections and gives each to one loop of a group.
//!
//! A connection goes to the loop with the fewest connections among those that turn. A loop may
//! stall after it was chosen, so while connections wait in a queue the acceptor makes its rounds:
//! what it finds unstarted in the queue of a stuck loop is taken back and given to another.

use std::future::poll_fn;
use std::net::{SocketAddr, TcpStream};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use crate::budget::consume_budget;
use crate::net::TcpListener;
use crate::server::accept_state::{AcceptState, accept_last};
use crate::server::acceptor_waker::AcceptorWaker;
use crate::server::connection_queue::{
    AcceptedConnection, ConnectionQueue, ConnectionReceiver, QUEUE_CAPACITY,
};
use crate::server::exhaustion::Exhaustion;
use crate::server::placement::{Candidate, Health, Observer, STALLED_AFTER, choose};
use crate::time::{self, Sleep, sleep};

/// The time between two rounds over the connections that wait to be started.
const ROUND: Duration = STALLED_AFTER;

/// Accepting starts after this time even if a loop has not started.
const START_TIMEOUT: Duration = Duration::from_secs(1);

/// At the end, connections that wait for loops are given up once no loop has turned for this
/// long. On a machine with more work than cores, a loop may stand still for a shorter time.
const END_TIMEOUT: Duration = Duration::from_millis(100);

/// When descriptors run out, each loop is asked to close one in this many connections.
const SHED_ONE_IN: usize = 8;

/// Accepts connections on the loop that runs it, and gives each to the loop with the fewest
/// connections among those that turn.
///
/// A loop that stalls while connections wait in its queue loses them to the others. Only while no
/// loop turns do they stay where they are.
#[derive(Debug)]
pub struct Acceptor {
    slots: Vec<LoopSlot>,
    waker: Arc<AcceptorWaker>,
    /// Scratch space for choosing a loop.
    candidates: Vec<Candidate>,
    /// The number of connections placed so far.
    placed: usize,
    /// When the loops were last looked at.
    looked: Option<Instant>,
    /// When a loop was last seen turning, during the shutdown.
    turned: Option<Instant>,
    exhaustion: Exhaustion,
}

/// The timer of the next round; set only while a connection waits to be started.
type Round = Option<Sleep>;

/// No loop takes connections any more.
struct Deserted;

/// One loop, as the acceptor sees it.
#[derive(Debug)]
struct LoopSlot {
    queue: Arc<ConnectionQueue>,
    observer: Option<Observer>,
    health: Health,
}

impl Acceptor {
    /// Returns an acceptor for `loops` loops, and the receiver of each loop.
    ///
    /// The first acceptor of a process makes Linux reserve room for up to 16,384 descriptors,
    /// which takes some milliseconds. Call this before threads are started, when nothing has to
    /// wait for it.
    #[must_use]
    pub fn new(loops: usize) -> (Self, Vec<ConnectionReceiver>) {
        let waker = Arc::new(AcceptorWaker::default());
        let exhaustion = Exhaustion::new(waker.turned_away().clone());
        let slots: Vec<_> = (0..loops).map(|_| LoopSlot::new(&waker)).collect();
        let receivers =
            slots.iter().map(|slot| ConnectionReceiver::new(slot.queue.clone())).collect();
        let acceptor = Self {
            slots,
            waker,
            candidates: Vec::with_capacity(loops),
            placed: 0,
            looked: None,
            turned: None,
            exhaustion,
        };
        (acceptor, receivers)
    }

    /// Accepts from `listeners` until dropped, or until no loop takes connections any more. Starts
    /// once every loop takes connections, or a second later. While every queue is full it accepts
    /// nothing, and the kernel's backlog holds the newcomers.
    ///
    /// An error that concerns one connection ends that connection. When descriptors run out, it
    /// asks the loops to close idle connections and pauses; if that does not help, it turns the
    /// waiting connections away. A listener that fails again and again is tried ten times a second,
    /// while the others are served.
    ///
    /// # Cancel safety
    /// Cancel safe: no accepted connection is lost.
    pub async fn accept_from(&mut self, listeners: &[TcpListener]) {
        let (state, round) = (&mut AcceptState::default(), &mut Round::default());
        self.wait_for_loops().await;
        while self.wait_for_room(round).await {
            match self.accept(listeners, state, round).await {
                Ok(Some((stream, peer))) => self.place(stream, peer),
                // There was an error.
                Ok(None) => {}
                Err(Deserted) => return,
            }
        }
    }

    /// Looks after loops that accept for themselves, see
    /// [`LoopAcceptor`](crate::server::LoopAcceptor): when one runs out of descriptors, all are
    /// asked to close idle connections. Runs until dropped.
    pub async fn supervise(&mut self) {
        poll_fn(|cx| {
            self.waker.register(cx.waker());
            if self.waker.take_exhausted() {
                shed(&self.slots);
            }
            Poll::<()>::Pending
        })
        .await;
    }

    /// Accepts what waits in the backlog of `listener` now, and returns once the loops have started
    /// all of it, as far as they turn. For a shutdown: the peers of these connections believe that
    /// they are connected.
    ///
    /// It accepts no more connections than a backlog holds. While every queue is full, it waits for
    /// a loop to turn, however long that takes: limit it with
    /// [`timeout`](crate::time::timeout).
    ///
    /// # Cancel safety
    /// Cancel safe: no accepted connection is lost.
    pub async fn accept_waiting(&mut self, listener: &TcpListener) {
        let round = &mut Round::default();
        let mut left = TcpListener::BACKLOG;
        while self.wait_for_room(round).await {
            let Some((stream, peer)) = accept_last(listener, &mut left) else { break };
            self.place(stream, peer);
            consume_budget().await;
        }
        poll_fn(|cx| {
            while self.is_any_waiting() {
                let turned = *self.turned.get_or_insert_with(time::now);
                if self.slots.iter().any(LoopSlot::is_turning) {
                    self.turned = Some(time::now());
                } else if time::now() >= turned + END_TIMEOUT {
                    break;
                }
                ready!(self.poll_round(round, cx));
            }
            Poll::Ready(())
        })
        .await;
    }

    /// Replaces a loop that takes no more connections by a new one, which inherits the connections
    /// that waited for the old one. Returns the new loop's receiver.
    ///
    /// # Panics
    /// If `index` is out of range.
    pub fn replace(&mut self, index: usize) -> ConnectionReceiver {
        let slot = LoopSlot::new(&self.waker);
        let old = std::mem::replace(&mut self.slots[index], slot);
        let queue = &self.slots[index].queue;
        while let Some(connection) = old.queue.take_back() {
            // The new queue is as large as the old one, and empty.
            let _ = queue.push(AcceptedConnection { guard: queue.guard(), ..connection });
        }
        ConnectionReceiver::new(queue.clone())
    }

    /// Returns how many connections were accepted and closed at once because descriptors had run
    /// out, by this acceptor and by loops that accept for themselves.
    #[must_use]
    pub fn turned_away(&self) -> usize {
        self.waker.turned_away().load(Relaxed)
    }

    pub(super) fn turned_away_counter(&self) -> Arc<AtomicUsize> {
        self.waker.turned_away().clone()
    }
}

/// # Placing
impl Acceptor {
    fn place(&mut self, stream: TcpStream, peer: SocketAddr) {
        let accepted = time::now();
        if self.looked != Some(accepted) {
            self.look(accepted);
        }
        // Only this task fills the queues, and it has waited for room. If the only room is with a
        // loop that has stalled since, the next round takes the connection back.
        if let Some(index) = self.choose().or_else(|| self.any_room()) {
            let queue = &self.slots[index].queue;
            let connection = AcceptedConnection { stream, peer, accepted, guard: queue.guard() };
            if queue.push(connection).is_ok() {
                self.placed = self.placed.wrapping_add(1);
            }
        }
    }

    fn choose(&mut self) -> Option<usize> {
        self.candidates.clear();
        self.candidates.extend(self.slots.iter().map(LoopSlot::candidate));
        choose(&self.candidates, self.placed)
    }

    /// Returns a loop with room. A loop that has ended comes last: its successor inherits what
    /// waits there.
    fn any_room(&self) -> Option<usize> {
        let has_room = |slot: &LoopSlot| !slot.queue.is_full();
        let may_take = |slot: &LoopSlot| has_room(slot) && !slot.queue.is_abandoned();
        let slots = &self.slots;
        slots.iter().position(may_take).or_else(|| slots.iter().position(has_room))
    }

    /// Looks at the health of every loop. Once a turn is enough, since the clock stands still in
    /// between.
    fn look(&mut self, now: Instant) {
        self.looked = Some(now);
        self.slots.iter_mut().for_each(|slot| slot.look(now));
        for index in 0..self.slots.len() {
            self.rescue(index);
        }
    }

    /// Gives what waits for a stuck loop to loops that turn.
    fn rescue(&mut self, index: usize) {
        while !self.slots[index].is_turning() && !self.slots[index].queue.is_empty() {
            let Some(target) = self.choose().filter(|target| self.slots[*target].is_turning())
            else {
                return;
            };
            let Some(connection) = self.slots[index].queue.take_back() else { return };
            let queue = &self.slots[target].queue;
            // There is room: only this task fills the queues.
            let _ = queue.push(AcceptedConnection { guard: queue.guard(), ..connection });
            self.placed = self.placed.wrapping_add(1);
        }
    }

    fn is_any_waiting(&self) -> bool {
        self.slots.iter().any(|slot| !slot.queue.is_empty())
    }

    fn is_deserted(&self) -> bool {
        self.slots.iter().all(|slot| slot.queue.is_abandoned())
    }
}

/// # Waiting
impl Acceptor {
    /// Waits until every loop takes connections, or [`START_TIMEOUT`] has passed, so that the first
    /// connections are spread over all loops.
    async fn wait_for_loops(&self) {
        let mut timeout = pin!(sleep(START_TIMEOUT));
        poll_fn(|cx| {
            self.waker.register(cx.waker());
            let all_started = self.slots.iter().all(|slot| slot.queue.is_started());
            if all_started { Poll::Ready(()) } else { timeout.as_mut().poll(cx) }
        })
        .await;
    }

    /// Waits for a connection on any listener. Returns `None` after an error.
    ///
    /// # Errors
    /// If no loop is left to take a connection.
    async fn accept(
        &mut self,
        listeners: &[TcpListener],
        state: &mut AcceptState,
        round: &mut Round,
    ) -> Result<Option<(TcpStream, SocketAddr)>, Deserted> {
        poll_fn(|cx| {
            loop {
                let Self { exhaustion, slots, .. } = self;
                let accepted = state.poll_accept(listeners, exhaustion, cx, || shed(slots));
                if let Poll::Ready(accepted) = accepted {
                    return Poll::Ready(Ok(accepted));
                }
                self.waker.register(cx.waker());
                if self.is_deserted() {
                    return Poll::Ready(Err(Deserted));
                }
                ready!(self.poll_round(round, cx));
            }
        })
        .await
    }

    /// Waits for a loop with room. Returns `false` if there will never be one.
    async fn wait_for_room(&mut self, round: &mut Round) -> bool {
        poll_fn(|cx| {
            loop {
                if self.choose().is_some() {
                    return Poll::Ready(true);
                }
                let waker = self.waker.clone();
                if waker.poll_room(cx, || self.choose().is_some()).is_ready() {
                    return Poll::Ready(true);
                }
                if self.is_deserted() {
                    return Poll::Ready(false);
                }
                ready!(self.poll_round(round, cx));
            }
        })
        .await
    }

    /// Ready at the end of a round. There are no rounds while no connection waits to be started.
    fn poll_round(&mut self, round: &mut Round, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_any_waiting() {
            *round = None;
            return Poll::Pending;
        }
        ready!(Pin::new(round.get_or_insert_with(|| sleep(ROUND))).poll(cx));
        *round = None;
        self.look(time::now());
        Poll::Ready(())
    }
}

/// Asks every loop to close idle connections.
fn shed(slots: &[LoopSlot]) {
    for slot in slots {
        slot.queue.shed(slot.queue.open().div_ceil(SHED_ONE_IN));
    }
}

impl LoopSlot {
    fn new(waker: &Arc<AcceptorWaker>) -> Self {
        let queue = ConnectionQueue::new(QUEUE_CAPACITY, waker.clone());
        Self { queue, observer: None, health: Health::Stalled }
    }

    fn is_turning(&self) -> bool {
        self.health <= Health::Suspect
    }

    fn candidate(&self) -> Candidate {
        let is_gone = self.queue.is_abandoned();
        Candidate {
            health: if is_gone { Health::Gone } else { self.health },
            open: self.queue.open(),
            is_full: self.queue.is_full(),
        }
    }

    fn look(&mut self, now: Instant) {
        self.health = match self.queue.progress() {
            _ if self.queue.is_abandoned() => Health::Gone,
            // Connections would wait for a loop that is still starting.
            None => Health::Stalled,
            Some(progress) => {
                let observer = self.observer.get_or_insert_with(|| Observer::new(progress, now));
                observer.look(progress, now)
            }
        };
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.slots.iter().for_each(|slot| slot.queue.close());
    }
}
