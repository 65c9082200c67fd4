//! Servers that go by a script, on the loop of the client that is tested.
#![allow(dead_code, reason = "each test file uses a part of it")]

use brigade_runtime::net::{TcpListener, TcpStream};
use brigade_runtime::{EventLoop, JoinHandle, spawn};

/// Runs `main` on a loop whose clock jumps to the next deadline when nothing is ready.
pub(crate) fn on_loop<F: Future<Output: 'static> + 'static>(main: F) -> F::Output {
    EventLoop::builder().manual_clock(true).build().unwrap().run_until_complete(main)
}

/// An address with a script behind it.
pub(crate) struct Host {
    listener: TcpListener,
}

impl Host {
    pub(crate) fn new() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap() }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.listener.local_addr().unwrap())
    }

    pub(crate) async fn accept(&self) -> Peer {
        let (stream, _) = self.listener.accept().await.unwrap();
        Peer { stream, received: Vec::new() }
    }
}

/// A host that plays `script`, with the URL of its root.
pub(crate) fn script<F>(play: impl FnOnce(Host) -> F) -> (String, JoinHandle<F::Output>)
where
    F: Future<Output: 'static> + 'static,
{
    let host = Host::new();
    (host.url("/"), spawn(play(host)))
}

/// A host that accepts one connection, reads the head of a request, sends `answer`, and returns
/// the connection. With an answer that says it the connection ends then.
pub(crate) fn answering(answer: impl AsRef<[u8]>) -> (String, JoinHandle<Peer>) {
    let answer = answer.as_ref().to_vec();
    script(async move |host| {
        let mut peer = host.accept().await;
        peer.head().await;
        peer.send(answer).await;
        peer
    })
}

/// The server's end of a connection.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    received: Vec<u8>,
}

impl Peer {
    /// The head of the next request.
    pub(crate) async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }

    /// What comes up to `end`, and with it.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        loop {
            let found = self.received.windows(end.len()).position(|part| part == end.as_bytes());
            if let Some(at) = found {
                let taken = self.received.drain(..at + end.len()).collect();
                return String::from_utf8(taken).unwrap();
            }
            assert!(self.receive().await, "the client closed after {:?}", self.received);
        }
    }

    pub(crate) async fn send(&self, text: impl AsRef<[u8]>) {
        self.stream.write_all(text.as_ref()).await.unwrap();
    }

    /// What comes until the client closes its connection, in an orderly way or not.
    pub(crate) async fn rest(mut self) -> Vec<u8> {
        while self.receive().await {}
        self.received
    }

    /// What has come and was not read; nothing is waited for.
    pub(crate) fn unread(&mut self) -> &[u8] {
        let mut buffer = [0; 64 * 1024];
        while let Ok(read @ 1..) = self.stream.try_read(&mut buffer) {
            self.received.extend(&buffer[..read]);
        }
        &self.received
    }

    async fn receive(&mut self) -> bool {
        let mut buffer = [0; 64 * 1024];
        let read = self.stream.read(&mut buffer).await.unwrap_or(0);
        self.received.extend(&buffer[..read]);
        read > 0
    }
}

/// An answer of which the connection is kept.
pub(crate) fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}
