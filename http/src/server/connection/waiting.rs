//! What the connection does when it has nothing to do: it writes, and arranges to be woken.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use brigade_runtime::time;
use brigade_runtime::time::sleep_until;

use crate::message::body_error::BodyError;
use crate::message::route::RouteOptions;
use crate::protocol::error::ProtocolError;
use crate::server::connection::{ConnectionTask, Over, Waiting, Work, detaches_on_disconnect};

/// The longest silence of such a peer.
const LINGER_GAP: Duration = Duration::from_secs(5);
/// A body is judged slow only once it was waited for so long, so that a slow start is none.
const BODY_RATE_GRACE: Duration = Duration::from_secs(30);
/// A connection that was quiet for so long when the server shuts down is closed; one that was
/// busy until just now may have a request on its way. So may one that was just told of its end.
const DRAIN_QUIET: Duration = Duration::from_millis(250);

impl ConnectionTask {
    pub(super) fn write(&mut self, out: &mut Vec<u8>) -> Result<(), Over> {
        let Some(stream) = &self.stream else { return Ok(()) };
        let written = self.outgoing.write(out, stream)?;
        if written > 0 && self.waiting == Waiting::Write {
            self.waiting = Waiting::Nothing;
        }
        Ok(())
    }

    /// Writes, and arranges to be woken. Ready if there is something to do after all.
    pub(super) fn wait(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Poll<()>, Over> {
        if self.stream.is_none() {
            return Ok(Poll::Pending);
        }
        let was_blocked = self.outgoing.is_blocked();
        self.write(out)?;
        if self.outgoing.is_blocked() {
            if self.stream().poll_writable(cx).is_ready() {
                return Ok(Poll::Ready(()));
            }
        } else if was_blocked {
            return Ok(Poll::Ready(()));
        }
        self.watch_peer(cx)?;
        self.watch_clock(cx)
    }

    /// Ends a connection whose handler works for a client that has gone, or tells the handler if
    /// it runs to its end all the same.
    pub(super) fn watch_peer(&self, cx: &mut Context<'_>) -> Result<(), Over> {
        let (Work::Handling { route, .. } | Work::Sending { route, .. }) = &self.work else {
            return Ok(());
        };
        // Ready also where it cannot be told: then this connection cannot be waited for, and ends.
        if self.stream().poll_read_closed(cx).is_pending() {
            return Ok(());
        }
        if !self.stream().is_read_closed() {
            return Err(Over);
        }
        // An orderly end may lie behind a body that the handler has yet to read; a reset does not.
        if self.protocol.is_reading_body() && !self.stream().is_write_closed() {
            return Ok(());
        }
        if !detaches_on_disconnect(route.as_ref()) {
            return Err(Over);
        }
        if let Some(body) = &self.body {
            body.leave();
        }
        Ok(())
    }

    /// Notes what is waited for and sets the alarm. Ready if the time is over, and something is
    /// to be done about it.
    pub(super) fn watch_clock(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Over> {
        let now = time::now();
        let (waiting, mut timeout) = self.what_is_awaited();
        if waiting != self.waiting {
            self.begin_to_wait(waiting);
        }
        if matches!(waiting, Waiting::Idle | Waiting::Linger) && self.server.is_draining() {
            timeout = timeout.min(DRAIN_QUIET);
        }
        let latest = match waiting {
            Waiting::Nothing | Waiting::Handler => return Ok(Poll::Pending),
            Waiting::Body => self.body_rate_deadline(),
            Waiting::Linger => self.linger_deadline(),
            _ => None,
        };
        let deadline = [self.since.checked_add(timeout), latest].into_iter().flatten().min();
        // A timeout beyond what the system can tell never comes.
        let Some(deadline) = deadline else { return Ok(Poll::Pending) };
        if now >= deadline {
            return self.expire(cx);
        }
        self.set_alarm(deadline, cx);
        Ok(Poll::Pending)
    }

    pub(super) fn begin_to_wait(&mut self, waiting: Waiting) {
        let now = time::now();
        if let (Waiting::Body, Some(body)) = (self.waiting, &self.body) {
            body.waited.update(|waited| waited + now.saturating_duration_since(self.since));
        }
        self.waiting = waiting;
        self.since = now;
    }

    pub(super) fn what_is_awaited(&self) -> (Waiting, Duration) {
        let timeouts = &self.server.timeouts;
        if self.outgoing.is_blocked() {
            return (Waiting::Write, timeouts.write);
        }
        match &self.work {
            Work::Reading if self.protocol.is_reading_head() => (Waiting::Head, timeouts.head),
            Work::Reading => (Waiting::Idle, timeouts.keep_alive),
            Work::Draining { .. } => (Waiting::Drain, timeouts.body_gap),
            Work::Lingering { .. } | Work::Closing { .. } => (Waiting::Linger, LINGER_GAP),
            Work::Handling { .. } | Work::Sending { .. } => {
                match self.body.as_ref().is_some_and(|body| body.is_wanted()) {
                    true => {
                        let of_route = self.route_options().and_then(|route| route.body_gap);
                        (Waiting::Body, of_route.unwrap_or(timeouts.body_gap))
                    }
                    false => (Waiting::Handler, Duration::ZERO),
                }
            }
            Work::Upgraded { .. } => (Waiting::Handler, Duration::ZERO),
        }
    }

    /// What the route of the current request does otherwise than the server.
    pub(super) fn route_options(&self) -> Option<&RouteOptions> {
        match &self.work {
            Work::Handling { route, .. } | Work::Sending { route, .. } => {
                route.as_ref().map(|route| &route.options)
            }
            _ => None,
        }
    }

    /// When the body is too slow on average, unless more of it comes before. Only the time counts
    /// in which the handler waited for it: while it did something else, the peer had to.
    pub(super) fn body_rate_deadline(&self) -> Option<Instant> {
        let body = self.body.as_ref()?;
        let of_route = self.route_options().and_then(|route| route.body_bytes_per_second_min);
        let rate = of_route.unwrap_or(self.server.timeouts.body_bytes_per_second_min);
        let earned = Duration::from_secs(body.received.get().checked_div(rate.into())?);
        let granted = BODY_RATE_GRACE.saturating_add(earned);
        self.since.checked_add(granted.saturating_sub(body.waited.get()))
    }

    pub(super) fn linger_deadline(&self) -> Option<Instant> {
        match self.work {
            Work::Lingering { until } => Some(until),
            _ => None,
        }
    }

    pub(super) fn set_alarm(&mut self, deadline: Instant, cx: &mut Context<'_>) {
        match &mut self.alarm {
            Some(alarm) if alarm.ends_by(deadline) && !alarm.is_elapsed() => return,
            Some(alarm) => alarm.reset(deadline),
            None => self.alarm = Some(sleep_until(deadline)),
        }
        if let Some(alarm) = &mut self.alarm {
            // Not ready: its deadline lies ahead.
            let _ = Pin::new(alarm).poll(cx);
        }
    }

    /// The time is over. What has arrived without the selector having said so still counts: this
    /// process may have been stopped meanwhile.
    pub(super) fn expire(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Over> {
        let reads = matches!(self.waiting, Waiting::Idle | Waiting::Head | Waiting::Body);
        if reads && self.read_now()? {
            return Ok(Poll::Ready(()));
        }
        match self.waiting {
            Waiting::Head => {
                let timeout = ProtocolError::HeadTimeout;
                let error = self.protocol.give_up(timeout, &self.server.limits);
                let mut out = Vec::new();
                self.refuse(error, &mut out)?;
                self.write(&mut out)?;
                Ok(Poll::Ready(()))
            }
            Waiting::Body => {
                let error = ProtocolError::BodyTimeout;
                self.protocol.give_up(error, &self.server.limits);
                self.body_error = Some(error);
                if let Some(body) = &self.body {
                    body.end(Err(BodyError::Protocol(error)), cx.waker());
                }
                Ok(Poll::Ready(()))
            }
            Waiting::Write => {
                // What was written and not taken is given up, not kept by the system.
                self.stream().set_linger(Some(Duration::ZERO))?;
                Err(Over)
            }
            Waiting::Idle | Waiting::Drain | Waiting::Linger => Err(Over),
            Waiting::Nothing | Waiting::Handler => Ok(Poll::Pending),
        }
    }
}
