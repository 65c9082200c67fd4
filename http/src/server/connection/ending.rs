//! The end of a connection.

use std::io;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use brigade_runtime::time;

use crate::server::connection::{ConnectionTask, PollContext, State, Step};
use crate::transport::reading;

/// How long the bytes of a peer that was sent its last response are read, in all. Otherwise they
/// would reset the connection, and the peer might lose that response (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(30);

impl ConnectionTask {
    /// Writes what is left, then closes the sending side.
    pub(super) fn close(&mut self, linger: bool, cx: &mut PollContext<'_, '_>) -> io::Result<Step> {
        self.write(cx)?;
        if self.outgoing.is_blocked() {
            return self.enter(State::Closing { linger }, Step::Wait);
        }
        if !linger {
            return Ok(Step::Done);
        }
        self.stream().shutdown(Shutdown::Write)?;
        self.enter(State::Lingering { until: time::now() + LINGER }, Step::Again)
    }

    /// Reads and discards what the peer still sends, until it closes.
    pub(super) fn linger(
        &mut self,
        until: Instant,
        cx: &mut PollContext<'_, '_>,
    ) -> io::Result<Step> {
        let state = State::Lingering { until };
        if !cx.budget.take_part() {
            return self.enter(state, Step::Yield);
        }
        if self.stream().poll_readable(cx.task).is_pending() {
            return self.enter(state, Step::Wait);
        }
        match reading::try_read_with(self.stream(), &cx.server.buffers, <[u8]>::len)? {
            Some(0) => Ok(Step::Done),
            Some(_) => {
                self.deadline.stop();
                self.enter(state, Step::Again)
            }
            None => self.enter(state, Step::Again),
        }
    }
}
