//! The acceptor places connections on loops that turn, and takes them back from loops that do not.
//!
//! A callback blocks a loop until the test releases it, not for a fixed time. So a response that
//! arrives meanwhile comes from another loop.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use brigade_runtime::net::TcpListener;
use brigade_runtime::oneshot::{SyncSender, sync_channel};
use brigade_runtime::server::{AcceptedConnection, Acceptor, ConnectionReceiver, LoopEvent};
use brigade_runtime::time::timeout;
use brigade_runtime::{EventLoopGroup, LoopHandle, ThreadHandle, run_in_thread, spawn, task};

/// How long a test waits for an event before it fails. Nothing takes that long.
const PATIENCE: Duration = Duration::from_secs(30);

/// The connections that a loop accepted, that were taken back, and that are open at its end.
type Counts = (usize, usize, usize);

/// An acceptor, and loops that respond to each connection with their number.
struct Service {
    address: SocketAddr,
    acceptor: ThreadHandle<()>,
    shutdown: SyncSender<()>,
    loops: EventLoopGroup<Counts>,
}

/// Keeps a loop from turning until dropped.
struct Blocked {
    _release: mpsc::Sender<()>,
}

impl Service {
    fn start(loops: usize) -> Self {
        let (acceptor, receivers) = Acceptor::new(loops);
        let (ready, is_ready) = mpsc::channel();
        let loops = EventLoopGroup::builder()
            .loops(loops)
            .pin(false)
            .start(receivers, move |number, receiver| run_loop(number, receiver, ready.clone()))
            .unwrap();
        loops.handles().for_each(|_| is_ready.recv_timeout(PATIENCE).unwrap());
        let (shutdown, signal) = sync_channel();
        let (bound, is_bound) = mpsc::channel();
        let acceptor = run_in_thread("acceptor", move || async move {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            bound.send(listener.local_addr().unwrap()).unwrap();
            accept_until(acceptor, listener, signal).await;
        });
        let address = is_bound.recv_timeout(PATIENCE).unwrap();
        Self { address, acceptor: acceptor.unwrap(), shutdown, loops }
    }

    fn handle(&self, number: usize) -> &LoopHandle {
        self.loops.handles().nth(number).unwrap()
    }

    /// Blocks a loop. Once released, the loop calls `then`.
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

    /// Shuts down, and returns the counts of the loops.
    fn shut_down(self) -> Vec<Counts> {
        drop(self.shutdown);
        self.acceptor.join().unwrap();
        self.loops.join().into_iter().map(|counts| counts.unwrap()).collect()
    }
}

/// Accepts until `signal` is ready, then accepts what is left in the backlog.
async fn accept_until(
    mut acceptor: Acceptor,
    listener: TcpListener,
    signal: impl Future + 'static,
) {
    let mut signal = Box::pin(signal);
    let mut accept = Box::pin(acceptor.accept_from(std::slice::from_ref(&listener)));
    std::future::poll_fn(|cx| match signal.as_mut().poll(cx).is_ready() {
        true => std::task::Poll::Ready(()),
        false => accept.as_mut().poll(cx),
    })
    .await;
    drop(accept);
    acceptor.accept_waiting(&listener).await;
}

/// The main task of each loop. The first task that it spawns takes the connections.
async fn run_loop(
    number: usize,
    mut receiver: ConnectionReceiver,
    ready: mpsc::Sender<()>,
) -> Counts {
    let counts = receiver.counts();
    let taker = task::Builder::new().name("taker").spawn(async move {
        while let Some(LoopEvent::Connection(connection)) = receiver.recv().await {
            spawn(serve(number, connection)).detach();
        }
    });
    // The taker was ready before this task, so it waits for connections by now.
    spawn(async move { ready.send(()).unwrap() }).detach();
    if taker.await.is_err() {
        return (0, 0, 0);
    }
    while counts.open() > 0 {
        task::yield_now().await;
    }
    (counts.accepted(), counts.taken_back(), counts.open())
}

async fn serve(number: usize, connection: AcceptedConnection) {
    let stream = brigade_runtime::net::TcpStream::from_nonblocking(connection.stream);
    stream.write_all(&[number as u8]).await.unwrap();
    drop(stream);
    drop(connection.guard);
}

fn end_taker() {
    let taker = task::all().into_iter().find(|task| task.label.name() == Some("taker"));
    task::abort(taker.unwrap().label.id());
}

/// Returns the number of the loop that serves the connection, which is the response.
fn serving_loop(mut stream: TcpStream) -> usize {
    let _ = stream.write_all(b"?");
    let mut number = [0];
    stream.read_exact(&mut number).unwrap();
    usize::from(number[0])
}

fn serving_loops(streams: Vec<TcpStream>) -> Vec<usize> {
    streams.into_iter().map(serving_loop).collect()
}

#[test]
fn no_connection_waits_for_a_blocked_loop_of_two() {
    let service = Service::start(2);
    for round in 0..10 {
        let blocked = service.block(round % 2);
        for _ in 0..20 {
            assert_eq!(serving_loop(service.connect()), 1 - round % 2);
        }
        let burst = (0..50).map(|_| service.connect()).collect();
        assert!(serving_loops(burst).iter().all(|number| *number == 1 - round % 2));
        drop(blocked);
    }
    let counts = service.shut_down();
    let started: usize = counts.iter().map(|(accepted, ..)| accepted).sum();
    assert_eq!(started, 10 * 70);
    assert!(counts.iter().all(|(.., open)| *open == 0));
}

#[test]
fn no_connection_waits_for_two_blocked_loops_of_four() {
    let service = Service::start(4);
    for round in 0..4 {
        let stuck = [round, (round + 1) % 4];
        let blocked = stuck.map(|number| service.block(number));
        for _ in 0..20 {
            assert!(!stuck.contains(&serving_loop(service.connect())));
        }
        let burst = (0..50).map(|_| service.connect()).collect();
        assert!(serving_loops(burst).iter().all(|number| !stuck.contains(number)));
        drop(blocked);
    }
    assert!(service.shut_down().iter().all(|(.., open)| *open == 0));
}

#[test]
fn a_connection_queued_at_a_stalled_loop_is_taken_back_and_counted() {
    let service = Service::start(2);
    // The acceptor has not seen yet that the first loop is blocked, and that loop is next.
    let blocked = service.block(0);
    assert_eq!(serving_loop(service.connect()), 1);
    drop(blocked);
    assert_eq!(service.shut_down(), [(0, 1, 0), (1, 0, 0)]);
}

#[test]
fn connections_wait_while_all_loops_are_blocked_and_are_served_afterwards() {
    let service = Service::start(2);
    let blocked = [service.block(0), service.block(1)];
    let streams: Vec<_> = (0..10).map(|_| service.connect()).collect();
    drop(blocked);
    assert_eq!(serving_loops(streams).len(), 10);
    let counts = service.shut_down();
    assert_eq!(counts.iter().map(|(accepted, ..)| accepted).sum::<usize>(), 10);
}

#[test]
fn a_shutdown_loses_no_connection_queued_at_blocked_loops() {
    let service = Service::start(2);
    let blocked = [service.block(0), service.block(1)];
    let streams: Vec<_> = (0..10).map(|_| service.connect()).collect();
    let Service { acceptor, shutdown, loops, .. } = service;
    drop(shutdown);
    acceptor.join().unwrap();
    drop(blocked);
    assert_eq!(serving_loops(streams).len(), 10);
    let counts = loops.join().into_iter().map(Result::unwrap);
    assert_eq!(counts.map(|(accepted, ..)| accepted).sum::<usize>(), 10);
}

#[test]
fn connections_queued_at_a_loop_that_stops_taking_them_move_to_another() {
    let service = Service::start(2);
    let leaving = service.block_then(0, end_taker);
    let stuck = service.block(1);
    let streams: Vec<_> = (0..10).map(|_| service.connect()).collect();
    drop(leaving);
    while !service.handle(0).is_ended() {
        std::thread::yield_now();
    }
    drop(stuck);
    assert!(serving_loops(streams).iter().all(|number| *number == 1));
    assert_eq!(serving_loop(service.connect()), 1);
    let (accepted, _, open) = service.shut_down()[1];
    assert_eq!((accepted, open), (11, 0));
}

#[test]
fn a_connection_accepted_after_the_last_loop_ended_goes_to_its_replacement() {
    // The loop ends before the acceptor sees the connection, at the same time, or after.
    (0..100).for_each(|turns| brigade_runtime::run(end_and_replace(turns)));
}

fn peer(event: Option<LoopEvent>) -> SocketAddr {
    match event {
        Some(LoopEvent::Connection(connection)) => connection.peer,
        event => panic!("not a connection: {event:?}"),
    }
}

async fn end_and_replace(turns: usize) {
    let (mut acceptor, mut receivers) = Acceptor::new(1);
    let mut first = receivers.remove(0);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
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
