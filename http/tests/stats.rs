//! The counters of a server, which are exact however a request ends.
#![forbid(unsafe_code)]

mod sockets;

use std::io::{ErrorKind, Read};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use brigade_http::{
    Body, BodyError, LoopStats, OnLoopDeath, Phase, Request, Response, Router, Server, Stats,
    StatusCode, Timeouts, get as on_get, post as on_post,
};
use brigade_runtime::oneshot::{SyncReceiver, SyncSender, sync_channel};
use bytes::Bytes;
use futures_util::stream;
use http::HeaderValue;
use sockets::blocks::{block, serve, stop_loop};
use sockets::{Client, PATIENCE, TestServer, get};

/// Holds one request to `/gate` until the test drops the sender.
type Gate = Arc<Mutex<Option<SyncReceiver<()>>>>;

fn gate() -> (SyncSender<()>, Gate) {
    let (open, opened) = sync_channel::<()>();
    (open, Arc::new(Mutex::new(Some(opened))))
}

fn app(gate: &Gate) -> Router {
    let gate = gate.clone();
    Router::new()
        .route("/", on_get(async || "hello"))
        .route("/status/{code}", on_get(status))
        .route("/panic", on_get(async || -> &'static str { panic!("on purpose") }))
        .route("/upgrade", on_get(upgrade))
        .route("/wait", on_get(async || std::future::pending::<()>().await))
        .route("/late", on_get(async || std::future::pending::<()>().await).detach_on_disconnect())
        .route("/upload", on_post(upload))
        .route("/endless", on_get(async || body_of(stream::repeat_with(part))))
        .route("/fails", on_get(async || body_of(stream::iter([part(), Err("broken".into())]))))
        .route("/bursts", on_get(async || body_of(stream::repeat_with(|| panic!("midway")))))
        .route("/gate", on_get(move || hold(gate.clone())))
}

async fn hold(gate: Gate) -> &'static str {
    let opened = gate.lock().unwrap().take();
    let _ = opened.expect("one request is held").await;
    "opened"
}

async fn status(request: Request) -> StatusCode {
    request.param("code").and_then(|code| code.parse().ok()).unwrap_or(StatusCode::NOT_FOUND)
}

async fn upload(mut request: Request) -> Result<Bytes, BodyError> {
    request.body_mut().collect(1024).await
}

/// Switches to a protocol that sends nothing until the client disconnects.
async fn upgrade(_: Request) -> Response {
    Response::upgrade(HeaderValue::from_static("silence"), async |io| {
        let mut byte = [0];
        let _ = io.socket().unwrap().read(&mut byte).await;
    })
}

type Part = Result<Bytes, brigade_http::BoxError>;

fn part() -> Part {
    Ok(Bytes::from_static(&[b'*'; 1024]))
}

fn body_of(parts: impl stream::Stream<Item = Part> + 'static) -> Body {
    Body::stream(parts)
}

/// Starts a server with two loops.
fn start(gate: &Gate, timeouts: Timeouts) -> (TestServer, Stats) {
    let (gate, mut stats) = (gate.clone(), None);
    let options = |server: Server| {
        stats = Some(server.stats());
        server.loops(2).pin(false).timeouts(timeouts)
    };
    let server = TestServer::start_with(options, move || app(&gate));
    (server, stats.expect("start_with calls the options"))
}

/// The counters of all loops, added up.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sum {
    open: usize,
    handed: usize,
    requests: u64,
    in_flight: u64,
    answered: [u64; 5],
    unanswered: u64,
    bodies_failed: u64,
}

fn sum(stats: &Stats) -> Sum {
    let mut sum = Sum::default();
    for one in stats.loops() {
        sum.open += one.tcp.open;
        // The acceptor takes back connections from a loop that is not scheduled for a while.
        sum.handed += one.tcp.accepted;
        sum.requests += one.requests.total;
        sum.in_flight += one.requests.in_flight;
        sum.answered.iter_mut().zip(one.requests.responses).for_each(|(sum, count)| *sum += count);
        sum.unanswered += one.requests.unanswered;
        sum.bodies_failed += one.requests.bodies_failed;
    }
    sum
}

/// Waits until the counters are `expected`. A loop may count after its client has the response.
fn await_sum(stats: &Stats, expected: &Sum) {
    let began = Instant::now();
    while sum(stats) != *expected {
        assert!(began.elapsed() < PATIENCE, "{:?} did not become {expected:?}", sum(stats));
        std::thread::yield_now();
    }
}

fn ask(client: &mut Client, path: &str) -> u16 {
    client.send(get(path));
    client.response().status
}

#[test]
fn responses_are_counted_by_status_class() {
    let (_open, gate) = gate();
    let (server, stats) = start(&gate, Timeouts::default());
    let mut client = server.connect();
    for (path, status) in [("/", 200), ("/status/204", 204), ("/status/301", 301), ("/no", 404)] {
        assert_eq!(ask(&mut client, path), status);
    }
    client.send(get("/status/503").repeat(3));
    (0..3).for_each(|_| assert_eq!(client.response().status, 503));
    await_sum(
        &stats,
        &Sum { open: 1, handed: 1, requests: 7, answered: [0, 2, 1, 1, 3], ..Sum::default() },
    );
    assert_eq!(ask(&mut client, "/panic"), 500);
    // Otherwise the server would keep the closing connection open for a while.
    drop(client);
    assert!(server.exchange("no request\r\n\r\n").contains("400"));
    let mut upgraded = server.connect();
    let head = "Connection: upgrade\r\nUpgrade: silence";
    upgraded.send(format!("GET /upgrade HTTP/1.1\r\nHost: test\r\n{head}\r\n\r\n"));
    assert_eq!(upgraded.response().status, 101);
    // Only the upgraded connection is still open, and it has no request in flight.
    let answered = [1, 2, 1, 2, 4];
    await_sum(&stats, &Sum { open: 1, handed: 3, requests: 9, answered, ..Sum::default() });
    drop(upgraded);
    await_sum(&stats, &Sum { handed: 3, requests: 9, answered, ..Sum::default() });
    let reports = server.join();
    assert_eq!(reports.iter().map(|report| report.stats.requests.total).sum::<u64>(), 9);
}

#[test]
fn a_request_is_in_flight_from_its_head_to_the_end_of_its_response() {
    let (open, gate) = gate();
    let (server, stats) = start(&gate, Timeouts::default());
    let mut held = server.connect();
    held.send(get("/gate"));
    let so_far = Sum { open: 1, handed: 1, requests: 1, ..Sum::default() };
    await_sum(&stats, &Sum { in_flight: 1, ..so_far });
    // The connection handles its second request after the first, so it is not in flight yet.
    held.send(get("/"));
    let mut other = server.connect();
    assert_eq!(ask(&mut other, "/"), 200);
    let expected = Sum { open: 2, handed: 2, requests: 2, in_flight: 1, ..Sum::default() };
    await_sum(&stats, &Sum { answered: [0, 1, 0, 0, 0], ..expected });
    drop(open);
    assert_eq!((held.response().text(), held.response().text()), ("opened", "hello"));
    let expected = Sum { open: 2, handed: 2, requests: 3, ..Sum::default() };
    await_sum(&stats, &Sum { answered: [0, 3, 0, 0, 0], ..expected });
}

#[test]
fn a_request_is_not_in_flight_after_its_client_disconnects() {
    let (_open, gate) = gate();
    let (server, stats) = start(&gate, Timeouts::default());
    let mut waiting = server.connect();
    waiting.send(get("/wait"));
    let mut uploading = server.connect();
    uploading.send("POST /upload HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\nbegun");
    let mut downloading = server.connect();
    downloading.send(get("/endless"));
    downloading.until(b"***");
    let begun = Sum { open: 3, handed: 3, requests: 3, in_flight: 3, ..Sum::default() };
    await_sum(&stats, &begun);
    drop(waiting);
    let expected = Sum { open: 2, in_flight: 2, unanswered: 1, ..begun };
    await_sum(&stats, &expected);
    // The client has unread data, so its end is a reset.
    drop(downloading);
    let answered = [0, 1, 0, 0, 0];
    let expected = Sum { open: 1, in_flight: 1, answered, ..expected };
    await_sum(&stats, &expected);
    // The handler gets an error for the incomplete body, and responds with it.
    drop(uploading);
    let answered = [0, 1, 0, 1, 0];
    await_sum(&stats, &Sum { open: 0, in_flight: 0, answered, ..expected });
}

#[test]
fn a_request_is_not_in_flight_after_its_response_body_fails() {
    let (_open, gate) = gate();
    let (server, stats) = start(&gate, Timeouts::default());
    for path in ["/fails", "/bursts"] {
        let mut client = server.connect();
        client.send(get(path));
        let mut bytes = Vec::new();
        let _ = client.stream.read_to_end(&mut bytes);
    }
    let expected = Sum { handed: 2, requests: 2, ..Sum::default() };
    let answered = [0, 2, 0, 0, 0];
    // The other one is a panic of its task.
    await_sum(&stats, &Sum { answered, bodies_failed: 1, ..expected });
}

#[test]
fn no_request_is_in_flight_after_a_shutdown_that_cuts_connections() {
    let (_open, gate) = gate();
    let timeouts = Timeouts { drain: Duration::from_millis(10), ..Timeouts::default() };
    let (server, stats) = start(&gate, timeouts);
    let mut clients = ["/wait", "/late", "/gate"].map(|path| {
        let mut client = server.connect();
        client.send(get(path));
        client
    });
    let begun = Sum { open: 3, handed: 3, requests: 3, in_flight: 3, ..Sum::default() };
    await_sum(&stats, &begun);
    let reports = server.join();
    assert_eq!(reports.iter().map(|report| report.cancelled).sum::<usize>(), 3);
    // The counters can be read after the server has ended.
    assert_eq!(sum(&stats), Sum { open: 0, in_flight: 0, unanswered: 3, ..begun });
    assert!(stats.loops().iter().all(|one| one.tcp.event_loop.has_ended));
    clients.iter_mut().for_each(|client| assert_ends(&mut client.stream));
}

fn assert_ends(stream: &mut std::net::TcpStream) {
    match stream.read(&mut [0; 1]) {
        Ok(read) => assert_eq!(read, 0),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

#[test]
fn the_stats_of_a_blocked_loop_can_be_read() {
    let (block, is_blocked, release) = block();
    let mut stats = None;
    let options = |server: Server| {
        stats = Some(server.stats());
        server.loops(2).pin(false).stall_threshold(Some(Duration::from_millis(8)))
    };
    let server =
        TestServer::start_with(options, move || Router::new().route("/block", block.handler()));
    let stats = stats.expect("start_with calls the options");
    let mut client = server.connect();
    client.send(get("/block"));
    let name = is_blocked.recv_timeout(PATIENCE).unwrap();
    let one =
        || stats.loops().into_iter().find(|one| one.tcp.event_loop.event_loop == name).unwrap();
    let began = Instant::now();
    while one().tcp.event_loop.stalls == 0 {
        assert!(began.elapsed() < PATIENCE, "no stall was counted");
        std::thread::yield_now();
    }
    let LoopStats { tcp, requests, .. } = one();
    let (event_loop, open, in_flight) = (tcp.event_loop, tcp.open, requests.in_flight);
    assert_eq!((event_loop.is_awake, open, in_flight), (true, 1, 1));
    let text = one().to_string();
    assert!(text.contains("1 connections open, 1 requests in flight"), "{text}");
    release.send(()).unwrap();
    assert_eq!(client.response().status, 200);
}

#[test]
fn counts_continue_when_a_new_loop_replaces_one_that_died() {
    let server = Server::bind("127.0.0.1:0").unwrap().loops(1).pin(false);
    let server = server.on_loop_death(OnLoopDeath::Restart);
    let (stats, phases) = (server.stats(), server.state());
    let app = || {
        let router = Router::new().route("/", on_get(async || "hello"));
        router.route("/stop", on_get(stop_loop))
    };
    let (address, shutdown, thread) = serve(server, app);
    let ask = |path: &str| sockets::blocks::ask(address, path);
    let mut before = None::<LoopStats>;
    for round in 1..=3 {
        assert!(ask("/").ends_with("hello"));
        assert_eq!(ask("/stop"), "");
        assert!(ask("/").ends_with("hello"));
        let answered = [0, 2 * round, 0, 0, 0];
        let expected = Sum { handed: 3 * round as usize, requests: 3 * round, ..Sum::default() };
        await_sum(&stats, &Sum { answered, unanswered: round, ..expected });
        let now = stats.loops().remove(0);
        let then = before.replace(now.clone()).map(|then| then.tcp.event_loop);
        assert!(then.as_ref().is_none_or(|then| then.turns < now.tcp.event_loop.turns));
        assert!(then.as_ref().is_none_or(|then| then.polls < now.tcp.event_loop.polls));
        let timed = now.tcp.event_loop.poll_times.count();
        assert!(then.is_none_or(|then| then.poll_times.count() < timed));
    }
    assert_eq!(phases.phase(), Phase::Accepting);
    drop(shutdown);
    assert_eq!(thread.join().unwrap().unwrap().len(), 1);
}
