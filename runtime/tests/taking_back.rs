//! Connections that a loop has begun with and not claimed, when it gets stuck.
//!
//! The loops of these tests serve as a protocol does whose clients speak first: they wait until
//! there is something to read, and claim the connection then. The response to each byte is the
//! number of the loop.

mod support;

use std::future::poll_fn;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use brigade_runtime::server::AcceptedConnection;
use brigade_runtime::{LoopHandle, spawn};
use support::service::{PATIENCE, Service, serve_at_once, serving_loop};

/// What a loop has done with a connection, and the number of the loop.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    /// Its task waits for the first bytes.
    Begun(usize),
    /// Its task has found that it was taken back.
    TakenBack(usize),
    Closed(usize),
}

struct Events(Receiver<Event>);

impl Events {
    fn next(&self) -> Event {
        self.0.recv_timeout(PATIENCE).unwrap()
    }

    /// Returns the loop that begins with a connection next.
    fn begun(&self) -> usize {
        loop {
            if let Event::Begun(number) = self.next() {
                return number;
            }
        }
    }

    /// Returns the loop that has begun with the only connection. On a busy machine a loop may seem
    /// to be stuck, and the connection may move until it is watched.
    fn settled(&self, service: &Service) -> usize {
        let first = self.begun();
        wait_until_resting(&service.acceptor_loop);
        let begun = |event| if let Event::Begun(number) = event { Some(number) } else { None };
        self.0.try_iter().filter_map(begun).last().unwrap_or(first)
    }

    fn wait_for(&self, event: &Event) {
        while self.next() != *event {}
    }
}

/// Checks the connections that a loop has accepted, and that are open on it.
fn assert_counts(service: &Service, number: usize, accepted: usize, open: usize) {
    let counts = service.counts(number);
    assert_eq!((counts.0, counts.2), (accepted, open), "on loop {number}");
}

/// Starts two loops. `then` is called on a loop that has begun to wait for the first bytes of a
/// connection, with its number.
fn start_with(then: impl Fn(usize) + Clone + Send + 'static) -> (Service, Events) {
    let (events, received) = mpsc::channel();
    let serve = move |number, connection| {
        spawn(serve(number, connection, events.clone(), then.clone())).detach();
    };
    (Service::start(2, serve), Events(received))
}

fn start() -> (Service, Events) {
    start_with(|_| {})
}

async fn serve(
    number: usize,
    connection: AcceptedConnection,
    events: Sender<Event>,
    then: impl Fn(usize),
) {
    // A test that ends does not receive any more.
    let report = |event| drop(events.send(event));
    let unclaimed = connection.into_unclaimed();
    let mut first = Some(Event::Begun(number));
    poll_fn(|cx| {
        let polled = unclaimed.poll_readable(cx);
        if let Some(begun) = first.take() {
            report(begun);
            then(number);
        }
        polled
    })
    .await;
    let Some((stream, guard)) = unclaimed.claim() else { return report(Event::TakenBack(number)) };
    let mut byte = [0];
    while let Ok(1) = stream.read(&mut byte).await {
        stream.write_all(&[number as u8]).await.unwrap();
    }
    drop((stream, guard));
    report(Event::Closed(number));
}

/// Returns a function that blocks the first loop that calls it, and what releases that loop when it
/// is dropped.
fn block_once() -> (impl Fn() + Clone + Send + 'static, Sender<()>) {
    let (release, released) = mpsc::channel::<()>();
    let released = Arc::new(Mutex::new(Some(released)));
    let block = move || {
        let released = released.lock().unwrap().take();
        if let Some(released) = released {
            // The timeout lets a failed test end.
            let _ = released.recv_timeout(PATIENCE);
        }
    };
    (block, release)
}

/// Waits until a loop turns no more.
fn wait_until_resting(handle: &LoopHandle) {
    let begin = Instant::now();
    let turns = || handle.snapshot().turns;
    loop {
        let before = turns();
        // Several times, so that a machine with much to do is not mistaken for a loop that
        // rests.
        let rests = (0..4).all(|_| {
            std::thread::sleep(Duration::from_millis(25));
            turns() == before
        });
        if rests {
            return;
        }
        assert!(begin.elapsed() < PATIENCE, "the loop turns although nothing happens");
    }
}

#[test]
fn a_request_whose_loop_stalls_just_before_it_is_read_is_served_by_another_loop() {
    let (block, release) = block_once();
    let (service, events) = start_with(move |_| block());
    let client = service.connect();
    // The loop is stuck in the first poll of the connection's task, and the request is here.
    let other = serving_loop(&client);
    let stuck = 1 - other;
    assert_eq!((events.begun(), events.begun()), (stuck, other));
    // The counts are right while the loop is stuck, and afterwards.
    assert_counts(&service, stuck, 0, 0);
    assert_counts(&service, other, 1, 1);
    assert!(service.counts(stuck).1 > 0, "taken back");
    drop(release);
    events.wait_for(&Event::TakenBack(stuck));
    assert_counts(&service, stuck, 0, 0);
    assert_counts(&service, other, 1, 1);
    // From now on nothing that happens to the connection wakes the loop that was stuck.
    wait_until_resting(service.handle(stuck));
    let turns = service.handle(stuck).snapshot().turns;
    for _ in 0..100 {
        assert_eq!(serving_loop(&client), other);
    }
    assert_eq!(service.handle(stuck).snapshot().turns, turns);
    drop(client);
    events.wait_for(&Event::Closed(other));
    let counts = service.shut_down();
    assert_eq!([counts[stuck].0, counts[stuck].2, counts[other].0, counts[other].2], [0, 0, 1, 0]);
}

#[test]
fn a_request_that_arrives_after_its_loop_has_stalled_is_served_by_another_loop() {
    let (service, events) = start();
    let client = service.connect();
    let stuck = events.settled(&service);
    let taken_back = service.counts(stuck).1;
    let blocked = service.block(stuck);
    let other = 1 - stuck;
    assert_eq!(serving_loop(&client), other);
    assert_eq!(service.counts(stuck), (0, taken_back + 1, 0));
    assert_counts(&service, other, 1, 1);
    drop(blocked);
    events.wait_for(&Event::TakenBack(stuck));
    drop(client);
    events.wait_for(&Event::Closed(other));
    assert_counts(&service, stuck, 0, 0);
    assert_counts(&service, other, 1, 0);
    service.shut_down();
}

#[test]
fn a_connection_whose_task_was_spawned_and_not_polled_is_served_by_another_loop() {
    let (block, release) = block_once();
    let service = Service::start(2, move |number, connection| {
        serve_at_once(number, connection);
        block();
    });
    let client = service.connect();
    let other = serving_loop(&client);
    let stuck = 1 - other;
    assert_counts(&service, stuck, 0, 0);
    drop(release);
    let counts = service.shut_down();
    assert_eq!([counts[stuck].0, counts[stuck].2, counts[other].0, counts[other].2], [0, 0, 1, 0]);
}

#[test]
fn a_connection_that_sends_nothing_keeps_no_acceptor_awake_and_is_taken_back_when_it_sends() {
    let (service, events) = start();
    let client = service.connect();
    let stuck = events.settled(&service);
    for _ in 0..3 {
        let blocked = service.block(stuck);
        wait_until_resting(&service.acceptor_loop);
        assert_counts(&service, stuck, 1, 1);
        drop(blocked);
    }
    let blocked = service.block(stuck);
    let other = 1 - stuck;
    assert_eq!(serving_loop(&client), other);
    assert_counts(&service, stuck, 0, 0);
    assert_counts(&service, other, 1, 1);
    drop(blocked);
    events.wait_for(&Event::TakenBack(stuck));
    wait_until_resting(&service.acceptor_loop);
    for _ in 0..3 {
        assert_eq!(serving_loop(&client), other);
    }
    wait_until_resting(&service.acceptor_loop);
}

#[test]
fn a_connection_that_was_watched_and_claimed_wakes_the_acceptor_no_more() {
    let (service, events) = start();
    let client = service.connect();
    events.settled(&service);
    // Most likely the same loop.
    let number = serving_loop(&client);
    wait_until_resting(&service.acceptor_loop);
    let turns = service.acceptor_loop.snapshot().turns;
    for _ in 0..100 {
        assert_eq!(serving_loop(&client), number);
    }
    assert_eq!(service.acceptor_loop.snapshot().turns, turns);
    assert_counts(&service, number, 1, 1);
}

#[test]
fn a_connection_whose_first_request_was_read_stays_on_its_stuck_loop() {
    let (service, _events) = start();
    let mut client = service.connect();
    let stuck = serving_loop(&client);
    let blocked = service.block(stuck);
    client.write_all(b"?").unwrap();
    // While newcomers move on, it does not.
    for _ in 0..20 {
        assert_eq!(serving_loop(&service.connect()), 1 - stuck);
    }
    client.set_nonblocking(true).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    client.set_nonblocking(false).unwrap();
    drop(blocked);
    let mut number = [0];
    client.read_exact(&mut number).unwrap();
    assert_eq!(usize::from(number[0]), stuck);
}

#[test]
fn connections_that_have_begun_on_stuck_loops_wait_while_no_loop_turns() {
    let (service, events) = start();
    let clients: Vec<_> = (0..10).map(|_| service.connect()).collect();
    for _ in &clients {
        events.begun();
    }
    let blocked = [service.block(0), service.block(1)];
    for mut client in &clients {
        client.write_all(b"?").unwrap();
    }
    drop(blocked);
    for mut client in clients {
        client.read_exact(&mut [0]).unwrap();
    }
    let counts = service.shut_down();
    assert_eq!(counts.iter().map(|(accepted, ..)| accepted).sum::<usize>(), 10);
    assert!(counts.iter().all(|(.., open)| *open == 0));
}

#[test]
fn a_client_that_leaves_while_its_loop_is_stuck_is_let_go_by_another_loop() {
    let (service, events) = start();
    let client = service.connect();
    let stuck = events.settled(&service);
    let blocked = service.block(stuck);
    drop(client);
    events.wait_for(&Event::Closed(1 - stuck));
    assert_counts(&service, stuck, 0, 0);
    assert_counts(&service, 1 - stuck, 1, 0);
    drop(blocked);
}

#[test]
fn a_connection_that_is_dropped_before_it_is_claimed_is_closed_at_once() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let service =
        Service::start(2, move |_, connection| match dropped.fetch_add(1, Ordering::Relaxed) % 2 {
            0 => drop(connection),
            _ => drop(connection.into_unclaimed()),
        });
    for _ in 0..4 {
        assert_eq!(service.connect().read(&mut [0]).unwrap(), 0);
    }
    let counts = service.shut_down();
    assert_eq!(counts.iter().map(|(accepted, ..)| accepted).sum::<usize>(), 4);
    assert!(counts.iter().all(|(.., open)| *open == 0));
}

#[test]
fn newcomers_in_large_numbers_survive_loops_that_are_stuck_in_turns() {
    let (service, events) = start();
    for round in 0..10 {
        let clients: Vec<TcpStream> = (0..100).map(|_| service.connect()).collect();
        let stuck = (0..50).map(|_| events.begun()).next_back().unwrap();
        let blocked = service.block(stuck);
        for client in &clients {
            assert_eq!(serving_loop(client), 1 - stuck, "in round {round}");
        }
        drop((blocked, clients));
        while service.counts(0).2 + service.counts(1).2 > 0 {
            std::thread::yield_now();
        }
        while events.0.try_recv().is_ok() {}
    }
    let counts = service.shut_down();
    assert_eq!(counts.iter().map(|(accepted, ..)| accepted).sum::<usize>(), 1000);
}
