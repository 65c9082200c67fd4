//! What a warm server allocates: how often for a request, and how much for a connection that waits.
//!
//! The allocator counts for all threads, so there is only one test, and its clients allocate
//! nothing while the allocations are counted.
#![forbid(unsafe_code)]

// std
use std::alloc::System;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

// crates
use brigade_http::{Request, Router, get};
use brigade_runtime::time::sleep;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, Stats, StatsAlloc};

// ours
mod sockets;
use sockets::{PATIENCE, TestServer};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Requests that are counted together.
const REQUESTS: usize = 1000;
/// Requests sent before them, so that collections have their size.
const WARM_UP: usize = 300;
/// Connections that wait at the same time.
const CONNECTIONS: usize = 200;
/// Pipelined requests in one write.
const DEPTH: usize = 16;

const PLAIN: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
const PATH: &str = "GET /users/17/posts/4 HTTP/1.1\r\nHost: test\r\nAccept: */*\r\n\r\n";
const DELAY: &str = "GET /delay HTTP/1.1\r\nHost: test\r\n\r\n";
const WAIT: &str = "GET /wait HTTP/1.1\r\nHost: test\r\n\r\n";

/// The number of handlers that wait.
static WAITING: AtomicUsize = AtomicUsize::new(0);

#[test]
fn a_warm_server_allocates_nothing_per_request_and_keeps_no_buffer_per_connection() {
    let server = TestServer::start(app);
    for (name, request, depth, most) in [
        ("a plain GET", PLAIN, 1, 0.0),
        ("a GET with two path parameters", PATH, 1, 0.0),
        ("a plain GET, 16 pipelined", PLAIN, DEPTH, 2.0 / DEPTH as f64),
        ("a GET that waits for a timer", DELAY, 1, 0.0),
    ] {
        let each = allocations(&server, request, depth);
        println!("{name}: {each} allocations");
        assert!(each <= most, "{name} costs {each} allocations, {most} at most are allowed");
    }
    let idle = bytes_of(&server, PLAIN, Client::answered);
    let waiting = bytes_of(&server, WAIT, |_| {});
    println!("a connection that is idle: {idle} bytes; with a handler that waits: {waiting} bytes");
    assert!(idle <= 400, "an idle connection holds {idle} bytes of the heap");
    assert!(waiting <= 700, "a waiting handler's connection holds {waiting} bytes of the heap");
}

fn app() -> Router {
    Router::new()
        .route("/", get(async || "Hello, World!"))
        .route("/users/{user}/posts/{post}", get(async || "a post"))
        .route("/delay", get(delay))
        .route("/wait", get(wait))
}

async fn delay(_: Request) -> &'static str {
    sleep(Duration::from_micros(100)).await;
    "waited"
}

async fn wait(_: Request) -> &'static str {
    let _waiting = Waiting::new();
    sleep(PATIENCE).await;
    "waited for nothing"
}

struct Waiting;

impl Waiting {
    fn new() -> Self {
        WAITING.fetch_add(1, SeqCst);
        Self
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, SeqCst);
    }
}

/// Returns how many allocations a request costs, with `depth` of them in one write.
fn allocations(server: &TestServer, request: &str, depth: usize) -> f64 {
    let mut client = Client::connect(server);
    client.send(request);
    let answer_bytes = client.first_answer();
    let batch = request.repeat(depth);
    let mut exchange = |requests: usize| {
        for _ in 0..requests / depth {
            client.send(&batch);
            client.receive(answer_bytes * depth);
        }
    };
    exchange(WARM_UP);
    let region = Region::new(HEAP);
    exchange(REQUESTS);
    let Stats { allocations, reallocations, .. } = region.change();
    (allocations + reallocations) as f64 / (REQUESTS / depth * depth) as f64
}

/// Returns how many bytes of the heap each of many connections holds after `request` was sent on
/// it and `then` was called. Measured in the second round, when the loop's tables have their size
/// and its spare boxes and wakers exist: so this counts what comes and goes with a connection, such
/// as a buffer of its own.
fn bytes_of(server: &TestServer, request: &str, then: fn(&mut Client)) -> isize {
    let mut other = Client::connect(server);
    other.send(PLAIN);
    let answer_bytes = other.first_answer();
    let waits = if request == WAIT { CONNECTIONS } else { 0 };
    let mut clients = Vec::with_capacity(CONNECTIONS);
    let mut each = 0;
    for _ in 0..2 {
        let region = Region::new(HEAP);
        for _ in 0..CONNECTIONS {
            let mut client = Client::connect(server);
            client.send(request);
            then(&mut client);
            clients.push(client);
        }
        other.exchange_until(answer_bytes, || WAITING.load(SeqCst) == waits);
        let Stats { bytes_allocated, bytes_deallocated, .. } = region.change();
        each = (bytes_allocated as isize - bytes_deallocated as isize) / CONNECTIONS as isize;
        clients.clear();
        other.exchange_until(answer_bytes, || WAITING.load(SeqCst) == 0);
    }
    each
}

/// A client that allocates nothing.
struct Client {
    stream: TcpStream,
    buffer: [u8; 8192],
}

impl Client {
    fn connect(server: &TestServer) -> Self {
        let stream = TcpStream::connect(server.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, buffer: [0; 8192] }
    }

    fn send(&mut self, request: &str) {
        self.stream.write_all(request.as_bytes()).unwrap();
    }

    fn receive(&mut self, bytes: usize) {
        self.stream.read_exact(&mut self.buffer[..bytes]).unwrap();
        assert!(self.buffer.starts_with(b"HTTP/1.1 200 OK\r\n"));
    }

    /// Returns the length of the response. Those that follow have the same length.
    fn first_answer(&mut self) -> usize {
        let bytes = self.stream.read(&mut self.buffer).unwrap();
        assert!(self.buffer.starts_with(b"HTTP/1.1 200 OK\r\n"));
        bytes
    }

    fn answered(&mut self) {
        self.first_answer();
    }

    /// Exchanges requests and responses until `done`.
    fn exchange_until(&mut self, answer_bytes: usize, done: impl Fn() -> bool) {
        // At least one, so that the server has handled what earlier clients caused.
        loop {
            self.send(PLAIN);
            self.receive(answer_bytes);
            if done() {
                return;
            }
        }
    }
}
