//! The times of a request, for the `Server-Timing` header.

use std::fmt::Write;
use std::time::{Duration, Instant};

use brigade_runtime::time::ready_since;
use http::{HeaderName, HeaderValue};

/// The `http` crate has no constant for it.
pub(in crate::server) const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// How a connection came to its loop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    /// When the connection was accepted. It was in the loop's queue from then on.
    pub(in crate::server) accepted: Instant,
    /// When the loop took it.
    at: Instant,
}

impl Taken {
    /// Returns that the loop now takes a connection that was `accepted` then.
    pub(in crate::server) fn now(accepted: Instant) -> Self {
        Self { accepted, at: Instant::now() }
    }
}

/// The times of one connection and of its current request.
pub(in crate::server) struct Timing {
    loop_number: usize,
    /// How long the connection waited in the queue of its loop. Sent with the first response.
    queue: Option<Duration>,
    /// When the last poll of the task ended; before that, when the loop took the connection.
    polled: Instant,
    /// The longest time that the task can have waited for this poll.
    lag: Duration,
    /// The sum of these times since the current request could be read.
    request_lag: Duration,
    /// When the current request began, plus the times for which the task has waited since.
    began: Option<Instant>,
}

impl Timing {
    /// Returns the times of a connection.
    pub(in crate::server) fn new(loop_number: usize, taken: Taken) -> Self {
        Self {
            loop_number,
            queue: Some(taken.at.saturating_duration_since(taken.accepted)),
            polled: taken.at,
            lag: Duration::ZERO,
            request_lag: Duration::ZERO,
            began: None,
        }
    }

    /// Returns the times of a stream of HTTP/2, on a connection whose first stream has its time in
    /// the queue.
    #[cfg_attr(not(feature = "http2"), expect(dead_code, reason = "only HTTP/2 has streams"))]
    pub(in crate::server) fn of_stream(loop_number: usize, taken: Taken, is_first: bool) -> Self {
        let timing = Self::new(loop_number, taken);
        Self { queue: timing.queue.filter(|_| is_first), ..timing }
    }

    pub(in crate::server) fn begin_poll(&mut self) {
        // The time that the task itself used in this turn is not a wait.
        let ready = ready_since().max(self.polled);
        self.lag = Instant::now().saturating_duration_since(ready);
        if let Some(began) = &mut self.began {
            *began += self.lag;
            self.request_lag += self.lag;
        }
    }

    pub(in crate::server) fn end_poll(&mut self) {
        self.polled = Instant::now();
    }

    pub(in crate::server) fn begin_request(&mut self) {
        self.request_lag = self.lag;
        self.began = Some(Instant::now());
    }

    /// Returns the header's value, by the grammar of W3C Server Timing: durations in milliseconds.
    pub(in crate::server) fn header(&self) -> HeaderValue {
        let mut text = String::new();
        if let Some(queue) = self.queue {
            let _ = write!(text, "queue;dur={:.3}, ", millis(queue));
        }
        // The response to a malformed request has no handler; it was read in this poll.
        let lag = self.began.map_or(self.lag, |_| self.request_lag);
        // Writing to a string does not fail.
        let _ = write!(text, "loop;desc=\"{}\";dur={:.3}", self.loop_number, millis(lag));
        if let Some(began) = self.began {
            let _ = write!(text, ", handler;dur={:.3}", millis(began.elapsed()));
        }
        HeaderValue::try_from(text).expect("names and numbers are printable")
    }

    /// Ends the current request.
    pub(in crate::server) fn end_request(&mut self) {
        self.queue = None;
        self.began = None;
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the duration of the entry `name`, in milliseconds.
    fn entry(timing: &Timing, name: &str) -> Option<f64> {
        let value = timing.header();
        let mut entries = value.to_str().unwrap().split(", ");
        let entry = entries.find(|entry| entry.starts_with(name))?;
        Some(entry.split_once("dur=").unwrap().1.parse().unwrap())
    }

    #[test]
    fn the_time_in_the_queue_is_sent_until_the_first_request_has_ended() {
        let at = Instant::now();
        let accepted = at.checked_sub(Duration::from_millis(300)).unwrap();
        let mut timing = Timing::new(7, Taken { accepted, at });
        timing.begin_request();
        // A response that cannot be sent is replaced by another one.
        for _ in 0..2 {
            assert_eq!(entry(&timing, "queue"), Some(300.0));
            assert!(timing.header().to_str().unwrap().contains("loop;desc=\"7\";dur=0.000"));
        }
        timing.end_request();
        assert_eq!(entry(&timing, "queue"), None);
    }
}
