//! What the driver of a WebSocket does while the handler waits: writing, pings, timeouts.

use std::task::Context;
use std::time::{Duration, Instant};

use brigade_runtime::time;
use bytes::Bytes;

use crate::websocket::connection::Connection;
use crate::websocket::error::WsError;
use crate::websocket::frame::Opcode;
use crate::websocket::options::{CLOSE_TIMEOUT, WRITE_TIMEOUT};

/// The shortest silence that is measured. The loop's time stands still within a turn.
const SILENCE_MIN: Duration = Duration::from_millis(1);

impl Connection {
    /// Writes what is queued, and watches the clock. Arranges for the task to be woken.
    pub(super) fn poll_drive(&mut self, cx: &mut Context<'_>) {
        self.set_driver(cx);
        self.is_driven = true;
        self.drive(cx);
        self.is_driven = false;
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        if self.is_deaf {
            self.discard(cx);
        }
        self.write();
        while self.outgoing.is_blocked() && self.stream().poll_writable(cx).is_ready() {
            self.write();
        }
        while let Some(deadline) = self.deadline() {
            if self.timer.poll_passed(None, Some(deadline), cx).is_pending() {
                if self.blocked_since.is_some() {
                    // The socket may accept bytes some time before it is reported as writable.
                    self.timer.wake_early(cx);
                }
                return;
            }
            self.expire();
        }
    }

    /// Returns when the next timeout passes. A peer that has not taken all that it was sent may
    /// not have received a ping, or a close frame, yet.
    fn deadline(&self) -> Option<Instant> {
        if let Some(since) = self.blocked_since {
            return since.checked_add(WRITE_TIMEOUT);
        }
        if self.is_receive_done {
            return None;
        }
        if let Some(sent) = self.close_sent {
            return sent.checked_add(CLOSE_TIMEOUT);
        }
        if let Some(pinged) = self.pinged_at {
            return pinged.checked_add(self.options.pong_timeout);
        }
        let silence = self.options.ping_interval.unwrap_or(self.idle_max);
        self.received_at.checked_add(silence.max(SILENCE_MIN))
    }

    /// Acts on the timeout that has passed.
    #[cold]
    fn expire(&mut self) {
        if let Some(since) = self.blocked_since {
            // The socket may accept more without having been reported as writable.
            self.write();
            if self.blocked_since == Some(since) {
                self.reset("took nothing of what was sent");
            }
        } else if self.close_sent.is_some() {
            self.reset("did not send its close frame");
        } else {
            self.end_silence();
        }
    }

    /// Sends a ping, or gives the peer up. What has arrived and was not read yet counts: the
    /// handler may be busy, and this process may have been stopped.
    fn end_silence(&mut self) {
        if self.decoder.has_kept() {
            self.received_at = time::now();
            self.pinged_at = None;
            return;
        }
        match self.read_ahead() {
            Ok(true) => {}
            Ok(false) if self.pinged_at.is_some() => self.reset("did not respond to a ping"),
            Ok(false) if self.options.ping_interval.is_none() => self.reset("sent nothing"),
            Ok(false) => {
                self.queue(Opcode::Ping, Bytes::new());
                self.write();
                self.awaits_pong = true;
                self.pinged_at = Some(time::now());
            }
            Err(error) => self.fail(Some(error)),
        }
    }

    /// Gives up a peer that did not do in time what `what` says. What it was sent and did not take
    /// is discarded.
    fn reset(&mut self, what: &'static str) {
        self.stream().reset();
        self.fail(Some(WsError::Timeout(what)));
    }
}
