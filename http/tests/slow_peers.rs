//! Peers that are slow but not silent, with a clock that the tests move.
#![forbid(unsafe_code)]

mod sockets;

use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use brigade_http::Timeouts;
use brigade_http::{Body, Request, Response, Router, Server, get as on_get, post};
use brigade_runtime::{EventLoop, spawn, time};
use bytes::Bytes;
use futures_util::stream;
use sockets::clock::{Order, collect_timed, keep_time, let_pass};
use sockets::{Client, PATIENCE, TestServer, get};

const SECOND: Duration = Duration::from_secs(1);

/// One loop with a manual clock, which jumps to the next deadline when the loop has nothing to do.
/// Only the timeouts that `timeouts` sets are short.
fn options(timeouts: fn(&mut Timeouts)) -> impl FnOnce(Server) -> Server {
    let never = Duration::MAX;
    let mut of_server =
        Timeouts { head: never, body_gap: never, keep_alive: never, ..Timeouts::default() };
    timeouts(&mut of_server);
    let event_loop = EventLoop::builder().manual_clock(true);
    move |server| server.loops(1).pin(false).timeouts(of_server).event_loop(event_loop)
}

#[test]
fn a_body_below_the_rate_of_its_server_or_route_times_out() {
    let (waited, has_waited) = mpsc::channel();
    let app = move || {
        let collect = collect_timed(waited.clone());
        Router::new()
            .route("/server", post(collect.clone()))
            .route("/slower", post(collect.clone()).body_rate(10))
            .route("/faster", post(collect.clone()).body_rate(1000))
            .route("/gap", post(collect.clone()).body_rate(1).body_gap(7 * SECOND))
            .route("/any", post(collect).body_rate(0))
    };
    let server =
        TestServer::start_with(options(|timeouts| timeouts.body_bytes_per_second_min = 100), app);
    let ask = |path: &str| {
        let mut client = server.connect();
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 3001\r\n\r\n");
        client.send([head.as_bytes(), &[b'x'; 3000]].concat());
        client
    };
    // 30 s whatever the rate, then the time that 3,000 bytes have earned.
    for (path, seconds) in [("/server", 30 + 30), ("/slower", 30 + 300), ("/faster", 30 + 3)] {
        let mut client = ask(path);
        assert_eq!(client.response().status, 408, "{path}");
        assert_eq!(has_waited.recv_timeout(PATIENCE), Ok(seconds), "{path}");
    }
    assert_eq!(ask("/gap").response().status, 408);
    assert_eq!(has_waited.recv_timeout(PATIENCE), Ok(7));

    let mut patient = ask("/any");
    // Meanwhile the clock would jump to a deadline of the other connection if that had any.
    assert_eq!(ask("/server").response().status, 408);
    assert_eq!(has_waited.recv_timeout(PATIENCE), Ok(60));
    patient.send("x");
    assert_eq!(patient.response().body.len(), 3001);
    assert!(has_waited.recv_timeout(PATIENCE).unwrap() >= 60);
}

/// Reads until the server has produced more, which it does only after it has written.
fn take_some(client: &mut Client, made: &AtomicUsize) {
    let enough = made.load(Ordering::Relaxed) + 1024 * 1024;
    let mut buffer = vec![0; 256 * 1024];
    while made.load(Ordering::Relaxed) < enough {
        assert!(client.stream.read(&mut buffer).unwrap() > 0, "the server closed");
    }
}

#[test]
fn a_client_that_reads_slowly_is_served_and_one_that_stops_is_reset() {
    struct Told(mpsc::Sender<()>);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.send(()).unwrap();
        }
    }
    let (orders, receiver) = mpsc::channel();
    let receiver = Arc::new(Mutex::new(Some(receiver)));
    let (given_up, is_given_up) = mpsc::channel();
    let made = Arc::new(AtomicUsize::new(0));
    let counter = made.clone();
    let app = move || {
        spawn(keep_time(receiver.lock().unwrap().take().unwrap())).detach();
        let (given_up, counter) = (given_up.clone(), counter.clone());
        let endless = move || {
            let (told, counter) = (Told(given_up.clone()), counter.clone());
            let parts = stream::repeat_with(move || {
                let _held = &told;
                counter.fetch_add(16 * 1024, Ordering::Relaxed);
                Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 16 * 1024]))
            });
            std::future::ready(Response::new(Body::stream(parts)))
        };
        Router::new().route("/", on_get(endless))
    };
    let server = TestServer::start_with(options(|timeouts| timeouts.write = 30 * SECOND), app);
    let mut client = server.connect();
    client.send(get("/"));
    for _ in 0..5 {
        take_some(&mut client, &made);
        let_pass(29 * SECOND, &orders);
    }
    take_some(&mut client, &made);
    let_pass(29 * SECOND, &orders);
    assert!(is_given_up.try_recv().is_err(), "it was given up early");
    // From now on the clock jumps: bytes that the system took late extend the time.
    drop(orders);
    assert_eq!(is_given_up.recv_timeout(PATIENCE), Ok(()));
    let reset =
        std::iter::repeat_with(|| client.stream.read(&mut [0; 65536])).find_map(Result::err);
    assert_eq!(reset.unwrap().kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(server.join()[0].cancelled, 0);
}

/// Connects with a small receive buffer.
fn connect_small(server: &TestServer) -> Client {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    socket.connect(&server.address.into()).unwrap();
    sockets::of(socket.into())
}

/// Starts a server with large responses. A handler's body is dropped when it was sent, or given up.
fn start_large(orders: mpsc::Receiver<Order>) -> TestServer {
    let orders = Arc::new(Mutex::new(Some(orders)));
    let app = move || {
        spawn(keep_time(orders.lock().unwrap().take().unwrap())).detach();
        // More than the system queues (`UNSENT_BYTES_MAX` of the runtime).
        let full = async || Bytes::from(vec![b'x'; 4 << 20]);
        let parts = async || {
            let part = || Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 100]));
            Response::new(Body::stream(stream::repeat_with(part)))
        };
        Router::new()
            .route("/full", on_get(full))
            .route("/parts", on_get(parts))
            .route("/full/any", on_get(full).write_rate(0))
            .route("/parts/any", on_get(parts).write_rate(0))
            .route("/full/faster", on_get(full).write_rate(1000))
    };
    TestServer::start_with(options(|_| {}), app)
}

/// Takes `bytes` every `pause` of the loop's time. Returns after how many seconds the connection
/// was reset; 600 if it was not.
fn take_slowly(path: &str, bytes: usize, pause: Duration) -> u64 {
    let (orders, receiver) = mpsc::channel();
    let server = start_large(receiver);
    let mut client = connect_small(&server);
    client.send(get(path));
    let mut passed = Duration::ZERO;
    let mut buffer = vec![0; bytes];
    while passed < 600 * SECOND {
        let is_reset = client.stream.take_error().unwrap().is_some();
        if is_reset || client.stream.read_exact(&mut buffer).is_err() {
            break;
        }
        let_pass(pause, &orders);
        passed += pause;
    }
    passed.as_secs()
}

#[test]
#[cfg(target_os = "linux")]
fn a_client_that_takes_a_response_too_slowly_is_reset() {
    for (path, bytes, pause) in [
        // 102 and 120 B/s.
        ("/full", 2048, 20 * SECOND),
        ("/parts", 2048, 20 * SECOND),
        ("/full", 600, 5 * SECOND),
        ("/full/faster", 2400, 5 * SECOND),
    ] {
        let seconds = take_slowly(path, bytes, pause);
        println!("{path}, {bytes} bytes every {pause:?}: {seconds} s");
        assert!((30..=300).contains(&seconds), "{path}, {bytes} bytes every {pause:?}: {seconds}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_client_that_takes_nothing_is_reset_when_the_write_timeout_has_passed() {
    for path in ["/full", "/parts", "/full/any"] {
        let seconds = take_slowly(path, 0, SECOND);
        println!("{path}: {seconds} s");
        // Bytes that the system takes a moment later are progress.
        assert!((30..=35).contains(&seconds), "{path}: {seconds} s");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_client_that_takes_a_response_fast_enough_for_its_route_is_served() {
    for (path, bytes, pause) in [
        ("/full", 10_000, 20 * SECOND),
        ("/parts", 10_000, 20 * SECOND),
        ("/full/any", 2048, 20 * SECOND),
        ("/parts/any", 2048, 20 * SECOND),
    ] {
        assert_eq!(take_slowly(path, bytes, pause), 600, "{path}, {bytes} bytes every {pause:?}");
    }
}

#[test]
fn an_upgraded_connection_that_is_silent_for_too_long_fails() {
    let (failed, has_failed) = mpsc::channel();
    let app = move || {
        let failed = failed.clone();
        let upgrade = move |_: Request| {
            let failed = failed.clone();
            let protocol = async move |mut io: brigade_http::Upgraded| {
                use futures_util::AsyncReadExt;
                let began = time::now();
                let error = io.read(&mut [0]).await.unwrap_err();
                failed.send((error.kind(), (time::now() - began).as_secs())).unwrap();
            };
            let name = http::HeaderValue::from_static("silence");
            std::future::ready(Response::upgrade(name, protocol))
        };
        Router::new().route("/", on_get(upgrade))
    };
    let server = TestServer::start_with(options(|timeouts| timeouts.upgraded_idle = SECOND), app);
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: silence\r\n\r\n");
    assert_eq!(client.response().status, 101);
    let outcome = has_failed.recv_timeout(PATIENCE).unwrap();
    assert_eq!(outcome, (std::io::ErrorKind::TimedOut, 1));
}
