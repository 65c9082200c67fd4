//! Many requests that all wait in `/delay/{seconds}` at the same time.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::exchanges::{End, Exchanges, Outcome};

/// Requests sent in a second: so few that neither side is busy, and lateness is the timer's.
const SENT_PER_SECOND: u32 = 5_000;
/// How long after the last request all of them have surely reached their delay.
const SETTLE: Duration = Duration::from_millis(300);
/// How late the last answer may be before the run is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest wait for an event.
const TICK: Duration = Duration::from_millis(1);

/// What the delays came to.
#[derive(Debug)]
pub struct Delays<T> {
    /// What `when_all_wait` returned.
    pub sampled: T,
    /// How many milliseconds after its time each answer came; below zero if it came before.
    pub late_ms: Vec<f64>,
}

/// Sends `count` requests, a connection each, for a delay of that many seconds, and calls
/// `when_all_wait` once all of them are waiting.
///
/// # Errors
/// If a request is lost or not answered by a 200, or an answer came before all were waiting.
pub fn wait_in_delays<T>(
    server: SocketAddr,
    count: usize,
    seconds: u64,
    when_all_wait: impl FnOnce() -> io::Result<T>,
) -> io::Result<Delays<T>> {
    let delay = Duration::from_secs(seconds);
    let mut exchanges = Exchanges::new(server, &format!("/delay/{seconds}"), End::Answer)?;
    let mut outcomes = Vec::with_capacity(count);
    send(&mut exchanges, count, &mut outcomes)?;
    if !outcomes.is_empty() {
        return Err(io::Error::other("an answer came before all requests were waiting"));
    }
    let sampled = when_all_wait()?;
    let deadline = Instant::now() + delay + PATIENCE;
    while outcomes.len() < count && Instant::now() < deadline {
        exchanges.wait(TICK, &mut outcomes)?;
    }
    if outcomes.len() < count || outcomes.iter().any(|outcome| !outcome.answered) {
        let answered = outcomes.iter().filter(|outcome| outcome.answered).count();
        return Err(io::Error::other(format!("{answered} of {count} delays were answered")));
    }
    let late_ms = outcomes.iter().map(|outcome| late_ms(outcome, delay)).collect();
    Ok(Delays { sampled, late_ms })
}

fn send(exchanges: &mut Exchanges, count: usize, outcomes: &mut Vec<Outcome>) -> io::Result<()> {
    let start = Instant::now();
    for sent in 0..count {
        let due = start + Duration::from_secs(1) / SENT_PER_SECOND * sent as u32;
        while let left = due.saturating_duration_since(Instant::now())
            && !left.is_zero()
        {
            exchanges.wait(left.min(TICK), outcomes)?;
        }
        exchanges.open()?;
    }
    let settled = Instant::now() + SETTLE;
    while Instant::now() < settled {
        exchanges.wait(TICK, outcomes)?;
    }
    Ok(())
}

fn late_ms(outcome: &Outcome, delay: Duration) -> f64 {
    let took = outcome.ended_at.duration_since(outcome.asked_at);
    (took.as_secs_f64() - delay.as_secs_f64()) * 1e3
}
