//! WebSockets, each of which sends a message as soon as the last one has come back.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;

use super::response;

/// The bytes of a message, beyond the 125 that a short frame has room for.
const MESSAGE: usize = 128;
/// The bytes of the head of an unmasked frame of that size (RFC 6455 section 5.2).
const HEAD: usize = 4;
/// The key that a client masks its frames with; any is valid.
const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];
/// The largest head of a response to the handshake.
const HANDSHAKE_MAX: usize = 4096;
/// How long the handshake and the first message may take.
const OPENING_TIMEOUT: Duration = Duration::from_secs(10);
/// Events received at once.
const EVENTS: usize = 1024;
/// The longest wait for an event.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// Open WebSockets.
pub struct WebSockets {
    epoll: OwnedFd,
    sockets: Vec<Socket>,
}

struct Socket {
    stream: TcpStream,
    /// The bytes of the frame that have come back so far.
    received: usize,
}

impl WebSockets {
    /// Opens WebSockets at `/ws`, and sends one message on each.
    ///
    /// # Errors
    /// If a connection or handshake fails, or a message does not come back in time.
    pub fn open(server: SocketAddr, count: usize) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut sockets = Vec::with_capacity(count);
        for key in 0..count {
            let mut stream = TcpStream::connect(server)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(OPENING_TIMEOUT))?;
            shake_hands(&mut stream, server)?;
            stream.write_all(&sent())?;
            let mut frame = [0; HEAD + MESSAGE];
            stream.read_exact(&mut frame)?;
            check(&frame, 0)?;
            stream.set_nonblocking(true)?;
            epoll::add(&epoll, &stream, EventData::new_u64(key as u64), EventFlags::IN)?;
            sockets.push(Socket { stream, received: 0 });
        }
        Ok(Self { epoll, sockets })
    }

    /// Runs for that long, and returns the number of messages that have come back.
    ///
    /// # Errors
    /// If a message differs from what was sent, or a WebSocket is closed.
    pub fn run(&mut self, time: Duration) -> io::Result<u64> {
        let frame = sent();
        for socket in &mut self.sockets {
            socket.stream.write_all(&frame)?;
        }
        let deadline = Instant::now() + time;
        let (mut messages, mut waiting) = (0, self.sockets.len());
        let mut events = Vec::with_capacity(EVENTS);
        // The messages on their way at the end are waited for, so that the next run finds none.
        while waiting > 0 {
            let again = Instant::now() < deadline;
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&TICK)) {
                Err(Errno::INTR) => continue,
                other => other?,
            };
            for event in &events {
                let socket = &mut self.sockets[event.data.u64() as usize];
                if socket.receive()? {
                    messages += 1;
                    match again {
                        true => socket.stream.write_all(&frame)?,
                        false => waiting -= 1,
                    }
                }
            }
            if Instant::now() > deadline + OPENING_TIMEOUT {
                return Err(io::Error::other(format!("{waiting} messages did not come back")));
            }
        }
        Ok(messages)
    }
}

impl Socket {
    /// Reads what is there. Returns `true` once a whole message has come back.
    fn receive(&mut self) -> io::Result<bool> {
        let mut buffer = [0; HEAD + MESSAGE];
        let size = match self.stream.read(&mut buffer[self.received..]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(size) => size,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        check(&buffer[self.received..self.received + size], self.received)?;
        self.received = (self.received + size) % buffer.len();
        Ok(self.received == 0)
    }
}

/// Opens a WebSocket on a connection (RFC 6455 section 4.1). The server sends nothing on its own
/// before a message arrives, so nothing is read beyond the response.
fn shake_hands(stream: &mut TcpStream, server: SocketAddr) -> io::Result<()> {
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: {server}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut received = Vec::new();
    let mut buffer = [0; 1024];
    while response::head_size(&received).is_none() && received.len() < HANDSHAKE_MAX {
        match stream.read(&mut buffer)? {
            0 => break,
            size => received.extend_from_slice(&buffer[..size]),
        }
    }
    match received.starts_with(b"HTTP/1.1 101") {
        true => Ok(()),
        false => Err(io::Error::other("the server does not open a WebSocket")),
    }
}

/// Returns the byte of the message at that place.
fn byte(at: usize) -> u8 {
    at as u8
}

/// Returns the masked frame of a client: binary, final.
fn sent() -> Vec<u8> {
    let mut frame = vec![0x82, 0x80 | 126, 0, MESSAGE as u8];
    frame.extend_from_slice(&MASK);
    frame.extend((0..MESSAGE).map(|at| byte(at) ^ MASK[at % MASK.len()]));
    frame
}

/// Checks that these bytes are those of the frame of a server, from `from` on.
fn check(received: &[u8], from: usize) -> io::Result<()> {
    let head = [0x82, 126, 0, MESSAGE as u8];
    let expected = head.into_iter().chain((0..MESSAGE).map(byte)).skip(from);
    match received.iter().copied().eq(expected.take(received.len())) {
        true => Ok(()),
        false => Err(io::Error::other("the message that came back differs")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_differs_is_an_error() {
        let mut frame = vec![0x82, 126, 0, 128];
        frame.extend((0..MESSAGE).map(byte));
        assert!(check(&frame, 0).is_ok());
        assert!(check(&frame[10..20], 10).is_ok());
        frame[15] ^= 1;
        assert!(check(&frame[10..20], 10).is_err());
    }
}
