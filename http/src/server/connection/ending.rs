//! The end of a connection.

use std::io;
use std::task::Poll;
use std::time::{Duration, Instant};

use brigade_runtime::time;

use crate::server::connection::{ConnectionTask, PollContext, State, Step};
use crate::transport::reading;

/// How long the bytes of a peer that was sent its last response are read, in all. Otherwise they
/// would reset the connection, and the peer might lose that response (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(30);
/// How many of these bytes are read. A peer that sends more does not look at responses.
const LINGER_BYTES_MAX: u32 = 16 * 1024 * 1024;

impl ConnectionTask {
    /// Writes what is left, then closes the sending side.
    pub(super) fn close(&mut self, linger: bool, cx: &mut PollContext<'_, '_>) -> io::Result<Step> {
        self.write(cx)?;
        if self.outgoing.is_blocked() {
            return self.enter(State::Closing { linger }, Step::Wait);
        }
        // Dropping a socket closes it; other streams may have something to say at the end.
        if !linger && self.stream().socket().is_some() {
            return Ok(Step::Done);
        }
        match self.stream().poll_close(cx.task) {
            Poll::Pending => return self.enter(State::Closing { linger }, Step::Wait),
            Poll::Ready(closed) => closed?,
        }
        if !linger {
            return Ok(Step::Done);
        }
        let until = time::now() + LINGER;
        self.enter(State::Lingering { until, bytes_left: LINGER_BYTES_MAX }, Step::Again)
    }

    /// Reads and discards what the peer still sends, until it closes, or has sent too much.
    pub(super) fn linger(
        &mut self,
        until: Instant,
        bytes_left: u32,
        cx: &mut PollContext<'_, '_>,
    ) -> io::Result<Step> {
        let state = |bytes_left| State::Lingering { until, bytes_left };
        if self.stream().poll_readable(cx.task).is_pending() {
            return self.enter(state(bytes_left), Step::Wait);
        }
        match reading::try_read_with(self.stream(), &cx.server.buffers, <[u8]>::len)? {
            Some(0) => Ok(Step::Done),
            Some(count) => match bytes_left.checked_sub(count.try_into().unwrap_or(u32::MAX)) {
                Some(bytes_left) => {
                    self.deadline.stop();
                    self.enter(state(bytes_left), Step::Again)
                }
                None => Ok(Step::Done),
            },
            None => self.enter(state(bytes_left), Step::Again),
        }
    }
}
