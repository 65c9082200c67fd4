//! A WebSocket client made by hand, which can send any bytes.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use crate::sockets::{Client, TestServer};

/// The key of RFC 6455 section 1.3.
pub const HANDSHAKE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

pub const TEXT: u8 = 0x81;
pub const BINARY: u8 = 0x82;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;
pub const PONG: u8 = 0x8A;

/// The first byte of a frame, and its payload.
pub type Frame = (u8, Vec<u8>);

/// A client whose handshake is done.
pub struct Peer {
    pub client: Client,
}

/// Returns a request for a WebSocket.
pub fn handshake(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n{HANDSHAKE}\r\n")
}

/// Encodes a frame as a client does.
pub fn frame(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut frame = header(first, payload.len() as u64);
    frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// Encodes the header of a frame.
pub fn header(first: u8, length: u64) -> Vec<u8> {
    let mut header = vec![first];
    match length {
        0..=125 => header.push(0x80 | length as u8),
        126..=0xFFFF => {
            header.push(0x80 | 126);
            header.extend((length as u16).to_be_bytes());
        }
        _ => {
            header.push(0x80 | 127);
            header.extend(length.to_be_bytes());
        }
    }
    header.extend(KEY);
    header
}

/// Returns the payload of a close frame.
pub fn close(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes()[..], reason.as_bytes()].concat()
}

impl Peer {
    pub fn connect(server: &TestServer, path: &str) -> Self {
        let mut client = server.connect();
        client.send(handshake(path));
        let response = client.response();
        assert_eq!(response.status, 101, "{}", response.head);
        Self { client }
    }

    pub fn send(&mut self, first: u8, payload: impl AsRef<[u8]>) {
        self.client.send(frame(first, payload));
    }

    /// Returns the next frame.
    pub fn receive(&mut self) -> Frame {
        let start = self.client.take(2);
        let length = match start[1] {
            126 => u16::from_be_bytes(self.client.take(2).try_into().unwrap()).into(),
            127 => u64::from_be_bytes(self.client.take(8).try_into().unwrap()),
            length => u64::from(length),
        };
        (start[0], self.client.take(length as usize))
    }

    /// Returns the code of the close frame that comes next.
    #[track_caller]
    pub fn receive_close(&mut self) -> u16 {
        let (first, payload) = self.receive();
        assert_eq!(first, CLOSE, "{payload:?}");
        payload.first_chunk().map_or(0, |code| u16::from_be_bytes(*code))
    }

    /// Closes the WebSocket, and waits until the server closes the connection.
    pub fn end(mut self) {
        self.send(CLOSE, close(1000, ""));
        assert_eq!(self.receive_close(), 1000);
        assert_eq!(self.client.rest(), "");
    }
}
