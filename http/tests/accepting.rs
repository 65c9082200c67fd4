//! Loops that accept for themselves: one alone, and several that share a port.
#![forbid(unsafe_code)]
#![cfg(target_os = "linux")]

mod sockets;

use std::collections::HashSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix;
use std::sync::mpsc;

use brigade_http::{LoopReport, OnLoopDeath, Phase, Router, Server, get as on_get};
use brigade_runtime::task;
use sockets::blocks::{Block, ask, block, loop_name, serve};
use sockets::{PATIENCE, TestServer, get};

/// So many connections come to both loops of two, but for one case in 2^63.
const MANY: usize = 64;

/// The kernel spreads connections over so many loops.
const LOOPS: usize = 2;

fn app(block: &Block) -> Router {
    let (stuck, dying) = (block.clone(), block.clone());
    let block = move |_| {
        stuck.wait();
        std::future::ready("done")
    };
    let block_and_die = move |_| {
        dying.wait();
        end_this_loop();
        std::future::pending::<&str>()
    };
    Router::new()
        .route("/", on_get(async |_| loop_name()))
        .route("/block", on_get(block))
        .route("/block-and-die", on_get(block_and_die))
}

/// Ends the loop before it accepts what has come while it was blocked: that would be lost with it.
fn end_this_loop() {
    let main = task::all().into_iter().find(|task| task.label.name() == Some("main"));
    task::abort(main.unwrap().label.id());
}

fn hello() -> Router {
    Router::new().route("/", on_get(async |_| loop_name()))
}

fn per_loop(loops: usize) -> Server {
    Server::bind("127.0.0.1:0").unwrap().per_loop(true).loops(loops).pin(false)
}

/// Connections that have asked, and wait for their answer.
fn ask_many(address: SocketAddr) -> Vec<TcpStream> {
    let asked = (0..MANY).map(|_| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
            .write_all(get("/").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes())
            .unwrap();
        stream
    });
    asked.collect()
}

/// Which loops answer; each of `streams` is answered.
fn answered_by(streams: Vec<TcpStream>) -> Vec<String> {
    let answers = streams.into_iter().map(|mut stream| {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:?}");
        answer.rsplit("\r\n").next().unwrap().to_owned()
    });
    answers.collect()
}

/// Has every loop blocked. New connections come to any loop, so it takes some.
fn block_all(
    address: SocketAddr,
    loops: usize,
    is_blocked: &mpsc::Receiver<String>,
) -> Vec<TcpStream> {
    let mut blocked = HashSet::new();
    let mut blockers = Vec::new();
    while blocked.len() < loops {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(get("/block").as_bytes()).unwrap();
        blockers.push(stream);
        // Either a loop says that it is blocked, or the request waits for one that is.
        let first = blocked.is_empty().then(|| is_blocked.recv_timeout(PATIENCE).unwrap());
        blocked.extend(first.into_iter().chain(is_blocked.try_iter()));
        assert!(blockers.len() < 100_000, "a loop gets no connection");
        std::thread::yield_now();
    }
    blockers
}

fn connections(reports: &[LoopReport]) -> Vec<usize> {
    reports.iter().map(|report| report.stats.tcp.accepted).collect()
}

#[test]
fn a_socket_that_listens_already_is_served_with_what_waits_there() {
    for loops in [1, LOOPS] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let waiting = ask_many(listener.local_addr().unwrap());
        let server = Server::from_listener(listener).unwrap().loops(loops).pin(false);
        let server = TestServer::of(server, hello);
        assert_eq!(answered_by(waiting).len(), MANY);
        assert_eq!(answered_by(ask_many(server.address)).len(), MANY);
        let served: usize = server.join().iter().map(|report| report.stats.tcp.accepted).sum();
        assert_eq!(served, 2 * MANY);
    }
}

#[test]
fn a_socket_that_is_none_of_the_internet_is_refused() {
    let listener = unix::net::UnixListener::bind_addr(&abstract_name()).unwrap();
    let listener = TcpListener::from(OwnedFd::from(listener));
    assert!(Server::from_listener(listener).is_err());
}

#[test]
fn a_connection_is_refused_where_a_socket_is_to_listen() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connection = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let server = Server::from_listener(TcpListener::from(OwnedFd::from(connection)));
    assert_eq!(server.unwrap_err().kind(), ErrorKind::InvalidInput);
}

/// The name of a socket without a file.
fn abstract_name() -> unix::net::SocketAddr {
    let name = format!("brigade-{}", std::process::id());
    unix::net::SocketAddr::from_abstract_name(name).unwrap()
}

#[test]
fn each_loop_accepts_for_itself_and_every_connection_is_counted_once() {
    let server = per_loop(LOOPS);
    let phases = server.state();
    let server = TestServer::of(server, hello);
    // Before that not all loops have their listener.
    brigade_runtime::run(async move { phases.reached(Phase::Accepting).await });
    let by = answered_by(ask_many(server.address));
    let reports = server.join();
    assert_eq!(reports.len(), LOOPS);
    for (number, report) in reports.iter().enumerate() {
        let name = format!("loop-{number}");
        assert_eq!(report.stats.tcp.accepted, by.iter().filter(|by| **by == name).count());
        assert_eq!(report.stats.requests.total, report.stats.tcp.accepted as u64);
        assert_eq!((report.stats.tcp.taken_back, report.cancelled), (0, 0));
        assert!(report.stats.tcp.accepted > 0, "{reports:?}");
    }
    assert_eq!(by.len(), MANY);
}

#[test]
fn a_single_loop_accepts_for_itself_in_both_modes() {
    for server in [Server::bind("127.0.0.1:0").unwrap().loops(1).pin(false), per_loop(1)] {
        let server = TestServer::of(server, hello);
        assert!(answered_by(ask_many(server.address)).iter().all(|by| by == "loop-0"));
        assert_eq!(connections(&server.join()), [MANY]);
    }
}

#[test]
fn a_shutdown_answers_what_waits_in_the_backlogs_of_blocked_loops() {
    for loops in [1, LOOPS] {
        let (block, is_blocked, release) = block();
        let server = per_loop(loops);
        let phases = server.state();
        let (address, shutdown, thread) = serve(server, move || app(&block));
        let blockers = block_all(address, loops, &is_blocked);
        let waiting = ask_many(address);
        drop(shutdown);
        brigade_runtime::run(async move { phases.reached(Phase::Draining).await });
        drop(release);
        assert_eq!(answered_by(waiting).len(), MANY);
        let reports = thread.join().unwrap().unwrap();
        assert_eq!(connections(&reports).iter().sum::<usize>(), MANY + blockers.len());
        assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
    }
}

#[test]
fn a_shutdown_gives_what_waits_for_a_blocked_loop_to_another() {
    let (block, is_blocked, release) = block();
    let (address, shutdown, thread) = serve(per_loop(LOOPS), move || app(&block));
    let _blocker = block_all(address, 1, &is_blocked);
    let waiting = ask_many(address);
    drop(shutdown);
    // One loop is blocked all the while.
    let by: HashSet<_> = answered_by(waiting).into_iter().collect();
    assert_eq!(by.len(), 1);
    drop(release);
    assert!(thread.join().unwrap().is_ok());
}

#[test]
fn a_second_server_cannot_take_the_port_of_one_whose_loops_accept_for_themselves() {
    let first = per_loop(LOOPS);
    let address = first.local_addr().unwrap();
    let (_, shutdown, thread) = serve(first, hello);
    // Answered by both loops: so each has a listener of its own by now.
    while answered_by(ask_many(address)).into_iter().collect::<HashSet<_>>().len() < LOOPS {}
    let error = Server::bind(address).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().starts_with(&format!("cannot listen at {address}: ")), "{error}");
    drop(shutdown);
    assert!(thread.join().unwrap().is_ok());
}

#[test]
fn a_server_listens_at_several_addresses_whoever_accepts() {
    for (loops, per_loop) in [(1, false), (LOOPS, false), (LOOPS, true)] {
        let server = Server::bind("127.0.0.1:0").unwrap().and_bind("127.0.0.1:0").unwrap();
        let further = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = server.and_listener(further).unwrap();
        let addresses = server.local_addrs().unwrap();
        assert_eq!(addresses.len(), 3);
        let server = server.loops(loops).pin(false).per_loop(per_loop);
        let (first, shutdown, thread) = serve(server, hello);
        assert_eq!(first, addresses[0]);
        for address in &addresses {
            assert_eq!(answered_by(ask_many(*address)).len(), MANY);
        }
        // What waits in each backlog when the shutdown begins is served as well.
        let waiting: Vec<_> = addresses.iter().map(|address| ask_many(*address)).collect();
        drop(shutdown);
        for streams in waiting {
            assert_eq!(answered_by(streams).len(), MANY);
        }
        let reports = thread.join().unwrap().unwrap();
        assert_eq!(connections(&reports).into_iter().sum::<usize>(), 6 * MANY);
    }
}

#[test]
fn what_waits_for_a_loop_that_dies_is_answered_by_its_successor() {
    for loops in [1, LOOPS] {
        let (block, is_blocked, release) = block();
        let server = per_loop(loops).on_loop_death(OnLoopDeath::Restart);
        let (address, shutdown, thread) = serve(server, move || app(&block));
        let dying = std::thread::spawn(move || ask(address, "/block-and-die"));
        is_blocked.recv_timeout(PATIENCE).unwrap();
        let waiting = ask_many(address);
        release.send(()).unwrap();
        assert_eq!(dying.join().unwrap(), "");
        let by: HashSet<_> = answered_by(waiting).into_iter().collect();
        assert_eq!(by.len(), loops);
        assert_eq!(answered_by(ask_many(address)).len(), MANY);
        drop(shutdown);
        assert_eq!(thread.join().unwrap().unwrap().len(), loops);
    }
}

#[test]
fn what_waits_for_a_loop_that_dies_is_answered_by_another_before_the_server_ends() {
    let (block, is_blocked, release) = block();
    let (address, _shutdown, thread) = serve(per_loop(LOOPS), move || app(&block));
    let dying = std::thread::spawn(move || ask(address, "/block-and-die"));
    is_blocked.recv_timeout(PATIENCE).unwrap();
    let waiting = ask_many(address);
    release.send(()).unwrap();
    assert_eq!(dying.join().unwrap(), "");
    assert_eq!(answered_by(waiting).len(), MANY);
    let error = thread.join().unwrap().unwrap_err().to_string();
    assert!(error.starts_with("event loop 'loop-") && error.contains("died"), "{error}");
}
