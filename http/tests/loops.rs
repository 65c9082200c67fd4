//! A server whose loops are blocked, die or end: what its clients see, and what it reports.
//!
//! A handler blocks its loop until the test releases it, not for a fixed time.
#![forbid(unsafe_code)]

mod sockets;

use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use brigade_http::{
    ConnectionState, HeaderValue, OnLoopDeath, Phase, Response, Router, Server, Timeouts, Upgraded,
    get as on_get,
};
use brigade_runtime::oneshot::sync_channel;
use brigade_runtime::{EventLoop, Unhandled, run_in_thread};
use sockets::blocks::{Block, ask, block, loop_name, serve, stop_loop};
use sockets::{PATIENCE, TestServer, get};

fn app(block: &Block) -> Router {
    Router::new()
        .route("/", on_get(async || loop_name()))
        .route("/wait/{what}", on_get(async || std::future::pending::<()>().await))
        .route("/stop", on_get(stop_loop))
        .route("/block", block.handler())
        .route("/upgrade", on_get(async || upgrade(|_| std::future::pending())))
        .route("/upgrade/block", on_get(block_upgraded(block)))
}

#[test]
fn while_a_handler_blocks_one_of_two_loops_the_other_serves_every_new_connection() {
    let (block, is_blocked, release) = block();
    let server = TestServer::start_with(|server| server.loops(2).pin(false), move || app(&block));
    let mut blocker = server.connect();
    for _ in 0..10 {
        blocker.send(get("/block"));
        let blocked = is_blocked.recv_timeout(PATIENCE).unwrap();
        for _ in 0..20 {
            let mut client = server.connect();
            client.send(get("/"));
            assert_ne!(client.response().text(), blocked);
        }
        release.send(()).unwrap();
        assert_eq!(blocker.response().status, 200);
    }
    drop(blocker);
    let reports = server.join();
    assert_eq!(reports.iter().map(|report| report.stats.tcp.accepted).sum::<usize>(), 201);
    assert_eq!(reports.iter().map(|report| report.stats.requests.total).sum::<u64>(), 210);
}

#[test]
fn a_connection_that_has_sent_no_request_yet_is_not_held_by_a_loop_that_a_handler_blocks() {
    let (block, is_blocked, release) = block();
    let server = Server::bind("127.0.0.1:0").unwrap().loops(2).pin(false);
    let stats = server.stats();
    let server = TestServer::of(server, move || app(&block));
    let open = |number: usize| stats.loops()[number].tcp.open;
    let mut blocker = server.connect();
    blocker.send(get("/"));
    let stuck = blocker.response().text().to_owned();
    let number: usize = stuck.strip_prefix("loop-").unwrap().parse().unwrap();
    let mut silent: Vec<_> = (0..6).map(|_| server.connect()).collect();
    while stats.loops().len() < 2 || open(0) + open(1) < 7 {
        std::thread::yield_now();
    }
    blocker.send(get("/block"));
    assert_eq!(is_blocked.recv_timeout(PATIENCE).unwrap(), stuck);
    // The second request of each is served where the first one was.
    for client in &mut silent {
        client.send(format!("{}{}", get("/"), get("/")));
        assert_ne!(client.response().text(), stuck);
        assert_ne!(client.response().text(), stuck);
    }
    assert_eq!((open(number), open(1 - number)), (1, 6));
    release.send(()).unwrap();
    assert_eq!(blocker.response().status, 200);
    let reports = server.join();
    let accepted: usize = reports.iter().map(|report| report.stats.tcp.accepted).sum();
    assert_eq!(accepted, 7);
    for report in reports {
        assert_eq!((report.stats.tcp.open, report.cancelled), (0, 0));
    }
}

fn upgrade<F>(protocol: impl FnOnce(Upgraded) -> F + 'static) -> Response
where
    F: Future<Output = ()> + 'static,
{
    Response::upgrade(HeaderValue::from_static("test"), protocol)
}

/// Returns a handler that upgrades its connection, and then blocks its loop.
fn block_upgraded(block: &Block) -> impl AsyncFn() -> Response + 'static + use<> {
    let block = block.clone();
    async move || {
        let block = block.clone();
        upgrade(move |_| async move { block.wait() })
    }
}

/// Returns a request that offers the protocol of [`upgrade`].
fn offer(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: test\r\n\r\n")
}

#[test]
fn a_handler_is_reported_with_its_route_while_it_blocks_its_loop() {
    assert_reported("/block", &get("/block"), 200);
}

#[test]
fn an_upgraded_connection_is_reported_with_its_route_while_it_blocks_its_loop() {
    assert_reported("/upgrade/block", &offer("/upgrade/block"), 101);
}

/// Checks the report of a loop that `request` for `path` blocks.
fn assert_reported(path: &str, request: &str, status: u16) {
    let (reported, reports) = mpsc::channel();
    let reported = Mutex::new(reported);
    let event_loop = EventLoop::builder().on_unhandled(move |unhandled| {
        if let Unhandled::Stalled(stall) = unhandled
            && stall.note.is_some()
        {
            let _ = reported.lock().unwrap().send((stall.clone(), unhandled.to_string()));
        }
    });
    let (block, is_blocked, release) = block();
    let server = TestServer::start_with(
        |server| {
            let server = server.loops(1).pin(false).event_loop(event_loop);
            server.stall_threshold(Some(Duration::from_millis(8)))
        },
        move || app(&block),
    );
    let mut client = server.connect();
    client.send(request);
    let blocked = is_blocked.recv_timeout(PATIENCE).unwrap();
    let (stall, text) = reports.recv_timeout(PATIENCE).unwrap();
    assert_eq!(stall.event_loop, blocked);
    assert_eq!(stall.note.unwrap().text(), path);
    assert!(text.contains("'connection'") && text.contains(path), "{text}");
    release.send(()).unwrap();
    assert!(client.until(b"\r\n\r\n").starts_with(format!("HTTP/1.1 {status} ").as_bytes()));
}

#[test]
fn a_connection_cut_at_the_drain_deadline_is_reported_with_route_peer_and_state() {
    let (block, ..) = block();
    let timeouts = Timeouts { drain: Duration::from_millis(10), ..Timeouts::default() };
    let server = Server::bind("127.0.0.1:0").unwrap().loops(1).pin(false).timeouts(timeouts);
    let phases = server.state();
    assert_eq!(phases.phase(), Phase::Bound);
    let (address, shutdown, thread) = serve(server, move || app(&block));
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.write_all(format!("{}{}", get("/"), get("/wait/long")).as_bytes()).unwrap();
    // Both requests arrive in one read, so the second handler runs when the first response is here.
    assert!(stream.read(&mut [0; 512]).unwrap() > 0);
    assert_eq!(phases.phase(), Phase::Accepting);
    drop(shutdown);
    let reports = thread.join().unwrap().unwrap();
    assert_eq!((reports[0].cancelled, reports[0].cancelled_connections.len()), (1, 1));
    let held = &reports[0].cancelled_connections[0];
    assert_eq!(
        (held.state, held.peer),
        (ConnectionState::Handling, stream.local_addr().unwrap().into())
    );
    assert_eq!(held.route.as_deref(), Some("/wait/{what}"));
    assert_eq!(phases.phase(), Phase::Ended);
}

#[test]
fn an_upgraded_connection_that_is_cut_at_the_drain_deadline_is_reported() {
    let (block, ..) = block();
    let timeouts = Timeouts { drain: Duration::from_millis(10), ..Timeouts::default() };
    let server = Server::bind("127.0.0.1:0").unwrap().loops(1).pin(false).timeouts(timeouts);
    let (address, shutdown, thread) = serve(server, move || app(&block));
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.write_all(offer("/upgrade").as_bytes()).unwrap();
    assert!(stream.read(&mut [0; 512]).unwrap() > 0);
    drop(shutdown);
    let reports = thread.join().unwrap().unwrap();
    assert_eq!((reports[0].cancelled, reports[0].cancelled_connections.len()), (1, 1));
    let cut = &reports[0].cancelled_connections[0];
    assert_eq!(
        (cut.state, cut.peer),
        (ConnectionState::Upgraded, stream.local_addr().unwrap().into())
    );
    assert_eq!(stream.read(&mut [0; 512]).unwrap(), 0);
}

#[test]
fn the_phases_of_a_server_can_be_awaited() {
    let (block, ..) = block();
    let server = Server::bind("127.0.0.1:0").unwrap().loops(2).pin(false);
    let phases = server.state();
    let (address, shutdown, thread) = serve(server, move || app(&block));
    brigade_runtime::run(async move {
        phases.reached(Phase::Accepting).await;
        drop(shutdown);
        phases.reached(Phase::Draining).await;
        phases.reached(Phase::Ended).await;
    });
    assert!(thread.join().unwrap().is_ok());
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn a_second_shutdown_signal_ends_the_server_while_a_loop_is_blocked() {
    let (block, is_blocked, release) = block();
    let server = Server::bind("127.0.0.1:0").unwrap().loops(1).pin(false);
    let address = server.local_addr().unwrap();
    let (shutdown, signal) = sync_channel::<()>();
    let thread = run_in_thread("acceptor", move || async move {
        let shutdown = async {
            let _ = signal.await;
        };
        server.serve_with_force(move || app(&block), shutdown, async {}).await
    });
    let client = std::thread::spawn(move || ask(address, "/block"));
    is_blocked.recv_timeout(PATIENCE).unwrap();
    drop(shutdown);
    let reports = thread.unwrap().join().unwrap().unwrap();
    assert_eq!((reports.len(), reports[0].stats.requests.in_flight), (1, 1));
    drop(release);
    client.join().unwrap();
}

#[test]
fn a_loop_that_dies_ends_the_server_with_an_error_that_names_it() {
    let (block, ..) = block();
    let server = Server::bind("127.0.0.1:0").unwrap().loops(2).pin(false);
    let (address, _shutdown, thread) = serve(server, move || app(&block));
    assert_eq!(ask(address, "/stop"), "");
    let error = thread.join().unwrap().unwrap_err().to_string();
    assert!(error.starts_with("event loop 'loop-") && error.contains("died"), "{error}");
}

#[test]
fn a_panic_in_the_application_factory_ends_the_server() {
    let (block, ..) = block();
    let made = Arc::new(AtomicUsize::new(0));
    let server = Server::bind("127.0.0.1:0").unwrap().loops(2).pin(false);
    let (_, _shutdown, thread) = serve(server, move || {
        assert_eq!(made.fetch_add(1, Ordering::Relaxed), 0, "no second application");
        app(&block)
    });
    let error = thread.join().unwrap().unwrap_err().to_string();
    assert!(error.contains("no second application"), "{error}");
}

#[test]
fn with_restart_a_new_loop_replaces_one_that_died() {
    let (block, ..) = block();
    let made = Arc::new(AtomicUsize::new(0));
    let count = made.clone();
    let server = Server::bind("127.0.0.1:0").unwrap().loops(1).pin(false);
    let server = server.on_loop_death(OnLoopDeath::Restart);
    let (address, shutdown, thread) = serve(server, move || {
        count.fetch_add(1, Ordering::Relaxed);
        app(&block)
    });
    for _ in 0..3 {
        assert_eq!(ask(address, "/stop"), "");
        assert!(ask(address, "/").ends_with("loop-0"));
    }
    drop(shutdown);
    assert_eq!(thread.join().unwrap().unwrap().len(), 1);
    assert_eq!(made.load(Ordering::Relaxed), 4);
}

#[test]
fn with_restart_a_loop_that_dies_repeatedly_still_ends_the_server() {
    let server = Server::bind("127.0.0.1:0").unwrap().loops(1).pin(false);
    let server = server.on_loop_death(OnLoopDeath::Restart);
    let (_, _shutdown, thread) = serve(server, || panic!("no application"));
    let error = thread.join().unwrap().unwrap_err().to_string();
    assert!(error.contains("no application"), "{error}");
}
