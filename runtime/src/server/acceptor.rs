//! Accepts connections and gives each to one loop of a group.
//!
//! A connection goes to the loop with the fewest connections among those that turn. A loop may
//! stall after it was chosen, so while there are connections that no loop has claimed the acceptor
//! makes its rounds: those that it finds with a stuck loop are taken back and given to another. A
//! connection that has sent nothing for a while does not cause rounds. Its socket is watched, until
//! it has something to read.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use crate::budget::consume_budget;
use crate::net::any_socket::AnySocket;
use crate::net::{Listener, PeerAddr, TcpListener};
use crate::server::accept_state::{AcceptState, accept_last};
use crate::server::accepted::{AcceptedConnection, Newcomer, Source};
use crate::server::acceptor_waker::AcceptorWaker;
use crate::server::connection_queue::{ConnectionQueue, ConnectionReceiver, QUEUE_CAPACITY};
use crate::server::exhaustion::Exhaustion;
use crate::server::placement::{
    Candidate, Health, LONG_STALLED_AFTER, Observer, STALLED_AFTER, choose,
};
use crate::server::unclaimed::{Unclaimed, UnclaimedConnections};
use crate::server::watches::{Returned, Watches};
use crate::sync::lock;
use crate::time::{self, Sleep, sleep};

/// The time between two looks at the loops while connections wait in queues.
const LOOK: Duration = STALLED_AFTER;

/// The time between two rounds over the connections that no loop has claimed. A busy server always
/// has some, and a timer that ends this late costs little.
const ROUND: Duration = LONG_STALLED_AFTER;

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
/// A loop that stalls loses the connections to the others that it has not
/// [claimed](AcceptedConnection::claim). Only while no loop turns do they stay where they are.
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
    /// Connections that were watched and are to be looked at in every round.
    returned: Returned,
}

/// What makes the acceptor look after the connections that no loop has claimed.
struct Rounds {
    /// The timer of the next look; set only while connections wait in queues.
    look: Option<Sleep>,
    /// The timer of the next round; set only while there are connections to look at.
    round: Option<Sleep>,
    /// Watches the other connections.
    watches: Watches,
}

/// A connection to give to a loop.
struct Accepted {
    stream: AnySocket,
    peer: PeerAddr,
    accepted: Instant,
    /// See [`Unclaimed::rounds`].
    rounds: u8,
}

/// No loop takes connections any more.
struct Deserted;

/// One loop, as the acceptor sees it.
#[derive(Debug)]
struct LoopSlot {
    queue: Arc<ConnectionQueue>,
    observer: Option<Observer>,
    health: Health,
    /// The connections that the loop has not claimed, without those that are watched. Empty if
    /// there is no other loop.
    unclaimed: UnclaimedConnections,
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
            returned: Returned::default(),
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
    pub async fn accept_from(&mut self, listeners: &[impl Listener]) {
        let (state, rounds) = (&mut AcceptState::default(), &mut self.rounds());
        self.wait_for_loops().await;
        while self.wait_for_room(rounds).await {
            match self.accept(listeners, state, rounds).await {
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
    pub async fn accept_waiting(&mut self, listener: &impl Listener) {
        let rounds = &mut self.rounds();
        let mut left = TcpListener::BACKLOG;
        while self.wait_for_room(rounds).await {
            let Some((stream, peer)) = accept_last(listener, &mut left) else { break };
            self.place(stream, peer);
            consume_budget().await;
        }
        poll_fn(|cx| {
            while self.is_any_queued() {
                let turned = *self.turned.get_or_insert_with(time::now);
                if self.slots.iter().any(LoopSlot::is_turning) {
                    self.turned = Some(time::now());
                } else if time::now() >= turned + END_TIMEOUT {
                    break;
                }
                ready!(self.poll_round(true, rounds, cx));
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
        // The new queue is as large as the old one, and empty.
        while let Some(connection) = old.take_back_queued() {
            self.give(index, connection);
        }
        ConnectionReceiver::new(self.slots[index].queue.clone())
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
    fn place(&mut self, stream: AnySocket, peer: PeerAddr) {
        let accepted = time::now();
        if self.looked != Some(accepted) {
            self.look(accepted);
        }
        // Only this task fills the queues, and it has waited for room. If the only room is with a
        // loop that has stalled since, the next round takes the connection back.
        if let Some(index) = self.choose().or_else(|| self.any_room()) {
            self.give(index, Accepted { stream, peer, accepted, rounds: 0 });
        }
    }

    /// Gives a connection to a loop whose queue has room.
    fn give(&mut self, index: usize, connection: Accepted) {
        let is_alone = self.slots.len() == 1;
        let slot = &mut self.slots[index];
        let Accepted { stream, peer, accepted, rounds } = connection;
        let newcomer = Newcomer { stream, guard: slot.queue.guard() };
        let source = if is_alone {
            Source::Own(newcomer)
        } else {
            let claim = slot.unclaimed.claim(newcomer);
            let source = Source::shared(claim.clone());
            slot.unclaimed.push(Unclaimed { claim, peer, accepted, rounds, has_bytes: false });
            source
        };
        // There is room: only this task fills the queues.
        let _ = slot.queue.push(AcceptedConnection { peer, accepted, source });
        self.placed = self.placed.wrapping_add(1);
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

    /// Gives what a stuck loop has not claimed to loops that turn.
    fn rescue(&mut self, index: usize) {
        while !self.slots[index].is_turning() && self.slots[index].has_unclaimed() {
            let Some(target) = self.choose().filter(|target| self.slots[*target].is_turning())
            else {
                return;
            };
            let Some(connection) = self.slots[index].take_back() else { return };
            self.give(target, connection);
        }
    }

    /// Forgets the connections that were claimed, and watches those that have sent nothing yet.
    fn end_round(&mut self, watches: &mut Watches) {
        for LoopSlot { queue, unclaimed, .. } in &mut self.slots {
            unclaimed.end_round(|connection| watches.push(queue, connection));
        }
    }

    /// Looks again at connections that were watched, in every round.
    fn take_returned(&mut self) {
        let returned = std::mem::take(&mut *lock(&self.returned));
        for (queue, connection) in returned {
            // A loop that was replaced keeps what it has begun with.
            if let Some(slot) = self.slots.iter_mut().find(|slot| Arc::ptr_eq(&slot.queue, &queue))
            {
                slot.unclaimed.push(connection);
            }
        }
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
        listeners: &[impl Listener],
        state: &mut AcceptState,
        rounds: &mut Rounds,
    ) -> Result<Option<(AnySocket, PeerAddr)>, Deserted> {
        poll_fn(|cx| {
            loop {
                let Self { exhaustion, slots, .. } = self;
                let accepted = state.poll_accept(listeners, exhaustion, cx, || shed(slots));
                if let Poll::Ready(accepted) = accepted {
                    return Poll::Ready(Ok(accepted));
                }
                self.waker.register(cx.waker());
                // Loops may accept for themselves as well.
                if self.waker.take_exhausted() {
                    shed(&self.slots);
                }
                if self.is_deserted() {
                    return Poll::Ready(Err(Deserted));
                }
                ready!(self.poll_round(self.is_any_queued(), rounds, cx));
            }
        })
        .await
    }

    /// Waits for a loop with room. Returns `false` if there will never be one.
    async fn wait_for_room(&mut self, rounds: &mut Rounds) -> bool {
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
                ready!(self.poll_round(self.is_any_queued(), rounds, cx));
            }
        })
        .await
    }

    fn rounds(&mut self) -> Rounds {
        self.take_returned();
        Rounds { look: None, round: None, watches: Watches::new(self.returned.clone()) }
    }

    /// Returns `true` if a connection waits in a queue. Its loop may pop it at any time.
    fn is_any_queued(&self) -> bool {
        self.slots.iter().any(|slot| !slot.queue.is_empty())
    }

    /// Ready after a look at the loops. There are none while there is no connection to look at:
    /// none is unclaimed, and `is_any_queued` is not true, which the caller has found out. If it
    /// were asked again here, a caller that saw a connection would wait for a look that never comes
    /// when the loop pops it in between.
    fn poll_round(
        &mut self,
        is_any_queued: bool,
        rounds: &mut Rounds,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if rounds.watches.poll(cx) {
            self.take_returned();
        }
        let Rounds { look, round, watches } = rounds;
        let is_any_unclaimed = self.slots.iter().any(|slot| !slot.unclaimed.is_empty());
        let is_round = poll_while(is_any_unclaimed, round, ROUND, cx).is_ready();
        if poll_while(is_any_queued, look, LOOK, cx).is_pending() && !is_round {
            return Poll::Pending;
        }
        self.look(time::now());
        if is_round {
            self.end_round(watches);
        }
        Poll::Ready(())
    }
}

/// Ready each time that `period` has passed. Never ready, and without a timer, while `is_wanted` is
/// not true.
fn poll_while(
    is_wanted: bool,
    timer: &mut Option<Sleep>,
    period: Duration,
    cx: &mut Context<'_>,
) -> Poll<()> {
    if is_wanted {
        ready!(Pin::new(timer.get_or_insert_with(|| sleep(period))).poll(cx));
    }
    *timer = None;
    if is_wanted { Poll::Ready(()) } else { Poll::Pending }
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
        let unclaimed = UnclaimedConnections::default();
        Self { queue, observer: None, health: Health::Stalled, unclaimed }
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

    /// Returns `true` if there are connections that the loop may not have claimed.
    fn has_unclaimed(&self) -> bool {
        !self.queue.is_empty() || !self.unclaimed.is_empty()
    }

    /// Takes back a connection that the loop has not claimed. One that it has begun with is only
    /// taken back after a while.
    fn take_back(&mut self) -> Option<Accepted> {
        if let Some(connection) = self.take_back_queued() {
            return Some(connection);
        }
        if self.health < Health::LongStalled {
            return None;
        }
        let (Unclaimed { peer, accepted, rounds, .. }, taken) = self.unclaimed.take_back()?;
        self.queue.end_taken_back(&taken);
        Some(Accepted { stream: taken.item.stream, peer, accepted, rounds })
    }

    /// Takes back a connection that the loop has not popped.
    fn take_back_queued(&self) -> Option<Accepted> {
        let AcceptedConnection { peer, accepted, source } = self.queue.take_back()?;
        let Newcomer { stream, .. } = source.take()?;
        Some(Accepted { stream, peer, accepted, rounds: 0 })
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

#[cfg(all(test, not(brigade_loom)))]
mod tests {
    use std::net::TcpStream;
    use std::sync::mpsc;
    use std::thread::JoinHandle;

    use super::*;
    use crate::executor::core::Core;
    use crate::server::connection_queue::LoopEvent;
    use crate::task::yield_now;
    use crate::time::timeout;
    use crate::{EventLoop, LoopHandle, net, run, spawn};

    /// Receives connections on a thread of its own, and keeps them without a claim. Sends the
    /// handle of its loop for each of them.
    fn keep(mut receiver: ConnectionReceiver, begun: mpsc::Sender<LoopHandle>) -> JoinHandle<()> {
        std::thread::spawn(move || {
            run(async move {
                let mut kept = Vec::new();
                while let Some(LoopEvent::Connection(connection)) = receiver.recv().await {
                    let unclaimed = connection.into_unclaimed();
                    let polled = poll_fn(|cx| Poll::Ready(unclaimed.poll_readable(cx))).await;
                    assert!(polled.is_pending());
                    kept.push(unclaimed);
                    let _ = begun.send(LoopHandle::current());
                }
            });
        })
    }

    /// Sends back what each connection sends first.
    async fn echo_once(mut receiver: ConnectionReceiver) {
        while let Some(LoopEvent::Connection(connection)) = receiver.recv().await {
            let echo = async {
                let unclaimed = connection.into_unclaimed();
                poll_fn(|cx| unclaimed.poll_readable(cx)).await;
                let (stream, _guard) = unclaimed.claim().unwrap();
                let mut byte = [0];
                stream.read_exact(&mut byte).await.unwrap();
                stream.write_all(&byte).await.unwrap();
            };
            spawn(echo).detach();
        }
    }

    /// Returns how many connections of each loop are looked at in every round.
    fn unclaimed(acceptor: &mut Acceptor) -> Vec<usize> {
        let count = |slot: &mut LoopSlot| std::iter::from_fn(|| slot.unclaimed.take_back()).count();
        acceptor.slots.iter_mut().map(count).collect()
    }

    /// Accepts from `listener` until a connection is watched.
    async fn accept_and_watch(acceptor: &mut Acceptor, listener: &TcpListener) {
        let mut accepting = pin!(acceptor.accept_from(std::slice::from_ref(listener)));
        let mut watched = pin!(async {
            while Core::current().selector().len() < 2 {
                yield_now().await;
            }
        });
        poll_fn(|cx| {
            assert!(accepting.as_mut().poll(cx).is_pending());
            watched.as_mut().poll(cx)
        })
        .await;
    }

    /// Returns an acceptor that watches one connection, the threads of its two loops, and the
    /// sockets that have to stay open.
    async fn watching_one() -> (Acceptor, Vec<JoinHandle<()>>, (TcpListener, TcpStream)) {
        let (mut acceptor, receivers) = Acceptor::new(2);
        let (begun, _) = mpsc::channel();
        let keeping = receivers.into_iter().map(|one| keep(one, begun.clone())).collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        accept_and_watch(&mut acceptor, &listener).await;
        (acceptor, keeping, (listener, client))
    }

    #[test]
    fn connections_that_were_watched_are_looked_at_when_accepting_begins_again() {
        run(async {
            let (mut acceptor, keeping, _sockets) = watching_one().await;
            assert_eq!(Core::current().selector().len(), 1, "only the listener is registered");
            let _rounds = acceptor.rounds();
            assert_eq!(unclaimed(&mut acceptor).iter().sum::<usize>(), 1);
            drop(acceptor);
            keeping.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }

    #[test]
    fn connections_of_a_loop_that_was_replaced_are_not_taken_back_from_the_new_one() {
        run(async {
            let (mut acceptor, keeping, _sockets) = watching_one().await;
            let old: Vec<_> = acceptor.slots.iter().map(|slot| slot.queue.clone()).collect();
            let _receivers = [acceptor.replace(0), acceptor.replace(1)];
            let _rounds = acceptor.rounds();
            assert_eq!(unclaimed(&mut acceptor), [0, 0]);
            old.iter().for_each(|queue| queue.close());
            keeping.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }

    #[test]
    fn a_stuck_loop_loses_what_it_has_begun_with_after_ten_milliseconds() {
        run(async {
            let (mut acceptor, receivers) = Acceptor::new(2);
            let (begun, has_begun) = mpsc::channel();
            let keeping = receivers.into_iter().map(|one| keep(one, begun.clone()));
            let keeping: Vec<_> = keeping.collect();
            acceptor.wait_for_loops().await;
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let _clients = [(); 2].map(|()| {
                let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                let (stream, peer) = listener.accept().unwrap();
                stream.set_nonblocking(true).unwrap();
                acceptor.place(AnySocket::tcp(stream.into()), peer.into());
                client
            });
            let open = |acceptor: &Acceptor| -> Vec<usize> {
                acceptor.slots.iter().map(|slot| slot.queue.open()).collect()
            };
            let (stuck, _) = (has_begun.recv().unwrap(), has_begun.recv().unwrap());
            let (release, released) = mpsc::channel::<()>();
            let (blocked, is_blocked) = mpsc::channel();
            let block = move || {
                blocked.send(()).unwrap();
                let _ = released.recv();
            };
            stuck.call_soon(block).unwrap();
            is_blocked.recv().unwrap();
            let is_awake = |slot: &LoopSlot| slot.queue.progress().unwrap().is_awake;
            while acceptor.slots.iter().filter(|slot| is_awake(slot)).count() > 1 {
                yield_now().await;
            }
            let now = time::now();
            for ms in [0, 2, 9] {
                acceptor.look(now + Duration::from_millis(ms));
            }
            assert_eq!(open(&acceptor), [1, 1]);
            assert!(acceptor.slots.iter().any(|slot| slot.health == Health::Stalled));
            acceptor.look(now + Duration::from_millis(10));
            assert_eq!(open(&acceptor).iter().max(), Some(&2));
            drop((release, acceptor));
            keeping.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }

    #[test]
    fn a_connection_of_the_acceptors_own_loop_is_served_although_it_sends_nothing_for_a_while() {
        let event_loop = EventLoop::builder().manual_clock(true).build();
        event_loop.unwrap().run_until_complete(async {
            let (mut acceptor, receivers) = Acceptor::new(2);
            receivers.into_iter().for_each(|receiver| spawn(echo_once(receiver)).detach());
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let accepting = spawn(async move { acceptor.accept_from(&[listener]).await });
            let client = net::TcpStream::connect_to(address).await.unwrap();
            sleep(100 * ROUND).await;
            client.write_all(b"?").await.unwrap();
            let mut byte = [0];
            timeout(Duration::from_secs(30), client.read_exact(&mut byte)).await.unwrap().unwrap();
            assert_eq!(&byte, b"?");
            accepting.abort();
        });
    }

    /// Returns an acceptor whose loops have queues of `capacities`, and never start.
    fn acceptor(capacities: &[usize]) -> (Acceptor, Vec<ConnectionReceiver>) {
        let (mut acceptor, mut receivers) = Acceptor::new(capacities.len());
        for (index, capacity) in capacities.iter().enumerate() {
            let queue = ConnectionQueue::new(*capacity, acceptor.waker.clone());
            receivers[index] = ConnectionReceiver::new(queue.clone());
            acceptor.slots[index].queue = queue;
        }
        (acceptor, receivers)
    }

    /// Gives a connection to the loop with a number. Returns the client's end.
    fn give(acceptor: &mut Acceptor, index: usize) -> TcpStream {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, peer) = listener.accept().unwrap();
        let (stream, peer) = (AnySocket::tcp(stream.into()), peer.into());
        acceptor.give(index, Accepted { stream, peer, accepted: time::now(), rounds: 0 });
        client
    }

    /// Runs a future on a loop whose clock only moves on when nothing else is left to do. Returns
    /// how much time has passed by that clock.
    fn timed(future: impl AsyncFnOnce() + 'static) -> Duration {
        let mut event_loop = EventLoop::builder().manual_clock(true).build().unwrap();
        event_loop.run_until_complete(async {
            let begin = time::now();
            future().await;
            time::now() - begin
        })
    }

    #[test]
    fn a_loop_that_has_ended_gets_a_connection_only_when_no_other_has_room() {
        run(async {
            let (mut acceptor, mut receivers) = acceptor(&[1, 2, 1]);
            receivers.remove(1);
            let mut clients = vec![give(&mut acceptor, 0)];
            assert!(acceptor.slots[0].queue.is_full());
            assert_eq!(acceptor.any_room(), Some(2));
            clients.push(give(&mut acceptor, 2));
            assert_eq!(acceptor.any_room(), Some(1));
            clients.extend([give(&mut acceptor, 1), give(&mut acceptor, 1)]);
            assert_eq!(acceptor.any_room(), None);
        });
    }

    #[test]
    fn an_acceptor_waits_for_room_unless_there_will_never_be_any() {
        run(async {
            let (mut acceptor, receivers) = acceptor(&[1, 1]);
            let _clients = [0, 1].map(|index| give(&mut acceptor, index));
            let mut rounds = acceptor.rounds();
            {
                let mut waiting = pin!(acceptor.wait_for_room(&mut rounds));
                poll_fn(|cx| {
                    assert!(waiting.as_mut().poll(cx).is_pending());
                    Poll::Ready(())
                })
                .await;
            }
            drop(receivers);
            assert!(!acceptor.wait_for_room(&mut rounds).await);
        });
    }

    #[test]
    fn accepting_starts_after_a_second_although_a_loop_has_not_started() {
        let waited = timed(async || {
            let (acceptor, _receivers) = acceptor(&[1, 1]);
            acceptor.wait_for_loops().await;
        });
        assert_eq!(waited, START_TIMEOUT);
    }

    #[test]
    fn connections_that_wait_for_loops_which_do_not_turn_are_given_up_at_the_end() {
        let waited = timed(async || {
            let (mut acceptor, _receivers) = acceptor(&[1, 1]);
            let _client = give(&mut acceptor, 0);
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            acceptor.accept_waiting(&listener).await;
        });
        assert_eq!(waited, END_TIMEOUT);
    }

    #[test]
    fn a_look_at_the_loops_that_was_asked_for_takes_place_although_a_loop_has_emptied_its_queue() {
        let waited = timed(async || {
            let (mut acceptor, _receivers) = acceptor(&[1]);
            let mut rounds = acceptor.rounds();
            poll_fn(|cx| acceptor.poll_round(true, &mut rounds, cx)).await;
            poll_fn(|cx| {
                assert!(acceptor.poll_round(false, &mut rounds, cx).is_pending());
                assert!(rounds.look.is_none() && rounds.round.is_none());
                Poll::Ready(())
            })
            .await;
        });
        assert_eq!(waited, LOOK);
    }

    #[test]
    fn all_loops_are_asked_to_close_connections_when_one_runs_out_of_descriptors() {
        run(async {
            let (mut acceptor, receivers) = acceptor(&[9, 9]);
            let _clients: Vec<_> = (0..9).map(|_| give(&mut acceptor, 1)).collect();
            let mut supervising = pin!(acceptor.supervise());
            poll_fn(|cx| {
                assert!(supervising.as_mut().poll(cx).is_pending());
                receivers[0].report_exhausted();
                assert!(supervising.as_mut().poll(cx).is_pending());
                let asked = receivers[1].poll_recv(cx);
                assert!(matches!(asked, Poll::Ready(Some(LoopEvent::Shed(2)))));
                let asked = receivers[1].poll_recv(cx);
                assert!(matches!(asked, Poll::Ready(Some(LoopEvent::Connection(_)))));
                // It has no connections to close.
                assert!(receivers[0].poll_recv(cx).is_pending());
                Poll::Ready(())
            })
            .await;
        });
    }

    #[test]
    fn connections_that_are_turned_away_are_counted_for_the_acceptor_and_its_loops() {
        let (acceptor, receivers) = Acceptor::new(2);
        receivers[1].turned_away().fetch_add(2, Relaxed);
        acceptor.turned_away_counter().fetch_add(1, Relaxed);
        assert_eq!(acceptor.turned_away(), 3);
    }

    #[test]
    fn the_loops_are_looked_at_once_a_turn_when_connections_are_placed() {
        run(async {
            let (mut acceptor, _receivers) = acceptor(&[4, 4]);
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let mut place = || {
                let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                let (stream, peer) = listener.accept().unwrap();
                acceptor.place(AnySocket::tcp(stream.into()), peer.into());
                (client, acceptor.looked)
            };
            let now = time::now();
            let (_first, looked) = place();
            assert_eq!(looked, Some(now));
            assert_eq!(acceptor.slots.iter().map(|slot| slot.queue.open()).sum::<usize>(), 1);
        });
    }

    #[test]
    fn connections_of_a_single_loop_cause_no_rounds() {
        run(async {
            let (mut acceptor, mut receivers) = Acceptor::new(1);
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let accepting = spawn(async move {
                acceptor.wait_for_loops().await;
                let rounds = &mut acceptor.rounds();
                let accepted = acceptor
                    .accept(std::slice::from_ref(&listener), &mut AcceptState::default(), rounds)
                    .await;
                let Ok(Some((stream, peer))) = accepted else { panic!("nothing was accepted") };
                acceptor.place(stream, peer);
                acceptor
            });
            let connection = receivers[0].recv().await;
            assert!(matches!(connection, Some(LoopEvent::Connection(_))));
            let acceptor = accepting.await.unwrap();
            assert!(!acceptor.slots[0].has_unclaimed());
        });
    }
}
