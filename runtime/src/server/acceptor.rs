//! Accepts connections and hands them to the loops of a group.
//!
//! A connection goes to the loop with the fewest among those that turn. A loop may stall after it
//! was chosen: so while connections wait in an intake the acceptor makes its rounds, and what it
//! finds unstarted with a loop that stands still is taken back and given to another.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use crate::net::TcpListener;
use crate::server::connection_queue::{
    AcceptedConnection, AcceptorWaker, ConnectionQueue, ConnectionReceiver, QUEUE_CAPACITY,
};
use crate::server::exhaustion::{Exhaustion, is_exhaustion};
use crate::server::placement::{Candidate, Health, Observer, STALLED_AFTER, choose};
use crate::task::yield_now;
use crate::time;
use crate::time::{Sleep, sleep};

/// Connections accepted before the acceptor's loop turns once.
const ACCEPTS_PER_TURN: usize = 256;

/// How often the acceptor looks after the connections that wait to be taken.
const ROUND: Duration = STALLED_AFTER;

/// Loops that take longer to start are not waited for.
const START_PATIENCE: Duration = Duration::from_secs(1);

/// Loops of which none turns for so long are not waited for at the end. A shorter time may be that
/// of a machine with more to do than it has cores.
const END_PATIENCE: Duration = Duration::from_millis(100);

/// When descriptors have run out, each loop is asked to close one in so many connections.
const SHED_ONE_IN: usize = 8;

/// Accepts connections on the loop that runs it, and hands each to one of several loops: to the
/// one with the fewest connections among those that turn.
///
/// A loop that stalls while connections wait in its intake loses them to the others. Only if no
/// loop turns they stay where they are.
#[derive(Debug)]
pub struct Acceptor {
    seats: Vec<LoopSlot>,
    door: Arc<AcceptorWaker>,
    /// What is known of the loops, while one is chosen.
    candidates: Vec<Candidate>,
    /// How many connections were placed.
    placed: usize,
    /// When the loops were last looked at.
    looked: Option<Instant>,
    /// When one of them was last seen to turn, once the end has begun.
    turned: Option<Instant>,
    exhaustion: Exhaustion,
}

/// When the next round is due; set only while a connection waits to be taken.
type Round = Option<Sleep>;

/// One loop, as the acceptor sees it.
#[derive(Debug)]
struct LoopSlot {
    intake: Arc<ConnectionQueue>,
    observer: Option<Observer>,
    health: Health,
}

impl Acceptor {
    /// An acceptor for `loops` loops, and what each of them takes its connections from.
    ///
    /// The first in a process also has Linux make room for up to 16,384 descriptors, which takes
    /// some milliseconds: best before there are threads, when nothing has to wait for it.
    #[must_use]
    pub fn new(loops: usize) -> (Self, Vec<ConnectionReceiver>) {
        let door = Arc::new(AcceptorWaker::default());
        let exhaustion = Exhaustion::new(door.turned_away.clone());
        let seats: Vec<_> = (0..loops).map(|_| LoopSlot::new(&door)).collect();
        let arrivals =
            seats.iter().map(|seat| ConnectionReceiver::new(seat.intake.clone())).collect();
        let acceptor = Self {
            seats,
            door,
            candidates: Vec::with_capacity(loops),
            placed: 0,
            looked: None,
            turned: None,
            exhaustion,
        };
        (acceptor, arrivals)
    }

    /// Accepts from `listener` until dropped, or until no loop takes connections any more. Begins
    /// when all loops take some, or a second later. When every intake is full it stops accepting
    /// until there is room: the kernel's backlog is the brake.
    ///
    /// It never fails: what concerns one connection ends that connection. When descriptors run
    /// out it asks the loops to close idle connections, pauses, and if that was of no use turns
    /// away those who wait.
    ///
    /// Cancellation safe.
    pub async fn accept_from(&mut self, listener: &TcpListener) {
        let round = &mut Round::default();
        self.wait_for_loops().await;
        loop {
            for _ in 0..ACCEPTS_PER_TURN {
                if !self.wait_for_room(round).await {
                    return;
                }
                match self.accept(listener, round).await {
                    Some(Ok((stream, peer))) => self.place(stream, peer),
                    Some(Err(error)) => self.recover(listener, &error, round).await,
                    None => return,
                }
            }
            yield_now().await;
        }
    }

    /// For loops that accept for themselves, see [`LoopAcceptor`](crate::LoopAcceptor): when one
    /// finds that descriptors have run out, asks all of them to close idle connections. Until
    /// dropped; it never ends.
    ///
    /// Cancellation safe.
    pub async fn attend(&mut self) {
        poll_fn(|cx| {
            self.door.watch(cx.waker());
            if self.door.take_exhausted() {
                self.shed();
            }
            Poll::<()>::Pending
        })
        .await;
    }

    /// Hands on the connections that wait to be accepted now, and returns when there are none and
    /// all have been taken, as far as loops turn that can take them. For a shutdown: their peers
    /// think that they are connected.
    pub async fn accept_waiting(&mut self, listener: &TcpListener) {
        let round = &mut Round::default();
        while self.wait_for_room(round).await {
            match listener.try_accept_std() {
                Ok((stream, peer)) => self.place(stream, peer),
                Err(error) if is_exhaustion(&error) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {}
            }
        }
        poll_fn(|cx| {
            while self.is_any_waiting() {
                let turned = *self.turned.get_or_insert_with(time::now);
                if self.seats.iter().any(LoopSlot::is_turning) {
                    self.turned = Some(time::now());
                } else if time::now() >= turned + END_PATIENCE {
                    break;
                }
                ready!(self.poll_round(round, cx));
            }
            Poll::Ready(())
        })
        .await;
    }

    /// Gives the place of a loop that takes no more to another one, with the connections that
    /// wait there.
    ///
    /// # Panics
    /// If there are not so many loops.
    pub fn replace(&mut self, index: usize) -> ConnectionReceiver {
        let seat = LoopSlot::new(&self.door);
        let old = std::mem::replace(&mut self.seats[index], seat);
        let intake = &self.seats[index].intake;
        while let Some(arrival) = old.intake.take_back() {
            // It has the capacity of the old one, and is empty.
            let _ = intake.hand(AcceptedConnection { place: intake.place(), ..arrival });
        }
        ConnectionReceiver::new(intake.clone())
    }

    /// Connections that were accepted and closed at once, since descriptors had run out; by loops
    /// that accept for themselves too.
    #[must_use]
    pub fn turned_away(&self) -> usize {
        self.door.turned_away.load(Relaxed)
    }

    /// What [`Acceptor::turned_away`] tells, for other threads: to be read only.
    #[must_use]
    pub fn turned_away_counter(&self) -> Arc<AtomicUsize> {
        self.door.turned_away.clone()
    }
}

/// # Placing
impl Acceptor {
    fn place(&mut self, stream: TcpStream, peer: SocketAddr) {
        self.exhaustion.is_over();
        let accepted = time::now();
        if self.looked != Some(accepted) {
            self.look(accepted);
        }
        // Only this task fills the intakes, and it has waited for room. That may be left with a
        // loop that has stalled since: then the next round takes the connection back.
        if let Some(index) = self.choose().or_else(|| self.any_room()) {
            let intake = &self.seats[index].intake;
            let arrival = AcceptedConnection { stream, peer, accepted, place: intake.place() };
            if intake.hand(arrival).is_ok() {
                self.placed = self.placed.wrapping_add(1);
            }
        }
    }

    fn choose(&mut self) -> Option<usize> {
        self.candidates.clear();
        self.candidates.extend(self.seats.iter().map(LoopSlot::candidate));
        choose(&self.candidates, self.placed)
    }

    /// A loop that has room, of those that have gone only if no other is left: whoever takes the
    /// place of one is given what waits there.
    fn any_room(&self) -> Option<usize> {
        let has_room = |seat: &LoopSlot| !seat.intake.is_full();
        let may_take = |seat: &LoopSlot| has_room(seat) && !seat.intake.is_abandoned();
        let seats = &self.seats;
        seats.iter().position(may_take).or_else(|| seats.iter().position(has_room))
    }

    /// Looks how the loops are. Once a turn is enough: the clock stands still in between.
    fn look(&mut self, now: Instant) {
        self.looked = Some(now);
        self.seats.iter_mut().for_each(|seat| seat.look(now));
        for index in 0..self.seats.len() {
            self.rescue(index);
        }
    }

    /// Gives what waits with a loop that does not turn to those that do.
    fn rescue(&mut self, index: usize) {
        while !self.seats[index].is_turning() && !self.seats[index].intake.is_empty() {
            let Some(target) = self.choose().filter(|target| self.seats[*target].is_turning())
            else {
                return;
            };
            let Some(arrival) = self.seats[index].intake.take_back() else { return };
            let intake = &self.seats[target].intake;
            // There is room: only this task fills the intakes.
            let _ = intake.hand(AcceptedConnection { place: intake.place(), ..arrival });
            self.placed = self.placed.wrapping_add(1);
        }
    }

    fn is_any_waiting(&self) -> bool {
        self.seats.iter().any(|seat| !seat.intake.is_empty())
    }

    fn is_deserted(&self) -> bool {
        self.seats.iter().all(|seat| seat.intake.is_abandoned())
    }
}

/// # Waiting
impl Acceptor {
    /// Waits until all loops take connections, or have had a second for it: those that come first
    /// are spread over all of them.
    async fn wait_for_loops(&self) {
        let mut patience = pin!(sleep(START_PATIENCE));
        poll_fn(|cx| {
            self.door.watch(cx.waker());
            let all_begun = self.seats.iter().all(|seat| seat.intake.has_begun());
            if all_begun { Poll::Ready(()) } else { patience.as_mut().poll(cx) }
        })
        .await;
    }

    /// Waits for a connection, or until no loop is left to take it.
    async fn accept(
        &mut self,
        listener: &TcpListener,
        round: &mut Round,
    ) -> Option<io::Result<(TcpStream, SocketAddr)>> {
        let mut accept = pin!(listener.accept_std());
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(accepted) = accept.as_mut().poll(cx) {
                    return Poll::Ready(Some(accepted));
                }
                self.door.watch(cx.waker());
                if self.is_deserted() {
                    return Poll::Ready(None);
                }
                ready!(self.poll_round(round, cx));
            }
        })
        .await
    }

    /// Waits for a loop that takes a connection. Returns `false` if none will ever.
    async fn wait_for_room(&mut self, round: &mut Round) -> bool {
        poll_fn(|cx| {
            loop {
                if self.choose().is_some() {
                    return Poll::Ready(true);
                }
                let door = self.door.clone();
                if door.poll_room(cx, || self.choose().is_some()).is_ready() {
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

    /// Ready when a round is over. While no connection waits to be taken there are none.
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

    async fn pause(&mut self, pause: Duration, round: &mut Round) {
        let mut pause = pin!(sleep(pause));
        poll_fn(|cx| {
            while pause.as_mut().poll(cx).is_pending() {
                ready!(self.poll_round(round, cx));
            }
            Poll::Ready(())
        })
        .await;
    }

    async fn recover(&mut self, listener: &TcpListener, error: &io::Error, round: &mut Round) {
        if let Some(pause) = self.exhaustion.pause(listener, error) {
            self.shed();
            self.pause(pause, round).await;
        }
    }

    /// Asks all loops to close idle connections.
    fn shed(&self) {
        for seat in &self.seats {
            seat.intake.ask_to_shed(seat.intake.open().div_ceil(SHED_ONE_IN));
        }
    }
}

impl LoopSlot {
    fn new(door: &Arc<AcceptorWaker>) -> Self {
        let intake = ConnectionQueue::new(QUEUE_CAPACITY, door.clone());
        Self { intake, observer: None, health: Health::Stalled }
    }

    fn is_turning(&self) -> bool {
        self.health <= Health::Suspect
    }

    fn candidate(&self) -> Candidate {
        let gone = self.intake.is_abandoned();
        Candidate {
            health: if gone { Health::Gone } else { self.health },
            open: self.intake.open(),
            is_full: self.intake.is_full(),
        }
    }

    fn look(&mut self, now: Instant) {
        self.health = match self.intake.progress() {
            _ if self.intake.is_abandoned() => Health::Gone,
            // A loop that is still starting would let its connections wait.
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
        self.seats.iter().for_each(|seat| seat.intake.close());
    }
}
