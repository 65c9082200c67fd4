//! A client that writes frames of HTTP/2 as it likes, on a plain socket.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::{self, JoinHandle};

use crate::sockets::PATIENCE;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 0x1;
pub const ACK: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;

/// A frame that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// Returns the code of a `RST_STREAM` or a `GOAWAY`.
    pub fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    /// Returns `true` if the frame is the head of a 200.
    pub fn is_ok(&self) -> bool {
        // `:status: 200` is in the static table.
        self.kind == HEADERS && self.payload[0] == 0x88
    }

    /// Returns `true` if the frame is the head of a response with this status. The second one of a
    /// connection is only known not to be a 200.
    pub fn has_status(&self, status: &str) -> bool {
        // Literals with the name of index 8, in Huffman's code.
        let literal: &[u8] = match status {
            "100" => &[0x48, 0x82, 0x08, 0x01],
            "401" => &[0x48, 0x82, 0x68, 0x01],
            "408" => &[0x48, 0x83, 0x68, 0x0f, 0x7f],
            "413" => &[0x48, 0x83, 0x68, 0x2c, 0xff],
            "431" => &[0x48, 0x83, 0x69, 0x90, 0xff],
            _ => panic!("{status} has to be added"),
        };
        let is_of_table = self.payload[0] >= 0x80 && !self.is_ok();
        self.kind == HEADERS && (is_of_table || self.payload.starts_with(literal))
    }
}

/// Returns the bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Returns a header without indexing and without Huffman's code. The name is shorter than 127
/// bytes.
pub fn header(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0, name.len() as u8];
    bytes.extend(name.as_bytes());
    // RFC 7541 section 5.1.
    match value.len() {
        length @ 0..127 => bytes.push(length as u8),
        length => {
            bytes.push(127);
            let mut left = length - 127;
            while left >= 128 {
                bytes.push(left as u8 | 128);
                left >>= 7;
            }
            bytes.push(left as u8);
        }
    }
    bytes.extend(value.as_bytes());
    bytes
}

/// Returns the header block of a request.
pub fn block(method: &str, path: &str) -> Vec<u8> {
    let pseudo = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "a")];
    pseudo.map(|(name, value)| header(name, value)).concat()
}

/// Returns a request without a body.
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block("GET", path))
}

/// Returns the head of a request whose body follows.
pub fn post(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &block("POST", path))
}

/// Returns a `SETTINGS` frame with one setting.
pub fn setting(id: u16, value: u32) -> Vec<u8> {
    let mut payload = id.to_be_bytes().to_vec();
    payload.extend(value.to_be_bytes());
    frame(SETTINGS, 0, 0, &payload)
}

/// A connection.
pub struct Raw {
    pub stream: TcpStream,
}

impl Raw {
    /// Connects, and sends the preface and these settings.
    pub fn connect(address: SocketAddr, settings: &[u8]) -> Self {
        let mut raw = Self::silent(address);
        raw.send(&[PREFACE, settings].concat());
        raw
    }

    /// Connects with the default settings.
    pub fn plain(address: SocketAddr) -> Self {
        Self::connect(address, &frame(SETTINGS, 0, 0, &[]))
    }

    /// Connects, and sends nothing.
    pub fn silent(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Reads the next frame. `None` at the end of the connection.
    pub fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        if let Err(error) = self.stream.read_exact(&mut head) {
            assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "nothing is sent");
            return None;
        }
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.stream.read_exact(&mut payload).ok()?;
        Some(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload })
    }

    /// Reads up to a frame of this kind. Panics if there is none.
    pub fn until(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.next().expect("the connection has ended");
            if frame.kind == kind {
                return frame;
            }
        }
    }

    /// Reads up to the first response. Returns whether it is a 200, or else the code with which its
    /// stream or the connection ends, or 0 after another response.
    pub fn outcome(&mut self) -> Result<(), u32> {
        loop {
            let frame = self.next().expect("a response, or another end");
            match frame.kind {
                HEADERS if frame.is_ok() => return Ok(()),
                HEADERS => return Err(0),
                RST_STREAM | GOAWAY => return Err(frame.code()),
                _ => {}
            }
        }
    }

    /// Writes `piece(n)`, for n from 0, in one thread while another reads. Returns what the reader
    /// has got when the connection has ended.
    pub fn flood(mut self, mut piece: impl FnMut(u32) -> Vec<u8>) -> Vec<Frame> {
        let reader = self.read_all();
        for n in 0.. {
            if self.stream.write_all(&piece(n)).is_err() {
                break;
            }
        }
        reader.join().unwrap()
    }

    /// Reads in another thread until the connection has ended. Returns all but the content of data.
    pub fn read_all(&self) -> JoinHandle<Vec<Frame>> {
        let mut reader = Self { stream: self.stream.try_clone().unwrap() };
        thread::spawn(move || {
            let mut frames = Vec::new();
            while let Some(mut frame) = reader.next() {
                if frame.kind == DATA {
                    frame.payload.clear();
                }
                // An endless flood is answered by endless acknowledgements.
                if frames.len() < 10_000 || frame.kind == GOAWAY {
                    frames.push(frame);
                }
            }
            frames
        })
    }
}

/// Returns the code of the last `GOAWAY`.
pub fn go_away(frames: &[Frame]) -> Option<u32> {
    frames.iter().rev().find(|frame| frame.kind == GOAWAY).map(Frame::code)
}

/// Sends a request on a new connection, and asserts that the response is a 200.
pub fn assert_served(address: SocketAddr) {
    let mut client = Raw::plain(address);
    client.send(&get(1, "/"));
    assert!(client.until(HEADERS).is_ok());
}
