//! Two connections to an echo server that send as fast as they can, and a third that measures.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;

/// The number of connections that flood.
const FLOODING: usize = 2;
/// Bytes of one write or read of a flooding connection: more than the server's, so that the load
/// makes fewer system calls than the server and keeps it busy.
const CHUNK: usize = 128 * 1024;
/// Bytes of a message whose round trip is measured.
const MESSAGE: usize = 16;
/// The longest wait for an event.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// What came back from the server.
#[derive(Debug)]
pub struct Flood {
    /// How many milliseconds each round trip of the third connection took. The last one had not
    /// ended, and counts with the time until then.
    pub round_trips_ms: Vec<f64>,
    /// The bytes that the flooding connections received.
    pub bytes: u64,
}

/// Floods an echo server for that long.
///
/// # Errors
/// If a connection is refused or lost.
pub fn flood(server: SocketAddr, time: Duration) -> io::Result<Flood> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut flooding = Vec::new();
    for key in 0..FLOODING {
        flooding.push(connect(&epoll, server, key, EventFlags::IN | EventFlags::OUT)?);
    }
    let mut measured = Measured::new(connect(&epoll, server, FLOODING, EventFlags::IN)?);
    let mut buffer = vec![0; CHUNK];
    let mut bytes = 0;
    let mut events = Vec::with_capacity(FLOODING + 1);
    let deadline = Instant::now() + time;
    measured.send()?;
    while Instant::now() < deadline {
        events.clear();
        match epoll::wait(&epoll, spare_capacity(&mut events), Some(&TICK)) {
            Err(Errno::INTR) => continue,
            other => other?,
        };
        // Looked at after each system call of the others, so that the load adds little time.
        measured.receive()?;
        for event in &events {
            let Some(stream) = flooding.get_mut(event.data.u64() as usize) else { continue };
            bytes += ready(stream.read(&mut buffer), ErrorKind::UnexpectedEof)?;
            measured.receive()?;
            ready(stream.write(&buffer), ErrorKind::WriteZero)?;
            measured.receive()?;
        }
    }
    measured.round_trips_ms.push(measured.sent_at.elapsed().as_secs_f64() * 1e3);
    Ok(Flood { round_trips_ms: measured.round_trips_ms, bytes })
}

fn connect(
    epoll: &OwnedFd,
    server: SocketAddr,
    key: usize,
    interest: EventFlags,
) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    epoll::add(epoll, &stream, EventData::new_u64(key as u64), interest)?;
    Ok(stream)
}

/// Returns the bytes of a read or write; zero if it would block.
fn ready(outcome: io::Result<usize>, if_zero: ErrorKind) -> io::Result<u64> {
    match outcome {
        Ok(0) => Err(if_zero.into()),
        Ok(bytes) => Ok(bytes as u64),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        Err(error) => Err(error),
    }
}

/// The connection whose round trips are measured.
struct Measured {
    stream: TcpStream,
    sent_at: Instant,
    /// Bytes of the message that have come back.
    received: usize,
    round_trips_ms: Vec<f64>,
}

impl Measured {
    fn new(stream: TcpStream) -> Self {
        Self { stream, sent_at: Instant::now(), received: 0, round_trips_ms: Vec::new() }
    }

    fn send(&mut self) -> io::Result<()> {
        self.sent_at = Instant::now();
        self.received = 0;
        self.stream.write_all(&[b'x'; MESSAGE])
    }

    /// Receives what has come back, and sends the next message once all has.
    fn receive(&mut self) -> io::Result<()> {
        let buffer = &mut [0; MESSAGE];
        let left = &mut buffer[self.received..];
        self.received += ready(self.stream.read(left), ErrorKind::UnexpectedEof)? as usize;
        if self.received < MESSAGE {
            return Ok(());
        }
        self.round_trips_ms.push(self.sent_at.elapsed().as_secs_f64() * 1e3);
        self.send()
    }
}
