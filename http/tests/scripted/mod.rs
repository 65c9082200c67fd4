//! Servers that follow a script, on the loop of the client under test.
#![allow(dead_code, reason = "each test file uses a part of it")]

use brigade_runtime::net::{TcpListener, TcpStream};
use brigade_runtime::{EventLoop, JoinHandle, spawn};

/// Runs `main` on a loop with a manual clock, which jumps to the next deadline when no task is
/// ready.
pub(crate) fn on_loop<F: Future<Output: 'static> + 'static>(main: F) -> F::Output {
    EventLoop::builder().manual_clock(true).build().unwrap().run_until_complete(main)
}

/// A listener on a free port of the loopback interface.
pub(crate) struct Host {
    listener: TcpListener,
}

impl Host {
    pub(crate) fn new() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.listener.local_addr().unwrap())
    }

    pub(crate) async fn accept(&self) -> Peer {
        let (stream, _) = self.listener.accept().await.unwrap();
        Peer { stream, received: Vec::new() }
    }
}

/// Spawns `play` with a new host. Returns the URL of the host's root, and the task.
pub(crate) fn script<F>(play: impl FnOnce(Host) -> F) -> (String, JoinHandle<F::Output>)
where
    F: Future<Output: 'static> + 'static,
{
    let host = Host::new();
    (host.url("/"), spawn(play(host)))
}

/// Spawns a host that accepts one connection, reads the head of a request, sends `response`, and
/// returns the connection. Returns the URL of the host's root, and the task.
pub(crate) fn answering(response: impl AsRef<[u8]>) -> (String, JoinHandle<Peer>) {
    let response = response.as_ref().to_vec();
    script(async move |host| {
        let mut peer = host.accept().await;
        peer.head().await;
        peer.send(response).await;
        peer
    })
}

/// The server's side of a connection.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    received: Vec<u8>,
}

impl Peer {
    /// Reads the head of the next request.
    pub(crate) async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }

    /// Reads up to and including `end`.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        loop {
            let found = self.received.windows(end.len()).position(|part| part == end.as_bytes());
            if let Some(at) = found {
                let taken = self.received.drain(..at + end.len()).collect();
                return String::from_utf8(taken).unwrap();
            }
            assert!(
                self.receive().await,
                "the client closed the connection after {:?}",
                self.received
            );
        }
    }

    pub(crate) async fn send(&self, text: impl AsRef<[u8]>) {
        self.stream.write_all(text.as_ref()).await.unwrap();
    }

    /// Returns all that arrives until the client closes or resets the connection.
    pub(crate) async fn rest(mut self) -> Vec<u8> {
        while self.receive().await {}
        self.received
    }

    /// Returns the bytes that have arrived and were not read. Does not wait.
    pub(crate) fn unread(&mut self) -> &[u8] {
        let mut buffer = [0; 64 * 1024];
        while let Ok(read @ 1..) = self.stream.try_read(&mut buffer) {
            self.received.extend(&buffer[..read]);
        }
        &self.received
    }

    /// Returns `true` if bytes arrived, `false` at the end of the connection.
    async fn receive(&mut self) -> bool {
        let mut buffer = [0; 64 * 1024];
        let read = self.stream.read(&mut buffer).await.unwrap_or(0);
        self.received.extend(&buffer[..read]);
        read > 0
    }
}

/// Returns a 200 response with this body.
pub(crate) fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}
