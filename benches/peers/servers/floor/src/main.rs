//! The limit on one core: an epoll loop that reads, finds the blank lines, and writes canned bytes.
//!
//! A turn of the loop costs one `epoll_wait`, and each ready connection one `read` and one `write`,
//! however many requests were read. Nothing is parsed: a request ends at a blank line, and a
//! connection whose read ends in `close` and a blank line is closed after the response.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, SystemTime};

use memchr::memmem;
use peer_common::{HELLO, Options, TEXT};
use rustix::event::epoll::{self, EventData, EventFlags};

/// Events received in one turn.
const EVENTS: usize = 1024;
/// Bytes of one read.
const READ_SIZE: usize = 64 * 1024;
/// Responses of one write; a read with more requests costs more writes.
const RESPONSES_PER_WRITE: usize = 256;

fn main() -> io::Result<()> {
    let options = Options::from_args();
    if options.loops != 1 {
        return Err(io::Error::new(ErrorKind::InvalidInput, "the floor has one loop: --loops 1"));
    }
    let mut floor = Floor::new(peer_common::listen(options.listen)?)?;
    println!("listening on http://{} (epoll)", options.listen);
    let mut events = Vec::with_capacity(EVENTS);
    loop {
        floor.turn(&mut events)?;
    }
}

struct Floor {
    epoll: OwnedFd,
    listener: TcpListener,
    /// By descriptor.
    connections: Vec<Option<Connection>>,
    buffer: Vec<u8>,
    responses: Responses,
}

struct Connection {
    stream: TcpStream,
    /// The start of a head that is incomplete.
    begun: Vec<u8>,
}

impl Floor {
    fn new(listener: TcpListener) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, token(&listener), EventFlags::IN)?;
        let responses = Responses::new(SystemTime::now());
        let buffer = vec![0; READ_SIZE];
        Ok(Self { epoll, listener, connections: Vec::new(), buffer, responses })
    }

    fn turn(&mut self, events: &mut Vec<epoll::Event>) -> io::Result<()> {
        events.clear();
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(events), None) {
            Err(rustix::io::Errno::INTR) => return Ok(()),
            other => other?,
        };
        self.responses.refresh(SystemTime::now());
        for event in events.iter() {
            let descriptor = event.data.u64() as usize;
            if descriptor == self.listener.as_raw_fd() as usize {
                self.accept()?;
            } else if !self.serve(descriptor).unwrap_or(false) {
                self.connections[descriptor] = None;
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            epoll::add(&self.epoll, &stream, token(&stream), EventFlags::IN)?;
            let descriptor = stream.as_raw_fd() as usize;
            if self.connections.len() <= descriptor {
                self.connections.resize_with(descriptor + 1, || None);
            }
            self.connections[descriptor] = Some(Connection { stream, begun: Vec::new() });
        }
    }

    /// Reads once and responds. Returns `true` if the connection stays open.
    ///
    /// A client that does not accept its responses, so that a write is short, is disconnected.
    fn serve(&mut self, descriptor: usize) -> io::Result<bool> {
        let Some(connection) = &mut self.connections[descriptor] else { return Ok(true) };
        let size = match connection.stream.read(&mut self.buffer) {
            Ok(size) => size,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(error),
        };
        let received = &self.buffer[..size];
        let requests = if connection.begun.is_empty() && received.ends_with(b"\r\n\r\n") {
            blank_lines(received)
        } else {
            connection.complete(received)
        };
        for write in self.responses.writes(requests) {
            connection.stream.write_all(write)?;
        }
        Ok(size > 0 && !received.ends_with(b"close\r\n\r\n"))
    }
}

impl Connection {
    /// Adds received bytes to the incomplete head, and returns how many requests they complete.
    #[cold]
    fn complete(&mut self, received: &[u8]) -> usize {
        self.begun.extend_from_slice(received);
        let end = memmem::rfind(&self.begun, b"\r\n\r\n").map_or(0, |at| at + 4);
        let requests = blank_lines(&self.begun[..end]);
        self.begun.drain(..end);
        requests
    }
}

fn blank_lines(bytes: &[u8]) -> usize {
    memmem::find_iter(bytes, b"\r\n\r\n").count()
}

fn token(descriptor: &impl AsRawFd) -> EventData {
    EventData::new_u64(descriptor.as_raw_fd() as u64)
}

/// The canned response, repeated, renewed when the second of its Date is over.
struct Responses {
    bytes: Vec<u8>,
    response_size: usize,
    second: u64,
}

impl Responses {
    fn new(now: SystemTime) -> Self {
        let date = httpdate::fmt_http_date(now);
        let size = HELLO.len();
        let response = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {TEXT}\r\nContent-Length: {size}\r\n\
             Date: {date}\r\n\r\n{HELLO}"
        );
        let bytes = response.repeat(RESPONSES_PER_WRITE).into_bytes();
        Self { bytes, response_size: response.len(), second: unix_second(now) }
    }

    fn refresh(&mut self, now: SystemTime) {
        if unix_second(now) != self.second {
            *self = Self::new(now);
        }
    }

    /// Returns the writes that respond to that many requests.
    fn writes(&self, requests: usize) -> impl Iterator<Item = &[u8]> {
        (0..requests).step_by(RESPONSES_PER_WRITE).map(move |done| {
            let responses = (requests - done).min(RESPONSES_PER_WRITE);
            &self.bytes[..responses * self.response_size]
        })
    }
}

fn unix_second(now: SystemTime) -> u64 {
    now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}
