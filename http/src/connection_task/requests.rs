//! From what was read to the handlers.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::Context;

use super::{Budget, ConnectionTask, Over, Read, Step, Waiting, Work, runs_to_end};
use crate::body::{Pipe, RequestBody};
use crate::connection::Event;
use crate::counters::Outcome;
use crate::error::ProtocolError;
use crate::parts::PartsBox;
use crate::request::Request;
use crate::response::IntoResponse;

/// Answers are written when so much of them has gathered.
const WRITE_BATCH_BYTES: usize = 64 * 1024;

impl ConnectionTask {
    pub(super) fn next_request(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        budget: &mut Budget,
    ) -> Result<Step, Over> {
        if out.len() + self.outgoing.len() >= WRITE_BATCH_BYTES {
            self.write(out)?;
        }
        if self.outgoing.is_blocked() {
            return Ok(Step::Wait);
        }
        if budget.requests == 0 {
            return Ok(Step::Yield);
        }
        if self.protocol.needs_data() {
            return self.read_more(cx, out);
        }
        let mut request = Request { parts: PartsBox::new() };
        match self.protocol.next_event_into(&mut request.parts.head, &self.server.limits) {
            Event::Request(()) => {
                budget.requests -= 1;
                self.begin(request, cx, out, budget)
            }
            Event::NeedData => self.read_more(cx, out),
            Event::Error(error) => self.refuse(error, out),
            Event::Closed => self.go_on(Work::Closing { linger: false }),
            Event::Paused | Event::Body(_) | Event::BodyEnd(_) => {
                unreachable!("between requests nothing of a request is left")
            }
        }
    }

    /// Inlined, since each request ends here, and this would be left outside of `poll`.
    #[inline(always)]
    pub(super) fn read_more(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Step, Over> {
        match self.read(cx) {
            Ok(Read::Some) => Ok(Step::Again),
            Ok(Read::Nothing) => Ok(Step::Wait),
            Err(over) => self.end_reading(over, out),
        }
    }

    /// Sends what was answered before the reading failed: it may be that the selector takes no more
    /// sockets, and that the peer is well.
    #[cold]
    pub(super) fn end_reading(&mut self, over: Over, out: &mut Vec<u8>) -> Result<Step, Over> {
        self.write(out)?;
        Err(over)
    }

    /// Reads what is there, as far as the selector knows of it.
    pub(super) fn read(&mut self, cx: &mut Context<'_>) -> Result<Read, Over> {
        if self.stream().poll_readable(cx).is_pending() {
            return Ok(Read::Nothing);
        }
        match self.read_now()? {
            Read::Some => Ok(Read::Some),
            // The selector was wrong, and is to be asked again.
            Read::Nothing if self.stream().poll_readable(cx).is_pending() => Ok(Read::Nothing),
            Read::Nothing => Ok(Read::Some),
        }
    }

    pub(super) fn read_now(&mut self) -> Result<Read, Over> {
        let server = self.server.clone();
        let mut buffer = server.read_buffer.borrow_mut();
        match self.stream().try_read(&mut buffer) {
            Ok(0) => self.protocol.receive_eof(),
            Ok(read) => self.protocol.receive(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Read::Nothing),
            Err(error) => return Err(error.into()),
        }
        Ok(Read::Some)
    }

    fn begin(
        &mut self,
        mut request: Request,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        budget: &mut Budget,
    ) -> Result<Step, Over> {
        self.waiting = Waiting::Nothing;
        self.begin_request();
        self.body_error = None;
        let server = self.server.clone();
        let found = server.routes.find(&request);
        let route = found.route.clone();
        if self.may_be_watched() {
            self.watch_request(&request, route.as_deref());
        }
        self.body = if request.framing().has_body() {
            Some(Rc::new(Pipe::new()))
        } else {
            // Through which a handler that runs to its end hears of its client's end.
            runs_to_end(route.as_ref()).then(|| Rc::new(Pipe::ended()))
        };
        if let Some(limit) = route.as_ref().and_then(|route| route.options.body_bytes_max) {
            self.protocol.set_body_limit(limit);
        }
        if let Err(error) = self.protocol.check_body_limit() {
            return self.answer(&mut error.into_response(), None, out);
        }
        let parts = &mut *request.parts;
        parts.body = RequestBody::new(self.body.clone());
        parts.peer = self.peer;
        self.server.notebook.set(route.as_ref().map(|route| route.note));
        let watch = self.watch.as_deref();
        let call = || catch_unwind(AssertUnwindSafe(|| found.call(request)));
        match Self::within(watch, call) {
            Ok(running) => self.poll_handler(running, route, cx, out, budget),
            Err(payload) => self.answer_panic(&*payload, route, out),
        }
    }

    /// Answers a request that is none, and closes.
    pub(super) fn refuse(&mut self, error: ProtocolError, out: &mut Vec<u8>) -> Result<Step, Over> {
        tracing::debug!(target: "brigade::http", peer = %self.peer, %error, "refused a request");
        if !self.protocol.can_answer() || error == ProtocolError::UnexpectedEnd {
            return self.go_on(Work::Closing { linger: false });
        }
        self.in_flight = Some(Outcome::NONE);
        self.server.counters.begin_refusal();
        self.answer(&mut error.into_response(), None, out)?;
        self.go_on(Work::Closing { linger: true })
    }

    pub(super) fn go_on(&mut self, work: Work) -> Result<Step, Over> {
        self.work = work;
        Ok(Step::Again)
    }
}
