//! The bodies of requests: passed to the handler, or discarded.

use std::io;
use std::task::Poll;

use brigade_runtime::task;

use crate::message::body_error::BodyError;
use crate::protocol::body_decoder::BodyEvent;
use crate::server::connection::{ConnectionTask, PollContext, State, Step, Waiting};

impl ConnectionTask {
    /// Passes a part of the request's body to the handler, if the handler waits for one.
    pub(super) fn feed_body(&mut self, cx: &mut PollContext<'_, '_>) -> io::Result<Step> {
        let Some(body) = self.request.body.clone() else { return Ok(Step::Wait) };
        body.watch(cx.task.waker());
        if !body.is_wanted() {
            return Ok(Step::Wait);
        }
        if task::poll_proceed(cx.task).is_pending() {
            return Ok(Step::Wait);
        }
        loop {
            match self.protocol.next_body(&cx.server.limits) {
                Ok(BodyEvent::Data(part)) => {
                    self.start_waiting(Waiting::Nothing);
                    body.push(part, cx.task.waker());
                    return Ok(Step::Again);
                }
                Ok(BodyEvent::End(trailers)) => {
                    body.end(Ok(trailers), cx.task.waker());
                    return Ok(Step::Again);
                }
                Ok(BodyEvent::NeedData) => {
                    self.protocol.send_continue(&mut cx.out);
                    match self.poll_read(cx) {
                        Poll::Ready(Ok(_)) => {}
                        Poll::Ready(Err(error)) => return self.end_reading(error, cx),
                        Poll::Pending => return Ok(Step::Wait),
                    }
                }
                Err(error) => {
                    self.request.body_error = Some(error);
                    body.end(Err(BodyError::Protocol(error)), cx.task.waker());
                    return Ok(Step::Again);
                }
            }
        }
    }

    /// Reads and discards a part of the body that the handler did not read.
    pub(super) fn discard_body(
        &mut self,
        bytes_left: u64,
        cx: &mut PollContext<'_, '_>,
    ) -> io::Result<Step> {
        if task::poll_proceed(cx.task).is_pending() {
            return self.enter(State::Discarding { bytes_left }, Step::Wait);
        }
        match self.protocol.next_body(&cx.server.limits) {
            Ok(BodyEvent::Data(part)) => match bytes_left.checked_sub(part.len() as u64) {
                Some(bytes_left) => self.enter(State::Discarding { bytes_left }, Step::Again),
                None => self.enter(State::Closing { linger: true }, Step::Again),
            },
            Ok(BodyEvent::End(_)) => self.enter(State::Reading, Step::Again),
            Ok(BodyEvent::NeedData) => self.read_more(State::Discarding { bytes_left }, cx),
            Err(_) => self.enter(State::Closing { linger: true }, Step::Again),
        }
    }
}
