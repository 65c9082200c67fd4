//! Pings, which detect a peer that has gone.

use std::task::Context;
use std::time::{Duration, Instant};

use brigade_runtime::time;
use h2::{Ping, PingPong};

/// The pings of a connection.
pub(crate) struct Pings {
    /// `None` if they were taken from h2 before.
    pings: Option<PingPong>,
    interval: Duration,
    timeout: Duration,
    /// When the one was sent that the peer has not acknowledged.
    sent: Option<Instant>,
}

/// What is to be done about a silent peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PingDue {
    /// Send a `PING`.
    Send,
    /// Close the connection: the last `PING` was not acknowledged.
    Lost,
}

impl Pings {
    /// Returns the pings of a connection. A `PING` is due after `interval` of silence, and has to
    /// be acknowledged within `timeout`.
    pub(crate) const fn new(
        pings: Option<PingPong>,
        interval: Duration,
        timeout: Duration,
    ) -> Self {
        Self { pings, interval, timeout, sent: None }
    }

    /// Receives an acknowledgement. To be called before each poll of the connection.
    pub(crate) fn poll_pong(&mut self, cx: &mut Context<'_>) {
        if self.sent.is_some()
            && let Some(pings) = &mut self.pings
            && pings.poll_pong(cx).is_ready()
        {
            self.sent = None;
        }
    }

    /// Returns what is due next, and when. `received_at` is when something was last received.
    pub(crate) fn next(&self, received_at: Instant) -> Option<(Instant, PingDue)> {
        self.pings.as_ref()?;
        match self.sent {
            None => Some((received_at.checked_add(self.interval)?, PingDue::Send)),
            Some(at) => Some((at.max(received_at).checked_add(self.timeout)?, PingDue::Lost)),
        }
    }

    /// Sends a `PING`.
    pub(crate) fn send(&mut self) {
        if let Some(pings) = &mut self.pings {
            // Fails only if the connection has ended.
            let _ = pings.send_ping(Ping::opaque());
            self.sent = Some(time::now());
        }
    }
}
