//! Many connections to one server, each with at most one request under way.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType};

use super::answer;

/// Events taken at once.
const EVENTS: usize = 1024;
/// Bytes taken in one read.
const READ_SIZE: usize = 16 * 1024;
/// Client addresses, 127.0.0.2 and up, that connections take turns in: a churn of connections
/// leaves more ports in TIME_WAIT than one address has.
const SOURCES: usize = 64;

/// When an exchange has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// When the answer is there.
    Answer,
    /// When the server has closed the connection after it.
    Close,
}

/// How one exchange ended.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// The connection.
    pub key: usize,
    /// Whether it was answered by a 200; if not, the connection is gone.
    pub answered: bool,
    /// When the connection was asked for.
    pub opened_at: Instant,
    /// When the request was written.
    pub asked_at: Instant,
    /// When it ended.
    pub ended_at: Instant,
}

/// Connections to one server that all send the same request.
pub struct Exchanges {
    server: SocketAddr,
    request: Vec<u8>,
    end: End,
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    buffer: Vec<u8>,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    opened: usize,
}

struct Connection {
    stream: TcpStream,
    opened_at: Instant,
    /// `None` until the connection stands and the request is written.
    asked_at: Option<Instant>,
    /// What has come of the answer, if not all of it came at once.
    begun: Vec<u8>,
    /// Whether all of an answer with status 200 has come.
    answered: bool,
}

/// What a ready connection came to.
enum Progress {
    Pending,
    Ended,
    Lost,
}

impl Exchanges {
    /// Prepares to send `GET path` to a server.
    ///
    /// # Errors
    /// If the kernel gives no epoll.
    pub fn new(server: SocketAddr, path: &str, end: End) -> io::Result<Self> {
        let connection = if end == End::Close { "Connection: close\r\n" } else { "" };
        let request = format!("GET {path} HTTP/1.1\r\nHost: {server}\r\n{connection}\r\n");
        Ok(Self {
            server,
            request: request.into_bytes(),
            end,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(EVENTS),
            buffer: vec![0; READ_SIZE],
            connections: Vec::new(),
            free: Vec::new(),
            opened: 0,
        })
    }

    /// Opens a connection and sends the request once it stands.
    ///
    /// # Errors
    /// If no socket or port is left.
    pub fn open(&mut self) -> io::Result<()> {
        let opened_at = Instant::now();
        let stream = self.connect()?;
        let key = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        let interest = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
        epoll::add(&self.epoll, &stream, EventData::new_u64(key as u64), interest)?;
        self.connections[key] = Some(Connection {
            stream,
            opened_at,
            asked_at: None,
            begun: Vec::new(),
            answered: false,
        });
        Ok(())
    }

    /// Sends the request once more on a connection whose last one was answered.
    ///
    /// # Errors
    /// If the connection does not take it.
    pub fn ask_again(&mut self, key: usize) -> io::Result<()> {
        let connection = self.connections[key].as_mut().expect("an answered connection is open");
        connection.answered = false;
        connection.ask(&self.request)
    }

    /// Closes a connection.
    pub fn close(&mut self, key: usize) {
        self.connections[key] = None;
        self.free.push(key);
    }

    /// Waits until an exchange ends, at most that long, and adds what ended to `outcomes`.
    ///
    /// # Errors
    /// If epoll fails.
    pub fn wait(&mut self, timeout: Duration, outcomes: &mut Vec<Outcome>) -> io::Result<()> {
        self.events.clear();
        let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&timeout)) {
            Err(Errno::INTR) => return Ok(()),
            other => other?,
        };
        for event in std::mem::take(&mut self.events) {
            self.progress(event.data.u64() as usize, outcomes);
        }
        self.events.reserve(EVENTS);
        Ok(())
    }

    fn progress(&mut self, key: usize, outcomes: &mut Vec<Outcome>) {
        let Some(connection) = &mut self.connections[key] else { return };
        let progress = connection.progress(&self.request, &mut self.buffer, self.end);
        let answered = match progress {
            Ok(Progress::Pending) => return,
            Ok(Progress::Ended) => connection.answered,
            Ok(Progress::Lost) | Err(_) => false,
        };
        let Connection { opened_at, asked_at, .. } = *connection;
        let asked_at = asked_at.unwrap_or(opened_at);
        outcomes.push(Outcome { key, answered, opened_at, asked_at, ended_at: Instant::now() });
        if !answered || self.end == End::Close {
            self.close(key);
        }
    }

    fn connect(&mut self) -> io::Result<TcpStream> {
        let source = Ipv4Addr::new(127, 0, 0, 2 + (self.opened % SOURCES) as u8);
        self.opened += 1;
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        net::bind(&socket, &SocketAddrV4::new(source, 0))?;
        match net::connect(&socket, &self.server) {
            Ok(()) | Err(Errno::INPROGRESS) => Ok(socket.into()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Connection {
    fn ask(&mut self, request: &[u8]) -> io::Result<()> {
        self.stream.write_all(request)?;
        self.asked_at = Some(Instant::now());
        Ok(())
    }

    fn progress(&mut self, request: &[u8], buffer: &mut [u8], end: End) -> io::Result<Progress> {
        if self.asked_at.is_none() {
            match self.ask(request) {
                // The event was not the one that says the connection stands.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok(Progress::Pending);
                }
                asked => asked?,
            }
        }
        loop {
            let size = match self.stream.read(buffer) {
                Ok(0) if self.answered => return Ok(Progress::Ended),
                Ok(0) => return Ok(Progress::Lost),
                Ok(size) => size,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok(Progress::Pending);
                }
                Err(error) => return Err(error),
            };
            self.answered |= self.receive(&buffer[..size]);
            if self.answered && end == End::Answer {
                return Ok(Progress::Ended);
            }
        }
    }

    /// Takes what was received. Returns `true` if that completes an answer with status 200.
    fn receive(&mut self, received: &[u8]) -> bool {
        if self.begun.is_empty() && answer::size(received) == Some(received.len()) {
            return answer::is_ok(received);
        }
        self.begun.extend_from_slice(received);
        if answer::size(&self.begun) != Some(self.begun.len()) {
            return false;
        }
        answer::is_ok(&std::mem::take(&mut self.begun))
    }
}
