//! Connections find a loop that turns, whatever the others do.
//!
//! A loop is blocked here by a callback that waits for the test, not for a time: what is answered
//! meanwhile was answered by another loop.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use brigade_runtime::net::TcpListener;
use brigade_runtime::oneshot::{SyncSender, sync_channel};
use brigade_runtime::server::{AcceptedConnection, Acceptor, ConnectionReceiver, LoopEvent};
use brigade_runtime::time::timeout;
use brigade_runtime::{EventLoopGroup, LoopHandle, ThreadHandle, run_in_thread, spawn, task};

/// A hang is a failure: nothing here takes so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// The connections that a loop accepted, that were taken back from it, and that are open at the end.
type Counts = (usize, usize, usize);

/// Loops that answer each connection with their number, and an acceptor.
struct Kitchen {
    address: SocketAddr,
    acceptor: ThreadHandle<()>,
    shutdown: SyncSender<()>,
    loops: EventLoopGroup<Counts>,
}

/// A loop that does not turn until this is dropped.
struct Blocked {
    _release: mpsc::Sender<()>,
}

impl Kitchen {
    fn open(loops: usize) -> Self {
        let (acceptor, arrivals) = Acceptor::new(loops);
        let (ready, is_ready) = mpsc::channel();
        let loops = EventLoopGroup::builder()
            .loops(loops)
            .pin(false)
            .start(arrivals, move |number, arrivals| cook(number, arrivals, ready.clone()))
            .unwrap();
        loops.handles().for_each(|_| is_ready.recv_timeout(PATIENCE).unwrap());
        let (shutdown, told) = sync_channel();
        let (bound, is_bound) = mpsc::channel();
        let acceptor = run_in_thread("acceptor", move || async move {
            let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            bound.send(listener.local_addr().unwrap()).unwrap();
            accept_until(acceptor, listener, told).await;
        });
        let address = is_bound.recv_timeout(PATIENCE).unwrap();
        Self { address, acceptor: acceptor.unwrap(), shutdown, loops }
    }

    fn handle(&self, number: usize) -> &LoopHandle {
        self.loops.handles().nth(number).unwrap()
    }

    /// Keeps a loop from turning; afterwards it does what `then` says.
    fn block_then(&self, number: usize, then: impl FnOnce() + Send + 'static) -> Blocked {
        let (release, released) = mpsc::channel::<()>();
        let (blocked, is_blocked) = mpsc::channel();
        let block = move || {
            blocked.send(()).unwrap();
            let _ = released.recv();
            then();
        };
        self.handle(number).call_soon(block).unwrap();
        is_blocked.recv_timeout(PATIENCE).unwrap();
        Blocked { _release: release }
    }

    fn block(&self, number: usize) -> Blocked {
        self.block_then(number, || {})
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Shuts down, and returns what the loops counted.
    fn close(self) -> Vec<Counts> {
        drop(self.shutdown);
        self.acceptor.join().unwrap();
        self.loops.join().into_iter().map(|counts| counts.unwrap()).collect()
    }
}

async fn accept_until(mut acceptor: Acceptor, listener: TcpListener, told: impl Future + 'static) {
    let mut told = Box::pin(told);
    let mut accept = Box::pin(acceptor.accept_from(std::slice::from_ref(&listener)));
    std::future::poll_fn(|cx| match told.as_mut().poll(cx).is_ready() {
        true => std::task::Poll::Ready(()),
        false => accept.as_mut().poll(cx),
    })
    .await;
    drop(accept);
    acceptor.accept_waiting(&listener).await;
}

/// What each loop does. The task that takes connections is the first one that `main` spawns.
async fn cook(number: usize, mut arrivals: ConnectionReceiver, ready: mpsc::Sender<()>) -> Counts {
    let counts = arrivals.counts();
    let taker = task::Builder::new().name("taker").spawn(async move {
        while let Some(LoopEvent::Connection(connection)) = arrivals.recv().await {
            spawn(serve(number, connection)).detach();
        }
    });
    // By then the taker waits, since it was ready before.
    spawn(async move { ready.send(()).unwrap() }).detach();
    if taker.await.is_err() {
        return (0, 0, 0);
    }
    while counts.open() > 0 {
        task::yield_now().await;
    }
    (counts.accepted(), counts.taken_back(), counts.open())
}

async fn serve(number: usize, arrival: AcceptedConnection) {
    let stream = brigade_runtime::net::TcpStream::from_nonblocking(arrival.stream);
    stream.write_all(&[number as u8]).await.unwrap();
    drop(stream);
    drop(arrival.guard);
}

fn end_taker() {
    let taker = task::all().into_iter().find(|task| task.label.name() == Some("taker"));
    task::abort(taker.unwrap().label.id());
}

/// Which loop answers.
fn answered_by(mut stream: TcpStream) -> usize {
    let _ = stream.write_all(b"?");
    let mut number = [0];
    stream.read_exact(&mut number).unwrap();
    usize::from(number[0])
}

fn answers(streams: Vec<TcpStream>) -> Vec<usize> {
    streams.into_iter().map(answered_by).collect()
}

#[test]
fn no_connection_waits_behind_the_one_loop_of_two_that_is_blocked() {
    let kitchen = Kitchen::open(2);
    for round in 0..10 {
        let blocked = kitchen.block(round % 2);
        for _ in 0..20 {
            assert_eq!(answered_by(kitchen.connect()), 1 - round % 2);
        }
        let burst = (0..50).map(|_| kitchen.connect()).collect();
        assert!(answers(burst).iter().all(|number| *number == 1 - round % 2));
        drop(blocked);
    }
    let counts = kitchen.close();
    let started: usize = counts.iter().map(|(accepted, ..)| accepted).sum();
    assert_eq!(started, 10 * 70);
    assert!(counts.iter().all(|(.., open)| *open == 0));
}

#[test]
fn no_connection_waits_behind_two_loops_of_four_that_are_blocked() {
    let kitchen = Kitchen::open(4);
    for round in 0..4 {
        let stuck = [round, (round + 1) % 4];
        let blocked = stuck.map(|number| kitchen.block(number));
        for _ in 0..20 {
            assert!(!stuck.contains(&answered_by(kitchen.connect())));
        }
        let burst = (0..50).map(|_| kitchen.connect()).collect();
        assert!(answers(burst).iter().all(|number| !stuck.contains(number)));
        drop(blocked);
    }
    assert!(kitchen.close().iter().all(|(.., open)| *open == 0));
}

#[test]
fn what_waits_unstarted_with_a_loop_that_stalled_is_taken_back_and_counted() {
    let kitchen = Kitchen::open(2);
    // The acceptor has not looked yet: for it both loops turn, and the first one's turn it is.
    let blocked = kitchen.block(0);
    assert_eq!(answered_by(kitchen.connect()), 1);
    drop(blocked);
    assert_eq!(kitchen.close(), [(0, 1, 0), (1, 0, 0)]);
}

#[test]
fn while_no_loop_turns_connections_wait_and_are_answered_afterwards() {
    let kitchen = Kitchen::open(2);
    let blocked = [kitchen.block(0), kitchen.block(1)];
    let streams: Vec<_> = (0..10).map(|_| kitchen.connect()).collect();
    drop(blocked);
    assert_eq!(answers(streams).len(), 10);
    let counts = kitchen.close();
    assert_eq!(counts.iter().map(|(accepted, ..)| accepted).sum::<usize>(), 10);
}

#[test]
fn a_shutdown_loses_nothing_of_what_waits_with_blocked_loops() {
    let kitchen = Kitchen::open(2);
    let blocked = [kitchen.block(0), kitchen.block(1)];
    let streams: Vec<_> = (0..10).map(|_| kitchen.connect()).collect();
    let Kitchen { acceptor, shutdown, loops, .. } = kitchen;
    drop(shutdown);
    acceptor.join().unwrap();
    drop(blocked);
    assert_eq!(answers(streams).len(), 10);
    let counts = loops.join().into_iter().map(Result::unwrap);
    assert_eq!(counts.map(|(accepted, ..)| accepted).sum::<usize>(), 10);
}

#[test]
fn a_loop_that_takes_no_more_loses_what_waits_there_to_the_others() {
    let kitchen = Kitchen::open(2);
    let leaving = kitchen.block_then(0, end_taker);
    let stuck = kitchen.block(1);
    let streams: Vec<_> = (0..10).map(|_| kitchen.connect()).collect();
    drop(leaving);
    while !kitchen.handle(0).is_ended() {
        std::thread::yield_now();
    }
    drop(stuck);
    assert!(answers(streams).iter().all(|number| *number == 1));
    assert_eq!(answered_by(kitchen.connect()), 1);
    let (accepted, _, open) = kitchen.close()[1];
    assert_eq!((accepted, open), (11, 0));
}

#[test]
fn what_is_accepted_after_the_last_loop_has_gone_is_for_the_one_that_takes_its_place() {
    // The loop goes before the acceptor hears of the connection, at the same time, or after.
    (0..100).for_each(|turns| brigade_runtime::run(go_and_be_replaced(turns)));
}

fn peer(event: Option<LoopEvent>) -> SocketAddr {
    match event {
        Some(LoopEvent::Connection(connection)) => connection.peer,
        event => panic!("not a connection: {event:?}"),
    }
}

async fn go_and_be_replaced(turns: usize) {
    let (mut acceptor, mut arrivals) = Acceptor::new(1);
    let mut first = arrivals.remove(0);
    let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let accepting = spawn(async move {
        acceptor.accept_from(std::slice::from_ref(&listener)).await;
        (acceptor, listener)
    });
    let before = TcpStream::connect(address).unwrap();
    assert_eq!(peer(first.recv().await), before.local_addr().unwrap());
    let client = TcpStream::connect(address).unwrap();
    for _ in 0..turns {
        task::yield_now().await;
    }
    drop(first);
    let (mut acceptor, listener) = accepting.await.unwrap();
    let mut second = acceptor.replace(0);
    let accepting =
        spawn(async move { acceptor.accept_from(std::slice::from_ref(&listener)).await });
    let next = timeout(PATIENCE, second.recv()).await.unwrap();
    assert_eq!(peer(next), client.local_addr().unwrap());
    accepting.abort();
}
