//! Many requests that wait in `/delay/{seconds}` at the same time.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::exchanges::{End, Exchanges, Outcome};

/// Requests sent a second: so few that neither side is busy, so that lateness is the timer's.
const SENT_PER_SECOND: u32 = 5_000;
/// How long after the last request all of them are certain to be waiting.
const SETTLE: Duration = Duration::from_millis(300);
/// How late the last response may be before the run fails.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest wait for an event.
const TICK: Duration = Duration::from_millis(1);

/// The result of the delays.
#[derive(Debug)]
pub struct Delays<T> {
    /// The value that `when_all_wait` returned.
    pub sampled: T,
    /// How many milliseconds late each response was; below zero if it was early.
    pub late_ms: Vec<f64>,
}

/// Sends `count` requests with a delay of `seconds`, on a connection each, and calls
/// `when_all_wait` once all of them are waiting.
///
/// # Errors
/// If a request is lost, a response is not a 200, or one arrives before all requests are waiting.
pub fn wait_in_delays<T>(
    server: SocketAddr,
    count: usize,
    seconds: u64,
    when_all_wait: impl FnOnce() -> io::Result<T>,
) -> io::Result<Delays<T>> {
    let delay = Duration::from_secs(seconds);
    let mut exchanges = Exchanges::new(server, &format!("/delay/{seconds}"), End::Response)?;
    let mut outcomes = Vec::with_capacity(count);
    send(&mut exchanges, count, &mut outcomes)?;
    if !outcomes.is_empty() {
        return Err(io::Error::other("a response came before all requests were waiting"));
    }
    let sampled = when_all_wait()?;
    let deadline = Instant::now() + delay + PATIENCE;
    while outcomes.len() < count && Instant::now() < deadline {
        exchanges.wait(TICK, &mut outcomes)?;
    }
    if outcomes.len() < count || outcomes.iter().any(|outcome| !outcome.is_ok) {
        let succeeded = outcomes.iter().filter(|outcome| outcome.is_ok).count();
        return Err(io::Error::other(format!("{succeeded} of {count} delays had a response")));
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
    let took = outcome.ended_at.duration_since(outcome.sent_at);
    (took.as_secs_f64() - delay.as_secs_f64()) * 1e3
}
