//! A loop that is blocked, and new connections that come meanwhile.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::answer;
use super::exchanges::{End, Exchanges, Outcome};

/// The time between two new connections.
const EVERY: Duration = Duration::from_millis(5);
/// How long the last of them may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest wait for an event.
const TICK: Duration = Duration::from_millis(1);

/// Keeps one loop of a server blocked, until it is dropped.
pub struct Block {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Block {
    /// Begins to ask for `/block/{milliseconds}`, again and again, on one connection.
    pub fn start(server: SocketAddr, milliseconds: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = thread::spawn(move || block(server, milliseconds, &seen));
        Self { stop, thread: Some(thread) }
    }

    /// Stops it.
    ///
    /// # Errors
    /// If a request of it failed, so that nothing was blocked.
    pub fn end(mut self) -> io::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("it is taken here only");
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
        while answer::size(&buffer[..received]) != Some(received) {
            match stream.read(&mut buffer[received..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                size => received += size,
            }
        }
        if !answer::is_ok(&buffer) {
            return Err(io::Error::other("/block was not answered by a 200"));
        }
    }
    Ok(())
}

/// Opens a connection every 5 ms for that long, and returns how many milliseconds each took from
/// `connect` to the answer of its `GET /`.
///
/// # Errors
/// If one of them is lost or not answered in time.
pub fn newcomers(server: SocketAddr, time: Duration) -> io::Result<Vec<f64>> {
    let mut exchanges = Exchanges::new(server, "/", End::Answer)?;
    let count = (time.as_millis() / EVERY.as_millis()) as usize;
    let start = Instant::now();
    let deadline = start + time + PATIENCE;
    let (mut opened, mut took_ms) = (0, Vec::with_capacity(count));
    while took_ms.len() < count {
        let now = Instant::now();
        if now > deadline {
            let answered = took_ms.len();
            return Err(io::Error::other(format!("{answered} of {count} newcomers were answered")));
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
    match outcome.answered {
        true => Ok(outcome.ended_at.duration_since(outcome.opened_at).as_secs_f64() * 1e3),
        false => Err(io::Error::other("a new connection was lost")),
    }
}
