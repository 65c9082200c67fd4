//! Many connections to one server, each with at most one request in flight.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::SocketFlags;

use super::tls::TlsClient;
use super::wire::Wire;
use super::{response, sources};

/// Events received at once.
const EVENTS: usize = 1024;
/// Bytes of one read.
const READ_SIZE: usize = 16 * 1024;

/// When an exchange ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// When the response is complete.
    Response,
    /// When the server has closed the connection after the response.
    Close,
}

/// How one exchange ended.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// The connection.
    pub key: usize,
    /// Whether the response was a 200; if not, the connection is gone.
    pub is_ok: bool,
    /// When `connect` was called.
    pub opened_at: Instant,
    /// When the request was written.
    pub sent_at: Instant,
    /// When it ended.
    pub ended_at: Instant,
}

/// Connections to one server that all send the same request.
pub struct Exchanges {
    server: SocketAddr,
    /// With which each connection begins a handshake, unless it is without TLS.
    tls: Option<TlsClient>,
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
    wire: Wire,
    opened_at: Instant,
    /// `None` until the connection is established and the request is written.
    sent_at: Option<Instant>,
    /// The part of the response received so far, if it did not arrive at once.
    partial: Vec<u8>,
    /// Whether a complete response with status 200 has arrived.
    is_ok: bool,
}

/// The state of a connection after an event.
enum Progress {
    Pending,
    Ended,
    Lost,
}

impl Exchanges {
    /// Prepares to send `GET path` to a server.
    ///
    /// # Errors
    /// If the kernel provides no epoll instance.
    pub fn new(server: SocketAddr, path: &str, end: End) -> io::Result<Self> {
        let connection = if end == End::Close { "Connection: close\r\n" } else { "" };
        let request = format!("GET {path} HTTP/1.1\r\nHost: {server}\r\n{connection}\r\n");
        Ok(Self {
            server,
            tls: None,
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

    /// Sends the requests over TLS.
    pub fn over_tls(self, client: TlsClient) -> Self {
        Self { tls: Some(client), ..self }
    }

    /// Opens a connection, and sends the request once it is established.
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
        let wire = Wire::new(stream, self.tls.as_ref())?;
        self.connections[key] =
            Some(Connection { wire, opened_at, sent_at: None, partial: Vec::new(), is_ok: false });
        Ok(())
    }

    /// Sends the request again on a connection that has had its response.
    ///
    /// # Errors
    /// If the request cannot be written.
    pub fn send_again(&mut self, key: usize) -> io::Result<()> {
        let connection =
            self.connections[key].as_mut().expect("a connection that has had its response is open");
        connection.is_ok = false;
        connection.send(&self.request)
    }

    /// Closes a connection.
    pub fn close(&mut self, key: usize) {
        self.connections[key] = None;
        self.free.push(key);
    }

    /// Waits until an exchange ends, at most that long, and appends the outcomes.
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
        let is_ok = match progress {
            Ok(Progress::Pending) => return,
            Ok(Progress::Ended) => connection.is_ok,
            Ok(Progress::Lost) | Err(_) => false,
        };
        let Connection { opened_at, sent_at, .. } = *connection;
        let sent_at = sent_at.unwrap_or(opened_at);
        outcomes.push(Outcome { key, is_ok, opened_at, sent_at, ended_at: Instant::now() });
        if !is_ok || self.end == End::Close {
            self.close(key);
        }
    }

    fn connect(&mut self) -> io::Result<TcpStream> {
        self.opened += 1;
        sources::connect(self.server, self.opened, SocketFlags::NONBLOCK)
    }
}

impl Connection {
    fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.wire.write_all(request)?;
        self.sent_at = Some(Instant::now());
        Ok(())
    }

    fn progress(&mut self, request: &[u8], buffer: &mut [u8], end: End) -> io::Result<Progress> {
        if self.sent_at.is_none() {
            match self.send(request) {
                // The connection is not established yet.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok(Progress::Pending);
                }
                sent => sent?,
            }
        }
        loop {
            let size = match self.wire.read(buffer) {
                Ok(0) if self.is_ok => return Ok(Progress::Ended),
                Ok(0) => return Ok(Progress::Lost),
                Ok(size) => size,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok(Progress::Pending);
                }
                Err(error) => return Err(error),
            };
            self.is_ok |= self.receive(&buffer[..size]);
            if self.is_ok && end == End::Response {
                return Ok(Progress::Ended);
            }
        }
    }

    /// Adds received bytes. Returns `true` if they complete a response with status 200.
    fn receive(&mut self, received: &[u8]) -> bool {
        if self.partial.is_empty() && response::size(received) == Some(received.len()) {
            return response::is_ok(received);
        }
        self.partial.extend_from_slice(received);
        if response::size(&self.partial) != Some(self.partial.len()) {
            return false;
        }
        response::is_ok(&std::mem::take(&mut self.partial))
    }
}
