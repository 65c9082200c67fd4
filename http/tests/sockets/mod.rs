//! A server in a thread, and HTTP clients on plain sockets.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

pub mod blocks;
pub mod clock;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use brigade_http::{LoopReport, Router, Server};
use brigade_runtime::oneshot::{SyncReceiver, SyncSender, sync_channel};

/// How long a test waits for an event before it fails. Nothing takes that long.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A server on a free port of the loopback interface. Dropping it shuts it down.
pub struct TestServer {
    pub address: SocketAddr,
    shutdown: Option<SyncSender<()>>,
    thread: Option<JoinHandle<Vec<LoopReport>>>,
}

impl TestServer {
    /// Starts a server with one loop, and otherwise default options.
    pub fn start(app: impl Fn() -> Router + Clone + Send + 'static) -> Self {
        Self::start_with(|server| server.loops(1).pin(false), app)
    }

    /// Starts a server with the options that `options` sets.
    pub fn start_with(
        options: impl FnOnce(Server) -> Server,
        app: impl Fn() -> Router + Clone + Send + 'static,
    ) -> Self {
        Self::of(options(Server::bind("127.0.0.1:0").unwrap()), app)
    }

    /// Starts `server`.
    pub fn of(server: Server, app: impl Fn() -> Router + Clone + Send + 'static) -> Self {
        let address = server.local_addr().unwrap();
        let (shutdown, signal) = sync_channel::<()>();
        let thread = std::thread::spawn(move || {
            brigade_runtime::run(async move { server.serve(app, once(signal)).await.unwrap() })
        });
        Self { address, shutdown: Some(shutdown), thread: Some(thread) }
    }

    pub fn connect(&self) -> Client {
        connect(self.address)
    }

    /// Sends `bytes` on a new connection. Returns all that arrives until the server closes it.
    pub fn exchange(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut client = self.connect();
        client.send(bytes);
        client.rest()
    }

    /// Begins a graceful shutdown.
    pub fn begin_shutdown(&mut self) {
        drop(self.shutdown.take());
    }

    /// Shuts the server down, waits for its end, and returns its reports.
    pub fn join(mut self) -> Vec<LoopReport> {
        self.begin_shutdown();
        self.thread.take().unwrap().join().unwrap()
    }
}

/// Returns a future that is ready when the sender is dropped.
pub async fn once(signal: SyncReceiver<()>) {
    let _ = signal.await;
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.begin_shutdown();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(std::thread::panicking() || ended.is_ok(), "the server panicked");
        }
    }
}

/// Connects to `address`. Reads and writes that take longer than [`PATIENCE`] fail.
pub fn connect(address: SocketAddr) -> Client {
    of(TcpStream::connect(address).unwrap())
}

/// Returns the client of a connection. Reads and writes that take longer than [`PATIENCE`] fail.
pub fn of(stream: TcpStream) -> Client {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    Client { stream, received: Vec::new() }
}

/// A connection to a server.
pub struct Client {
    pub stream: TcpStream,
    received: Vec<u8>,
}

/// A response.
#[derive(Debug)]
pub struct TestResponse {
    pub status: u16,
    /// The status line and the headers, in lower case, with their line ends.
    pub head: String,
    pub body: Vec<u8>,
}

impl TestResponse {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

impl Client {
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    pub fn finish_sending(&self) {
        self.stream.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Returns all that arrives until the server closes the connection.
    pub fn rest(self) -> String {
        String::from_utf8(self.rest_bytes()).unwrap()
    }

    /// Does the same, for what may not be text.
    pub fn rest_bytes(mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.received);
        self.stream.read_to_end(&mut rest).unwrap();
        rest
    }

    /// Reads all that arrives until the server closes or resets the connection.
    pub fn rest_until_reset(mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.received);
        match self.stream.read_to_end(&mut rest) {
            Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => {
                panic!("neither closed nor reset: {error}")
            }
            _ => rest,
        }
    }

    /// Reads the next response, with a body by `Content-Length` or in chunks.
    pub fn response(&mut self) -> TestResponse {
        let head = self.until(b"\r\n\r\n");
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut response = TestResponse { status, head, body: Vec::new() };
        if response.header("transfer-encoding") == Some("chunked") {
            loop {
                let size = String::from_utf8(self.until(b"\r\n")).unwrap();
                let size = usize::from_str_radix(size.trim(), 16).unwrap();
                let chunk = self.take(size);
                assert_eq!(self.take(2), b"\r\n");
                if size == 0 {
                    return response;
                }
                response.body.extend(chunk);
            }
        }
        let length = response.header("content-length").map_or(0, |length| length.parse().unwrap());
        response.body = self.take(length);
        response
    }

    /// Reads up to and including `end`.
    pub fn until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            let found = self.received.windows(end.len()).position(|window| window == end);
            if let Some(at) = found {
                return self.received.drain(..at + end.len()).collect();
            }
            self.receive();
        }
    }

    /// Reads `count` bytes.
    pub fn take(&mut self, count: usize) -> Vec<u8> {
        while self.received.len() < count {
            self.receive();
        }
        self.received.drain(..count).collect()
    }

    fn receive(&mut self) {
        let mut buffer = [0; 16 * 1024];
        let read = self.stream.read(&mut buffer).unwrap();
        let unread = String::from_utf8_lossy(&self.received);
        assert!(read > 0, "the server closed the connection after {unread:?}");
        self.received.extend(&buffer[..read]);
    }
}

/// Returns a GET request for `path`.
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
}
