//! The acceptor places connections on loops that turn, and takes back those that are still in the
//! queue of one that does not.

mod support;

use std::net::{SocketAddr, TcpStream};

use brigade_runtime::net::TcpListener;
use brigade_runtime::server::{Acceptor, LoopEvent};
use brigade_runtime::time::timeout;
use brigade_runtime::{spawn, task};
use support::service::{PATIENCE, Service, serve_at_once, serving_loop};

fn end_taker() {
    let taker = task::all().into_iter().find(|task| task.label.name() == Some("taker"));
    task::abort(taker.unwrap().label.id());
}

fn serving_loops(streams: Vec<TcpStream>) -> Vec<usize> {
    streams.iter().map(serving_loop).collect()
}

#[test]
fn no_connection_waits_for_a_blocked_loop_of_two() {
    let service = Service::start(2, serve_at_once);
    for round in 0..10 {
        let blocked = service.block(round % 2);
        for _ in 0..20 {
            assert_eq!(serving_loop(&service.connect()), 1 - round % 2);
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
    let service = Service::start(4, serve_at_once);
    for round in 0..4 {
        let stuck = [round, (round + 1) % 4];
        let blocked = stuck.map(|number| service.block(number));
        for _ in 0..20 {
            assert!(!stuck.contains(&serving_loop(&service.connect())));
        }
        let burst = (0..50).map(|_| service.connect()).collect();
        assert!(serving_loops(burst).iter().all(|number| !stuck.contains(number)));
        drop(blocked);
    }
    assert!(service.shut_down().iter().all(|(.., open)| *open == 0));
}

#[test]
fn a_connection_queued_at_a_stalled_loop_is_taken_back_and_counted() {
    let service = Service::start(2, serve_at_once);
    // The acceptor has not seen yet that the first loop is blocked, and that loop is next.
    let blocked = service.block(0);
    assert_eq!(serving_loop(&service.connect()), 1);
    drop(blocked);
    assert_eq!(service.shut_down(), [(0, 1, 0), (1, 0, 0)]);
}

#[test]
fn connections_wait_while_all_loops_are_blocked_and_are_served_afterwards() {
    let service = Service::start(2, serve_at_once);
    let blocked = [service.block(0), service.block(1)];
    let streams: Vec<_> = (0..10).map(|_| service.connect()).collect();
    drop(blocked);
    assert_eq!(serving_loops(streams).len(), 10);
    let counts = service.shut_down();
    assert_eq!(counts.iter().map(|(accepted, ..)| accepted).sum::<usize>(), 10);
}

#[test]
fn a_shutdown_loses_no_connection_queued_at_blocked_loops() {
    let service = Service::start(2, serve_at_once);
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
    let service = Service::start(2, serve_at_once);
    let leaving = service.block_then(0, end_taker);
    let stuck = service.block(1);
    let streams: Vec<_> = (0..10).map(|_| service.connect()).collect();
    drop(leaving);
    while !service.handle(0).is_ended() {
        std::thread::yield_now();
    }
    drop(stuck);
    assert!(serving_loops(streams).iter().all(|number| *number == 1));
    assert_eq!(serving_loop(&service.connect()), 1);
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
        Some(LoopEvent::Connection(connection)) => connection.peer.tcp().unwrap(),
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
