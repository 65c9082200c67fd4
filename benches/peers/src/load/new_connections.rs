//! New connections while a loop is blocked.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::exchanges::{End, Exchanges, Outcome};
use super::response;

/// The time between two new connections.
const EVERY: Duration = Duration::from_millis(5);
/// How long the last connection may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest wait for an event.
const TICK: Duration = Duration::from_millis(1);

/// Keeps one loop of a server blocked, until it is dropped.
pub struct Block {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Block {
    /// Starts to request `/block/{milliseconds}` again and again, on one connection.
    pub fn start(server: SocketAddr, milliseconds: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || block(server, milliseconds, &stopped));
        Self { stop, thread: Some(thread) }
    }

    /// Stops blocking the loop.
    ///
    /// # Errors
    /// If a request failed, so that the loop was not blocked.
    pub fn end(mut self) -> io::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("only this function takes the thread");
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the blocking thread panicked")))
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn block(server: SocketAddr, milliseconds: u64, stop: &AtomicBool) -> io::Result<()> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = format!("GET /block/{milliseconds} HTTP/1.1\r\nHost: {server}\r\n\r\n");
    let mut buffer = [0; 4096];
    while !stop.load(Ordering::Relaxed) {
        stream.write_all(request.as_bytes())?;
        let mut received = 0;
        while response::size(&buffer[..received]) != Some(received) {
            match stream.read(&mut buffer[received..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                size => received += size,
            }
        }
        if !response::is_ok(&buffer) {
            return Err(io::Error::other("the response to /block was not a 200"));
        }
    }
    Ok(())
}

/// Opens a connection every 5 ms for that long. Returns how many milliseconds each took from
/// `connect` to the response to its `GET /`.
///
/// # Errors
/// If one of them is lost or has no response in time.
pub fn new_connections(server: SocketAddr, time: Duration) -> io::Result<Vec<f64>> {
    let mut exchanges = Exchanges::new(server, "/", End::Response)?;
    let count = (time.as_millis() / EVERY.as_millis()) as usize;
    let start = Instant::now();
    let deadline = start + time + PATIENCE;
    let (mut opened, mut took_ms) = (0, Vec::with_capacity(count));
    while took_ms.len() < count {
        let now = Instant::now();
        if now > deadline {
            let done = took_ms.len();
            return Err(io::Error::other(format!("{done} of {count} connections had a response")));
        }
        if opened < count && now >= start + EVERY * opened as u32 {
            exchanges.open()?;
            opened += 1;
        }
        let mut outcomes = Vec::new();
        exchanges.wait(TICK, &mut outcomes)?;
        for outcome in outcomes {
            took_ms.push(took(&outcome)?);
            exchanges.close(outcome.key);
        }
    }
    Ok(took_ms)
}

fn took(outcome: &Outcome) -> io::Result<f64> {
    match outcome.is_ok {
        true => Ok(outcome.ended_at.duration_since(outcome.opened_at).as_secs_f64() * 1e3),
        false => Err(io::Error::other("a new connection was lost")),
    }
}
