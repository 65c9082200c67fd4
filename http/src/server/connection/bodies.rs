//! The bodies of requests: fed to the handler, or read and dropped.

use std::task::Context;

use crate::message::body_error::BodyError;
use crate::protocol::body_decoder::BodyEvent;
use crate::server::connection::{Budget, ConnectionTask, Over, Step, Waiting, Work};

impl ConnectionTask {
    /// Gives the handler what it wants of the request's body, as far as it is there.
    pub(super) fn feed_body(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        budget: &mut Budget,
    ) -> Result<Step, Over> {
        let Some(body) = self.body.clone() else { return Ok(Step::Wait) };
        body.watch(cx.waker());
        if !body.is_wanted() {
            return Ok(Step::Wait);
        }
        if budget.parts == 0 {
            return Ok(Step::Yield);
        }
        budget.parts -= 1;
        loop {
            match self.protocol.next_body(&self.server.limits) {
                Ok(BodyEvent::Data(part)) => {
                    self.begin_to_wait(Waiting::Nothing);
                    body.push(part, cx.waker());
                    return Ok(Step::Again);
                }
                Ok(BodyEvent::End(trailers)) => {
                    body.end(Ok(trailers), cx.waker());
                    return Ok(Step::Again);
                }
                Ok(BodyEvent::NeedData) => {
                    self.protocol.send_continue(out);
                    match self.read(cx) {
                        Ok(true) => {}
                        Ok(false) => return Ok(Step::Wait),
                        Err(over) => return self.end_reading(over, out),
                    }
                }
                Err(error) => {
                    self.body_error = Some(error);
                    body.end(Err(BodyError::Protocol(error)), cx.waker());
                    return Ok(Step::Again);
                }
            }
        }
    }

    /// Reads and drops the rest of a body that the handler did not want.
    pub(super) fn drain(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        budget: &mut Budget,
    ) -> Result<Step, Over> {
        let Work::Draining { left } = &mut self.work else { return Ok(Step::Again) };
        if budget.parts == 0 {
            return Ok(Step::Yield);
        }
        match self.protocol.next_body(&self.server.limits) {
            Ok(BodyEvent::Data(part)) => {
                budget.parts -= 1;
                match left.checked_sub(part.len() as u64) {
                    Some(rest) => *left = rest,
                    None => self.work = Work::Closing { linger: true },
                }
                Ok(Step::Again)
            }
            Ok(BodyEvent::NeedData) => self.read_more(cx, out),
            Err(_) => self.go_on(Work::Closing { linger: true }),
            Ok(BodyEvent::End(_)) => self.go_on(Work::Reading),
        }
    }
}
