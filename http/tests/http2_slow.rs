//! Clients of HTTP/2 that are slow but not silent, with a clock that the tests move.
#![forbid(unsafe_code)]
#![cfg(feature = "http2")]

mod http2_frames;
mod sockets;

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use brigade_http::{
    Body, BoxError, Bytes, Http2Options, Request, Router, Server, Timeouts, get, post,
};
use brigade_runtime::{EventLoop, spawn};
use futures_util::{FutureExt, StreamExt, stream};

use http2_frames::{
    DATA, END_HEADERS, HEADERS, PING, PREFACE, RST_STREAM, Raw, SETTINGS, WINDOW_UPDATE, block,
    frame, post as post_head, setting,
};
use sockets::clock::{Order, collect_timed, keep_time, let_pass};
use sockets::{PATIENCE, TestServer};

const SECOND: Duration = Duration::from_secs(1);
/// A timeout without a deadline, to which the clock could jump.
const NEVER: Duration = Duration::MAX;

/// Longer than any test lets pass.
const PING_INTERVAL: Duration = Duration::from_secs(1_000_000);

const CANCEL: u32 = 0x8;
const INITIAL_WINDOW_SIZE: u16 = 4;
/// What a client takes at once: more than a piece of a response.
const WINDOW_BYTES: u32 = 20_000;

/// Starts a server with a manual clock. Only the timeouts that `timeouts` sets are short.
fn start(
    timeouts: fn(&mut Timeouts),
    app: impl Fn() -> Router + Clone + Send + 'static,
) -> TestServer {
    let mut of_server = Timeouts {
        head: NEVER,
        body_gap: NEVER,
        body_bytes_per_second_min: 0,
        write: NEVER,
        write_bytes_per_second_min: 0,
        keep_alive: NEVER,
        ..Timeouts::default()
    };
    timeouts(&mut of_server);
    let http2 = Http2Options {
        prior_knowledge: true,
        ping_interval: PING_INTERVAL,
        ..Http2Options::default()
    };
    let event_loop = EventLoop::builder().manual_clock(true);
    let options = |server: Server| {
        server.loops(1).pin(false).http2(http2).timeouts(of_server).event_loop(event_loop)
    };
    TestServer::start_with(options, app)
}

/// Starts a server whose clock stands still, except when time has to pass.
fn start_timed(
    timeouts: fn(&mut Timeouts),
    app: impl Fn() -> Router + Clone + Send + 'static,
) -> (TestServer, mpsc::Sender<Order>) {
    let (orders, receiver) = mpsc::channel();
    let receiver = Arc::new(Mutex::new(Some(receiver)));
    let app = move || {
        spawn(keep_time(receiver.lock().unwrap().take().unwrap())).detach();
        app()
    };
    (start(timeouts, app), orders)
}

fn endless() -> Body {
    let parts = stream::repeat(Bytes::from_static(&[b'x'; 16 * 1024]));
    Body::stream(parts.map(Ok::<_, BoxError>))
}

/// Waits until the server has looked at what was sent.
fn settle(raw: &mut Raw) {
    raw.send(&frame(PING, 0, 0, &[0; 8]));
    raw.until(PING);
}

/// Requests a body without an end, with a window of [`WINDOW_BYTES`].
fn take(server: &TestServer, path: &str) -> Raw {
    let mut raw = Raw::connect(server.address, &setting(INITIAL_WINDOW_SIZE, WINDOW_BYTES));
    raw.send(&http2_frames::get(1, path));
    assert!(take_window(&mut raw));
    raw
}

/// Takes as much of a response as fits into the window. Returns `false` if the server has given it
/// up.
fn take_window(raw: &mut Raw) -> bool {
    let mut left = WINDOW_BYTES as usize;
    while left > 0 {
        let frame = raw.next().expect("the connection goes on");
        match frame.kind {
            DATA => left -= frame.payload.len(),
            RST_STREAM => {
                assert_eq!((frame.stream, frame.code()), (1, CANCEL));
                return false;
            }
            _ => {}
        }
    }
    true
}

fn open_window(raw: &mut Raw) {
    let open = |stream| frame(WINDOW_UPDATE, 0, stream, &WINDOW_BYTES.to_be_bytes());
    raw.send(&[open(0), open(1)].concat());
}

#[test]
fn a_body_below_the_rate_of_its_server_or_route_gets_a_408() {
    let (waited, has_waited) = mpsc::channel();
    let app = move || {
        let collect = collect_timed(waited.clone());
        Router::new()
            .route("/server", post(collect.clone()))
            .route("/slower", post(collect.clone()).body_rate(10))
            .route("/faster", post(collect).body_rate(1000))
    };
    let server = start(|timeouts| timeouts.body_bytes_per_second_min = 100, app);
    // 30 s whatever the rate, then the time that 3,000 bytes have earned.
    for (path, seconds) in [("/server", 30 + 30), ("/slower", 30 + 300), ("/faster", 30 + 3)] {
        let mut raw = Raw::silent(server.address);
        let head = frame(HEADERS, END_HEADERS, 1, &block("POST", path));
        let body = frame(DATA, 0, 1, &[b'x'; 3000]);
        // At once, since the clock jumps when the loop has nothing to do.
        raw.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[]), &head, &body].concat());
        assert!(raw.until(HEADERS).has_status("408"), "{path}");
        assert_eq!(has_waited.recv_timeout(PATIENCE), Ok(seconds), "{path}");
    }
}

#[test]
fn a_body_that_is_passed_to_another_task_keeps_its_timeout() {
    let app = || {
        let pass_on = async |mut request: Request| {
            // The first wait is one of this task.
            assert!(request.body_mut().chunk().now_or_never().is_none());
            spawn(async move { request.body_mut().collect(10).await }).await.unwrap()
        };
        Router::new().route("/", post(pass_on))
    };
    let server = start(|timeouts| timeouts.body_gap = 10 * SECOND, app);
    let mut raw = Raw::silent(server.address);
    raw.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[]), &post_head(1, "/")].concat());
    assert!(raw.until(HEADERS).has_status("408"));
}

#[test]
fn the_time_that_a_body_is_waited_for_adds_up() {
    let collect = async |mut request: Request| request.body_mut().collect(10_000).await;
    let app = move || Router::new().route("/", post(collect));
    let (server, orders) = start_timed(|timeouts| timeouts.body_bytes_per_second_min = 100, app);
    let mut raw = Raw::plain(server.address);
    raw.send(&post_head(1, "/"));
    for _ in 0..2 {
        raw.send(&frame(DATA, 0, 1, b"x"));
        settle(&mut raw);
        let_pass(20 * SECOND, &orders);
    }
    assert!(raw.until(HEADERS).has_status("408"));
}

#[test]
fn a_client_that_makes_room_in_time_is_served_and_one_that_stops_is_given_up() {
    let app = || Router::new().route("/", get(async || endless()));
    let (server, orders) = start_timed(|timeouts| timeouts.write = 30 * SECOND, app);
    let mut raw = take(&server, "/");
    for _ in 0..4 {
        let_pass(20 * SECOND, &orders);
        open_window(&mut raw);
        assert!(take_window(&mut raw));
    }
    let_pass(31 * SECOND, &orders);
    assert!(!take_window(&mut raw));
}

#[test]
fn a_client_that_makes_room_below_the_rate_of_the_route_is_given_up() {
    let app = || {
        let route = |rate| get(async || endless()).write_rate(rate);
        Router::new().route("/500", route(500)).route("/1000", route(1000))
    };
    let (server, orders) = start_timed(|_| {}, app);
    // 800 bytes a second.
    for (path, is_served) in [("/500", true), ("/1000", false)] {
        let mut raw = take(&server, path);
        let mut rounds = (0..10).map(|_| {
            let_pass(25 * SECOND, &orders);
            open_window(&mut raw);
            take_window(&mut raw)
        });
        assert_eq!(rounds.all(|is_taken| is_taken), is_served, "{path}");
    }
}
