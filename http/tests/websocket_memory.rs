//! What an idle WebSocket holds, and what a message allocates.
//!
//! The allocator counts for all threads, so there is only one test, and its clients allocate
//! nothing while the allocations are counted.
#![forbid(unsafe_code)]
#![cfg(feature = "websocket")]

// std
use std::alloc::System;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

// crates
use brigade_http::{Response, Router, Server, WebSocket, WebSocketUpgrade, get};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, Stats, StatsAlloc};

// ours
mod sockets;
mod websocket_peer;
use sockets::{PATIENCE, TestServer};
use websocket_peer::{BINARY, TEXT, frame, handshake};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// WebSockets that are idle at the same time.
const CONNECTIONS: usize = 200;
/// Messages that are counted together.
const MESSAGES: usize = 1000;
/// What an idle WebSocket may hold of the heap.
const IDLE_BYTES_MAX: isize = 1500;

/// How many handlers run.
static OPEN: AtomicUsize = AtomicUsize::new(0);

#[test]
fn an_idle_websocket_holds_no_buffer_and_a_message_allocates_once() {
    // A report of a loop that had no CPU for a while would allocate.
    let options = |server: Server| server.loops(1).pin(false).stall_threshold(None);
    let server = TestServer::start_with(options, || Router::new().route("/", get(accept)));
    let each = allocations(&server);
    println!("{each} allocations for each message");
    assert!(each <= 1.0, "an echoed message costs {each} allocations");
    let idle = idle_bytes(&server);
    println!("{idle} bytes for each idle WebSocket");
    assert!(idle <= IDLE_BYTES_MAX, "an idle WebSocket holds {idle} bytes of the heap");
}

async fn accept(ws: WebSocketUpgrade) -> Response {
    ws.on_upgrade(async |mut socket: WebSocket| {
        OPEN.fetch_add(1, SeqCst);
        while let Some(Ok(message)) = socket.recv().await {
            if socket.send(message).await.is_err() {
                break;
            }
        }
        OPEN.fetch_sub(1, SeqCst);
    })
}

/// Returns how many allocations the echo of a message costs.
fn allocations(server: &TestServer) -> f64 {
    let mut client = Client::connect(server);
    let message = frame(TEXT, [b'x'; 100]);
    client.exchange(&message, 102);
    let region = Region::new(HEAP);
    for _ in 0..MESSAGES {
        client.exchange(&message, 102);
    }
    let Stats { allocations, reallocations, .. } = region.change();
    (allocations + reallocations) as f64 / MESSAGES as f64
}

/// Returns how many bytes of the heap each of many WebSockets holds after it has echoed messages.
/// Measured in the second round, when the loop's tables and buffers have their size.
fn idle_bytes(server: &TestServer) -> isize {
    let messages =
        [frame(TEXT, "small"), frame(BINARY, vec![1; 100_000]), frame(TEXT, "last")].concat();
    let small = frame(TEXT, "small");
    let mut other = Client::connect(server);
    while OPEN.load(SeqCst) > 1 {
        other.exchange(&small, 7);
    }
    let mut clients = Vec::with_capacity(CONNECTIONS);
    let mut each = 0;
    for _ in 0..2 {
        let region = Region::new(HEAP);
        for _ in 0..CONNECTIONS {
            let mut client = Client::connect(server);
            client.exchange(&messages, 7 + 100_010 + 6);
            clients.push(client);
        }
        // The server has handled what was caused before.
        other.exchange(&small, 7);
        assert_eq!(OPEN.load(SeqCst), CONNECTIONS + 1);
        let Stats { bytes_allocated, bytes_deallocated, .. } = region.change();
        each = (bytes_allocated as isize - bytes_deallocated as isize) / CONNECTIONS as isize;
        clients.clear();
        while OPEN.load(SeqCst) > 1 {
            other.exchange(&small, 7);
        }
        // The last of their tasks has ended, too.
        other.exchange(&small, 7);
    }
    each
}

/// A client that allocates nothing after its handshake.
struct Client {
    stream: TcpStream,
    buffer: [u8; 1024],
}

impl Client {
    fn connect(server: &TestServer) -> Self {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(handshake("/").as_bytes()).unwrap();
        let mut buffer = [0; 1024];
        let read = stream.read(&mut buffer).unwrap();
        assert!(buffer[..read].starts_with(b"HTTP/1.1 101") && buffer[..read].ends_with(b"\n\r\n"));
        Self { stream, buffer }
    }

    /// Sends `messages`, and receives `bytes` bytes.
    fn exchange(&mut self, messages: &[u8], mut bytes: usize) {
        self.stream.write_all(messages).unwrap();
        while bytes > 0 {
            let part = bytes.min(self.buffer.len());
            self.stream.read_exact(&mut self.buffer[..part]).unwrap();
            bytes -= part;
        }
    }
}
