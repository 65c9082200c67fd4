//! From what was read to the handlers.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::Poll;

use brigade_runtime::task;

use crate::message::body::Body;
use crate::message::parts::PartsBox;
use crate::message::pipe::Pipe;
use crate::message::request::Request;
use crate::message::response::IntoResponse;
use crate::message::route::Route;
use crate::protocol::error::ProtocolError;
use crate::protocol::head::RequestHead;
use crate::protocol::server_connection::RequestEvent;
use crate::server::connection::{ConnectionTask, HAS_STREAM, PollContext, State, Step};
use crate::server::counters::Outcome;
use crate::transport::outgoing::WRITE_BATCH_BYTES;
use crate::transport::reading;

impl ConnectionTask {
    /// Reads the next request's head, and calls its handler.
    #[inline(always)]
    pub(super) fn read_request(&mut self, cx: &mut PollContext<'_, '_>) -> io::Result<Step> {
        if cx.out.len() + self.outgoing.len() >= WRITE_BATCH_BYTES {
            self.write(cx)?;
        }
        if self.outgoing.is_blocked() {
            return self.enter(State::Reading, Step::Wait);
        }
        if !self.stream.is_claimed() {
            return self.claim(cx);
        }
        let needs_data = self.protocol.needs_data();
        let may_proceed = match needs_data {
            true => self.stream().poll_readable(cx.task),
            false => task::poll_proceed(cx.task),
        };
        if may_proceed.is_pending() {
            return self.enter(State::Reading, Step::Wait);
        }
        let mut request = Request { parts: PartsBox::new() };
        let head = &mut request.parts.head;
        let event = match needs_data {
            false => self.protocol.next_head(head, &cx.server.limits),
            true => match self.read_head(head, cx) {
                Ok(event) => event,
                Err(error) => return self.end_reading(error, cx),
            },
        };
        match event {
            Ok(RequestEvent::Head) => self.begin_request(request, cx),
            Ok(RequestEvent::NeedData) => self.read_more(State::Reading, cx),
            Ok(RequestEvent::Closed) => self.enter(State::Closing { linger: false }, Step::Again),
            Err(error) => self.refuse(error, cx),
        }
    }

    /// Waits for the first bytes of the client, and claims the connection then. Until then another
    /// loop may take it over.
    #[cold]
    fn claim(&mut self, cx: &mut PollContext<'_, '_>) -> io::Result<Step> {
        match self.stream.poll_claim(cx.task) {
            Poll::Pending => self.enter(State::Reading, Step::Wait),
            Poll::Ready(()) if self.stream.is_claimed() => self.enter(State::Reading, Step::Again),
            Poll::Ready(()) => Ok(Step::Done),
        }
    }

    /// Reads once, and decodes a head from what was read. It is decoded into the request, since it
    /// is too large to be moved there.
    fn read_head(
        &mut self,
        head: &mut RequestHead,
        cx: &PollContext<'_, '_>,
    ) -> io::Result<Result<RequestEvent, ProtocolError>> {
        let stream = self.stream.claimed().expect(HAS_STREAM);
        let protocol = &mut self.protocol;
        let event = reading::try_read_with(stream, &cx.server.buffers, |bytes| {
            if bytes.is_empty() {
                protocol.receive_eof();
            }
            protocol.receive_head(bytes, head, &cx.server.limits)
        })?;
        Ok(event.unwrap_or(Ok(RequestEvent::NeedData)))
    }

    /// Reads once, if something is there, and stays in `state`.
    pub(super) fn read_more(
        &mut self,
        state: State,
        cx: &mut PollContext<'_, '_>,
    ) -> io::Result<Step> {
        match self.poll_read(cx) {
            Poll::Ready(Ok(_)) => self.enter(state, Step::Again),
            Poll::Ready(Err(error)) => self.end_reading(error, cx),
            Poll::Pending => self.enter(state, Step::Wait),
        }
    }

    /// Reads once, as soon as something is there. Returns how many bytes were read.
    pub(super) fn poll_read(&mut self, cx: &mut PollContext<'_, '_>) -> Poll<io::Result<usize>> {
        let stream = self.stream.claimed().expect(HAS_STREAM);
        reading::poll_read(stream, self.protocol.incoming(), &cx.server.buffers, cx.task)
    }

    /// Writes the responses to what was read before reading failed: it may be that the selector
    /// takes no more sockets, and that the peer is well.
    #[cold]
    pub(super) fn end_reading(
        &mut self,
        error: io::Error,
        cx: &mut PollContext<'_, '_>,
    ) -> io::Result<Step> {
        self.write(cx)?;
        Err(error)
    }

    /// Finds the handler of a request whose head was read, and calls it.
    #[inline(always)]
    fn begin_request(
        &mut self,
        mut request: Request,
        cx: &mut PollContext<'_, '_>,
    ) -> io::Result<Step> {
        self.deadline.stop();
        let found = cx.server.routes.find(&request);
        let route = found.route;
        if self.may_be_watched() {
            self.watch_request(&request, route.map(|route| &**route));
        }
        let framing = request.framing();
        let body = if framing.has_body() {
            Some(Rc::new(Pipe::new(framing.length())))
        } else {
            // A detached handler notices through it that its client has gone.
            detaches_on_disconnect(route.map(|route| &**route)).then(|| Rc::new(Pipe::ended()))
        };
        cx.server.counters.begin_request();
        self.request.outcome = Some(Outcome::NONE);
        self.request.body = body;
        if let Some(limit) = route.and_then(|route| route.options.body_bytes_max) {
            self.protocol.set_body_limit(limit);
        }
        let is_too_large = self.protocol.check_body_limit().is_err();
        let parts = &mut *request.parts;
        if let Some(pipe) = &self.request.body {
            parts.body = Body::incoming(pipe.clone());
            parts.pipe = Some(pipe.clone());
        }
        parts.peer = self.peer;
        if let Some(description) = self.stream().description() {
            description.describe(&mut parts.extensions);
        }
        cx.server.notebook.set(route.map(|route| route.note));
        let call = || catch_unwind(AssertUnwindSafe(|| found.call(request, is_too_large)));
        let step = match Self::within(self.watch.as_deref(), call) {
            Ok(running) => self.poll_handler(running, route.map(|route| &**route), cx),
            Err(payload) => self.respond_to_panic(payload, route.map(|route| &**route), cx),
        };
        if self.request.outcome.is_some() {
            self.request.route = route.cloned();
        }
        step
    }

    /// Sends an error response to a malformed request, and closes the connection.
    pub(super) fn refuse(
        &mut self,
        error: ProtocolError,
        cx: &mut PollContext<'_, '_>,
    ) -> io::Result<Step> {
        tracing::debug!(target: "brigade::http", peer = %self.peer, %error, "request refused");
        if !self.protocol.can_respond() || error == ProtocolError::UnexpectedEnd {
            return self.enter(State::Closing { linger: false }, Step::Again);
        }
        self.request.outcome = Some(Outcome::NONE);
        cx.server.counters.begin_refusal();
        match self.respond(&mut error.into_response(), None, cx)? {
            Step::Done => Ok(Step::Done),
            _ => self.enter(State::Closing { linger: true }, Step::Again),
        }
    }
}

/// Returns `true` if the handlers of `route` run on after their client has gone.
pub(super) fn detaches_on_disconnect(route: Option<&Route>) -> bool {
    route.is_some_and(|route| route.options.detaches_on_disconnect)
}
