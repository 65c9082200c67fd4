//! The end of a connection.

use std::io;
use std::net::Shutdown;
use std::task::Context;
use std::time::Duration;

use brigade_runtime::time;

use crate::server::connection::{Budget, ConnectionTask, Over, Step, Waiting, Work};

/// How long a peer that was sent its last answer is listened to, in all, so that what it still
/// sends does not reset the connection and destroy that answer.
const LINGER: Duration = Duration::from_secs(30);

impl ConnectionTask {
    pub(super) fn close(&mut self, out: &mut Vec<u8>, linger: bool) -> Result<Step, Over> {
        self.write(out)?;
        if self.outgoing.is_blocked() {
            return Ok(Step::Wait);
        }
        if !linger {
            return Err(Over);
        }
        self.stream().shutdown(Shutdown::Write)?;
        self.go_on(Work::Lingering { until: time::now() + LINGER })
    }

    /// Reads and drops what the peer still sends, until it closes.
    pub(super) fn linger(
        &mut self,
        cx: &mut Context<'_>,
        budget: &mut Budget,
    ) -> Result<Step, Over> {
        if budget.parts == 0 {
            return Ok(Step::Yield);
        }
        budget.parts -= 1;
        if self.stream().poll_readable(cx).is_pending() {
            return Ok(Step::Wait);
        }
        let server = self.server.clone();
        let mut buffer = server.read_buffer.borrow_mut();
        match self.stream().try_read(&mut buffer) {
            Ok(0) => Err(Over),
            Ok(_) => {
                self.waiting = Waiting::Nothing;
                Ok(Step::Again)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Step::Again),
            Err(error) => Err(error.into()),
        }
    }
}
