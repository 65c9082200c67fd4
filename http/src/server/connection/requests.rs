//! From what was read to the handlers.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::Context;

use crate::message::parts::PartsBox;
use crate::message::pipe::Pipe;
use crate::message::request::Request;
use crate::message::request_body::RequestBody;
use crate::message::response::IntoResponse;
use crate::protocol::error::ProtocolError;
use crate::protocol::head::RequestHead;
use crate::protocol::server_connection::{Connection, Event};
use crate::server::connection::{
    Budget, ConnectionTask, Over, Step, Waiting, Work, detaches_on_disconnect,
};
use crate::server::counters::Outcome;

/// Answers are written when so much of them has gathered.
const WRITE_BATCH_BYTES: usize = 64 * 1024;
/// A body of which so much is still to come, or which does not say how much, is read into memory of
/// its own: to set that aside costs less than to copy so much.
const LARGE_BODY_BYTES: u64 = 16 * 1024;

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
        let needs_data = self.protocol.needs_data();
        if needs_data && self.stream().poll_readable(cx).is_pending() {
            return Ok(Step::Wait);
        }
        let mut request = Request { parts: PartsBox::new() };
        let head = &mut request.parts.head;
        let event = match needs_data {
            false => self.protocol.next_event_into(head, &self.server.limits),
            true => match self.read_event(head) {
                Ok(event) => event,
                Err(over) => return self.end_reading(over, out),
            },
        };
        match event {
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

    /// Reads, and what comes of it; a request goes to where its head is to be.
    fn read_event(&mut self, head: &mut RequestHead) -> Result<Event<()>, Over> {
        let server = self.server.clone();
        let take = |protocol: &mut Connection, bytes: &[u8]| {
            protocol.receive_into(bytes, head, &server.limits)
        };
        Ok(self.read_with(take)?.unwrap_or(Event::NeedData))
    }

    pub(super) fn read_more(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Step, Over> {
        match self.read(cx) {
            Ok(true) => Ok(Step::Again),
            Ok(false) => Ok(Step::Wait),
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

    /// Reads what is there, as far as the selector knows of it. Returns `true` if that was
    /// something, or the end.
    pub(super) fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, Over> {
        while self.stream().poll_readable(cx).is_ready() {
            if self.read_now()? {
                return Ok(true);
            }
            // The selector was wrong, and is asked again.
        }
        Ok(false)
    }

    /// Reads what is there, whatever the selector knows of it.
    pub(super) fn read_now(&mut self) -> Result<bool, Over> {
        match self.protocol.body_remaining() {
            Some(0..LARGE_BODY_BYTES) => Ok(self.read_with(Connection::receive)?.is_some()),
            _ => self.read_large(),
        }
    }

    /// Reads a part of a large body into memory of its own, in which it goes on to the handler.
    fn read_large(&mut self) -> Result<bool, Over> {
        let mut data = Vec::with_capacity(self.server.limits.read_ahead_bytes_max.max(1));
        let read = self.stream().try_read_buf(&mut data);
        if self.has_read(read)?.is_none() {
            return Ok(false);
        }
        self.protocol.receive_owned(data);
        Ok(true)
    }

    /// Has `take` take what is there, or nothing at the end.
    #[inline(always)]
    fn read_with<R>(
        &mut self,
        take: impl FnOnce(&mut Connection, &[u8]) -> R,
    ) -> Result<Option<R>, Over> {
        let server = self.server.clone();
        let mut buffer = server.read_buffer.borrow_mut();
        let read = self.stream().try_read(&mut buffer);
        let read = self.has_read(read)?;
        Ok(read.map(|read| take(&mut self.protocol, &buffer[..read])))
    }

    /// What came of an attempt to read; nothing if nothing was there.
    #[inline(always)]
    fn has_read(&mut self, read: io::Result<usize>) -> Result<Option<usize>, Over> {
        match read {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Ok(0) => self.protocol.receive_eof(),
            _ => {}
        }
        Ok(Some(read?))
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
        let route = found.route;
        if self.may_be_watched() {
            self.watch_request(&request, route.map(|route| &**route));
        }
        self.body = if request.framing().has_body() {
            Some(Rc::new(Pipe::new()))
        } else {
            // Through which a handler that runs to its end hears of its client's end.
            detaches_on_disconnect(route).then(|| Rc::new(Pipe::ended()))
        };
        if let Some(limit) = route.and_then(|route| route.options.body_bytes_max) {
            self.protocol.set_body_limit(limit);
        }
        let is_too_large = self.protocol.check_body_limit().is_err();
        let parts = &mut *request.parts;
        parts.body = RequestBody::new(self.body.clone());
        parts.peer = self.peer;
        self.server.notebook.set(route.map(|route| route.note));
        let watch = self.watch.as_deref();
        let call = || catch_unwind(AssertUnwindSafe(|| found.call(request, is_too_large)));
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
