//! The limit on one core: an epoll loop that reads, finds the blank lines, and writes canned bytes.
//!
//! A turn of the loop costs one `epoll_wait`, and each ready connection one `read` and one `write`,
//! however many requests the read brought. Nothing is parsed: a request is what ends in a blank
//! line, and a read that ends in `close` and a blank line is answered and closed.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, SystemTime};

use memchr::memmem;
use peer_common::{HELLO, Options, TEXT};
use rustix::event::epoll::{self, EventData, EventFlags};

/// Events taken in one turn.
const EVENTS: usize = 1024;
/// Bytes taken in one read.
const READ_SIZE: usize = 64 * 1024;
/// Answers that one write can hold; a read that brought more requests costs more writes.
const ANSWERS_A_WRITE: usize = 256;

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
    answers: Answers,
}

struct Connection {
    stream: TcpStream,
    /// The head of a request whose end has not come yet.
    begun: Vec<u8>,
}

impl Floor {
    fn new(listener: TcpListener) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, token(&listener), EventFlags::IN)?;
        let answers = Answers::new(SystemTime::now());
        let buffer = vec![0; READ_SIZE];
        Ok(Self { epoll, listener, connections: Vec::new(), buffer, answers })
    }

    fn turn(&mut self, events: &mut Vec<epoll::Event>) -> io::Result<()> {
        events.clear();
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(events), None) {
            Err(rustix::io::Errno::INTR) => return Ok(()),
            other => other?,
        };
        self.answers.refresh(SystemTime::now());
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

    /// Answers what one read brings. Returns `true` if the connection stays open.
    ///
    /// A client that does not take its answers, so that a write falls short, is dropped.
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
        for write in self.answers.writes(requests) {
            connection.stream.write_all(write)?;
        }
        Ok(size > 0 && !received.ends_with(b"close\r\n\r\n"))
    }
}

impl Connection {
    /// Adds what was received to what was begun, and returns how many requests that completes.
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

/// The canned answer, many times over, renewed when the second of its Date is over.
struct Answers {
    bytes: Vec<u8>,
    answer_size: usize,
    second: u64,
}

impl Answers {
    fn new(now: SystemTime) -> Self {
        let date = httpdate::fmt_http_date(now);
        let size = HELLO.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {TEXT}\r\nContent-Length: {size}\r\n\
             Date: {date}\r\n\r\n{HELLO}"
        );
        let bytes = answer.repeat(ANSWERS_A_WRITE).into_bytes();
        Self { bytes, answer_size: answer.len(), second: unix_second(now) }
    }

    fn refresh(&mut self, now: SystemTime) {
        if unix_second(now) != self.second {
            *self = Self::new(now);
        }
    }

    /// The bytes that answer so many requests, a write each.
    fn writes(&self, requests: usize) -> impl Iterator<Item = &[u8]> {
        (0..requests).step_by(ANSWERS_A_WRITE).map(move |done| {
            let answers = (requests - done).min(ANSWERS_A_WRITE);
            &self.bytes[..answers * self.answer_size]
        })
    }
}

fn unix_second(now: SystemTime) -> u64 {
    now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}
