//! A server that speaks HTTP/2 over TLS frame by frame, on the loop of the test.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use brigade_http::ClientBuilder;
use brigade_runtime::net::{TcpListener, TcpStream};
use brigade_runtime::time::timeout;
use brigade_runtime::tls::{TlsAcceptor, TlsStream};

use crate::authority::Authority;
use crate::http2_frames::{
    ACK, END_HEADERS, END_STREAM, Frame, HEADERS, PING, PREFACE, SETTINGS, WINDOW_UPDATE, frame,
    header,
};
use crate::sockets::PATIENCE;

/// Listens, and accepts connections of HTTP/2.
pub struct Http2Server {
    authority: Authority,
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Http2Server {
    pub fn start() -> Self {
        Self::offering(&["h2"])
    }

    /// Starts a server with these protocols for ALPN.
    pub fn offering(protocols: &[&str]) -> Self {
        let authority = Authority::new();
        let protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec());
        let config = authority.config().with_alpn_protocols(protocols);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self { authority, listener, acceptor: TlsAcceptor::new(config) }
    }

    pub fn client(&self) -> ClientBuilder {
        self.authority.client()
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.listener.local_addr().unwrap().port())
    }

    /// Accepts a connection, sends these settings, and receives the preface.
    pub async fn accept_with(&self, settings: &[u8]) -> Peer {
        let stream = self.accept_tls().await;
        stream.write_all(settings).await.unwrap();
        let mut preface = [0; PREFACE.len()];
        stream.read_exact(&mut preface).await.unwrap();
        assert_eq!(preface, PREFACE);
        Peer { stream }
    }

    /// Accepts a connection, and sends the default settings.
    pub async fn accept(&self) -> Peer {
        self.accept_with(&frame(SETTINGS, 0, 0, &[])).await
    }

    pub async fn accept_socket(&self) -> TcpStream {
        patiently(self.listener.accept()).await.unwrap().0
    }

    pub async fn accept_tls(&self) -> TlsStream {
        let stream = self.accept_socket().await;
        self.acceptor.accept(stream).await.unwrap()
    }
}

/// Awaits what must happen.
pub async fn patiently<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("nothing happens")
}

/// A connection of a client.
pub struct Peer {
    pub stream: TlsStream,
}

impl Peer {
    pub async fn send(&self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Sends while the client may have gone.
    pub async fn try_send(&self, bytes: &[u8]) -> bool {
        patiently(self.stream.write_all(bytes)).await.is_ok()
    }

    /// Reads the next frame. `None` at the end of the connection.
    pub async fn next(&self) -> Option<Frame> {
        let mut head = [0; 9];
        patiently(self.stream.read_exact(&mut head)).await.ok()?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        patiently(self.stream.read_exact(&mut payload)).await.ok()?;
        Some(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload })
    }

    /// Reads the next frame of a stream, or the end of the connection. Answers pings.
    pub async fn next_of_stream(&self) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if frame.kind == PING && frame.flags & ACK == 0 {
                self.send(&crate::http2_frames::frame(PING, ACK, 0, &frame.payload)).await;
            }
            if frame.stream != 0 && frame.kind != WINDOW_UPDATE {
                return Some(frame);
            }
        }
    }

    /// Reads up to a frame of this kind.
    pub async fn until(&self, kind: u8) -> Frame {
        loop {
            let frame = self.next().await.expect("the connection has ended");
            if frame.kind == kind {
                return frame;
            }
        }
    }

    /// Reads up to the next request, and returns its stream.
    pub async fn request(&self) -> u32 {
        self.until(HEADERS).await.stream
    }

    /// Reads to the end of the connection.
    pub async fn rest(&self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        frames
    }
}

/// Returns the header block of a response. Only 200 and what is in the static table need no name.
pub fn block(status: u16, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut block = header(":status", &status.to_string());
    block.extend(headers.iter().flat_map(|(name, value)| header(name, value)));
    block
}

/// Returns a response without a body.
pub fn response(stream: u32, status: u16) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(status, &[]))
}

/// Returns the head of a response whose body follows, or of an informational one.
pub fn head(stream: u32, status: u16, headers: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &block(status, headers))
}
