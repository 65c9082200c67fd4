//! From the handlers to what is written.

use std::any::Any;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::{Poll, Waker};

use brigade_runtime::server::Connections;
use brigade_runtime::{panic_message, task, time};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::message::body::{Body, BodyKind, Upgrade};
use crate::message::body_error::BodyError;
use crate::message::escaped::Escaped;
use crate::message::guarded::drop_guarded;
use crate::message::log_limit::limited_log;
use crate::message::part::{OutgoingPart, PartStream};
use crate::message::response::{IntoResponse, Response};
use crate::message::route::Route;
use crate::message::upgrade::Upgraded;
use crate::protocol::error::EncodeError;
use crate::routing::endpoint::Running;
use crate::server::connection::upgraded::UpgradedConnection;
use crate::server::connection::{ConnectionTask, PollContext, State, Step};
use crate::server::counters::Outcome;
use crate::transport::outgoing::UNCOPIED_BYTES_MIN;

/// The bytes of a file that the system copies to the socket in the time of a unit of the budget.
const BYTES_OF_A_UNIT: usize = 64 * 1024;

impl ConnectionTask {
    /// Polls a handler that was polled before.
    pub(super) fn resume_handler(
        &mut self,
        running: Running,
        cx: &mut PollContext<'_, '_>,
    ) -> io::Result<Step> {
        let route = self.request.route.clone();
        cx.server.notebook.set(route.as_ref().map(|route| route.note));
        self.poll_handler(running, route.as_deref(), cx)
    }

    /// Polls a handler, and sends its response when it is ready. The notebook has the handler's
    /// note already.
    pub(super) fn poll_handler(
        &mut self,
        mut running: Running,
        route: Option<&Route>,
        cx: &mut PollContext<'_, '_>,
    ) -> io::Result<Step> {
        let mut response = None;
        let poll = || {
            catch_unwind(AssertUnwindSafe(|| {
                let polled = running.poll_into(cx.task, &mut response);
                if polled.is_ready() {
                    running.end();
                }
                polled
            }))
        };
        match Self::within(self.watch.as_deref(), poll) {
            Ok(Poll::Ready(())) => {
                let response = response.as_mut().expect("a handler that is ready has responded");
                self.respond(response, route, cx)
            }
            Ok(Poll::Pending) => {
                self.state = State::Handling(running);
                self.feed_body(cx)
            }
            Err(payload) => {
                Self::within(self.watch.as_deref(), || drop_guarded((running, response)));
                self.respond_to_panic(payload, route, cx)
            }
        }
    }

    /// Logs the panic of a handler, sends a 500, and closes the connection.
    #[cold]
    pub(super) fn respond_to_panic(
        &mut self,
        payload: Box<dyn Any + Send>,
        route: Option<&Route>,
        cx: &mut PollContext<'_, '_>,
    ) -> io::Result<Step> {
        let pattern = route.map_or("(no route)", |route| &route.pattern);
        let task = task::current().map_or_else(String::new, |task| task.label.to_string());
        Self::within(self.watch.as_deref(), || {
            let (peer, panic) = (self.peer, Escaped(panic_message(&*payload)));
            limited_log!(
                error,
                { route = pattern },
                "the handler of {pattern} panicked in {task}, serving {peer}: {panic}"
            );
            drop_guarded(payload);
        });
        self.protocol.close_after_response();
        self.respond(&mut Response::plain(StatusCode::INTERNAL_SERVER_ERROR, ""), None, cx)
    }

    /// Sends `response`, or what can be sent of it now. Without a `route`, the server's rate holds.
    pub(super) fn respond(
        &mut self,
        response: &mut Response,
        route: Option<&Route>,
        cx: &mut PollContext<'_, '_>,
    ) -> io::Result<Step> {
        if matches!(response.body.kind, BodyKind::Observed(_)) {
            self.observe(response);
        }
        // Two conditions, so that the status is not looked at for nothing: it was just written.
        if let Some(error) = self.request.body_error
            && response.status.is_success()
        {
            *response = error.into_response();
        }
        if cx.server.is_draining() || self.leaves_too_much_unread(cx) {
            self.protocol.close_after_response();
        }
        if let Some(watch) = &mut self.watch {
            watch.respond(response);
        }
        let has_unread = self.has_unread();
        let is_complete = match self.send_response(response, cx) {
            Ok(is_complete) => is_complete,
            Err(error) => match self.send_error_instead(error, response, cx) {
                Ok(is_complete) => is_complete,
                Err(_) => return Ok(Step::Done),
            },
        };
        if is_complete {
            return self.end_response(has_unread, cx);
        }
        match mem::take(&mut response.body.kind) {
            BodyKind::Stream(stream, _) if self.protocol.sends_body() => {
                self.enter(State::Sending(stream), Step::Again)
            }
            BodyKind::Upgrade(upgrade) if response.status == StatusCode::SWITCHING_PROTOCOLS => {
                self.upgrade(upgrade, route, cx)
            }
            BodyKind::Full(bytes) => self.send_full(bytes, route, cx),
            BodyKind::Error(error) => self.send_full(error.text, route, cx),
            kind @ (BodyKind::Incoming(_) | BodyKind::Failed) if self.protocol.sends_body() => {
                let stream = Body { kind }.into_part_stream();
                self.enter(State::Sending(stream), Step::Again)
            }
            _ => self.send_end(None, cx),
        }
    }

    /// Sends a body that is complete and large, after its head.
    fn send_full(
        &mut self,
        bytes: Bytes,
        route: Option<&Route>,
        cx: &mut PollContext<'_, '_>,
    ) -> io::Result<Step> {
        let body = self.protocol.outgoing_body();
        if self.outgoing.send_part(body, bytes, &mut cx.out).is_err() {
            return Ok(Step::Done);
        }
        let rate = route.and_then(|route| route.options.write_bytes_per_second_min);
        self.outgoing.set_rate(rate);
        self.send_end(None, cx)
    }

    /// Sends the head of a response, and its body if that is complete and small. Returns `true` if
    /// the response is complete.
    #[inline(always)]
    fn send_response(
        &mut self,
        response: &Response,
        cx: &mut PollContext<'_, '_>,
    ) -> Result<bool, EncodeError> {
        let date = cx.server.date();
        let (date, out) = (date.text(), &mut cx.out);
        let Response { status, headers, body } = response;
        self.request.outcome = Outcome::of(*status);
        match body.as_bytes() {
            Some(bytes) if bytes.len() < UNCOPIED_BYTES_MIN => {
                self.protocol.send_whole(*status, headers, bytes, date, out).map(|()| true)
            }
            // Not a final response; a 101 is one only with the protocol that follows it.
            _ if status.is_informational() && !response.is_upgrade() => {
                Err(EncodeError::Status(*status))
            }
            _ => {
                let length = body.length();
                self.protocol.send_head(*status, headers, length, date, out).map(|()| false)
            }
        }
    }

    /// Sends a 500 in place of a response that cannot be sent.
    #[cold]
    fn send_error_instead(
        &mut self,
        error: EncodeError,
        response: &mut Response,
        cx: &mut PollContext<'_, '_>,
    ) -> Result<bool, EncodeError> {
        if response.is_upgrade() && error == EncodeError::Status(response.status) {
            tracing::debug!(target: "brigade::http", peer = %self.peer, "refused an upgrade");
            response.refuse_upgrade();
        } else {
            Self::within(self.watch.as_deref(), || {
                limited_log!(error, { %error }, "replaced a response that cannot be sent by a 500");
            });
            *response = Response::plain(StatusCode::INTERNAL_SERVER_ERROR, "");
        }
        if let Some(watch) = &mut self.watch {
            watch.respond(response);
        }
        self.send_response(response, cx)
    }

    /// Hands the connection over to another protocol, after a 101.
    fn upgrade(
        &mut self,
        upgrade: Upgrade,
        route: Option<&Route>,
        cx: &mut PollContext<'_, '_>,
    ) -> io::Result<Step> {
        self.write(cx)?;
        if self.outgoing.is_blocked() {
            // A peer that does not even take a head is not fit for another protocol.
            return Ok(Step::Done);
        }
        if let Some(watch) = &mut self.watch {
            watch.observed.end(0);
        }
        let early = self.protocol.upgrade().freeze();
        let (stream, guard) = self.stream.take().expect("a connection is upgraded once");
        self.count_request_end();
        let idle = self.server.timeouts.upgraded_idle;
        let begin = || upgrade(Upgraded::new(early, stream, idle));
        let protocol = Self::within(self.watch.as_deref(), begin);
        let connections = guard.as_ref().and_then(|_| Connections::current());
        let upgraded = UpgradedConnection {
            server: self.server.clone(),
            peer: self.peer,
            since: time::now(),
            protocol: Some(protocol),
            body: self.request.body.take(),
            watch: self.watch.take(),
            note: route.map(|route| route.note),
            _guard: guard,
        };
        match connections {
            Some(connections) => {
                connections.spawn_successor(upgraded);
                Ok(Step::Done)
            }
            None => self.enter(State::Upgraded(Box::new(upgraded)), Step::Again),
        }
    }

    /// Returns `true` if more of the request's body is unread, and will stay so, than is worth
    /// reading.
    fn leaves_too_much_unread(&self, cx: &PollContext<'_, '_>) -> bool {
        let is_wanted = self.request.body.as_ref().is_some_and(|body| Rc::strong_count(body) > 1);
        let left = self.protocol.body_remaining().unwrap_or(0);
        !is_wanted && left > cx.server.limits.discard_bytes_max
    }

    /// Sends the next part of a streamed body. After a failure the state is still `Sending`, so
    /// that the stream is dropped in the span of its request.
    pub(super) fn send_body(
        &mut self,
        mut stream: PartStream,
        cx: &mut PollContext<'_, '_>,
    ) -> io::Result<Step> {
        let queued = cx.out.len() + self.outgoing.len();
        if queued >= cx.server.limits.write_queue_bytes_max
            && let Err(error) = self.write(cx)
        {
            self.state = State::Sending(stream);
            return Err(error);
        }
        if self.outgoing.is_blocked() {
            return self.enter(State::Sending(stream), Step::Wait);
        }
        if task::poll_proceed(cx.task).is_pending() {
            return self.enter(State::Sending(stream), Step::Wait);
        }
        cx.server.notebook.set(self.route().map(|route| route.note));
        // Only to a socket can the system copy from a file.
        let is_socket = self.stream().socket().is_some();
        let polled = Self::within(self.watch.as_deref(), || match is_socket {
            true => stream.as_mut().poll_outgoing(cx.task),
            false => stream.as_mut().poll_next(cx.task).map_ok(OutgoingPart::from),
        });
        match polled {
            Poll::Pending => {
                self.state = State::Sending(stream);
                self.feed_body(cx)
            }
            Poll::Ready(None) => self.send_end(None, cx),
            Poll::Ready(Some(Ok(OutgoingPart::Trailers(trailers)))) => {
                self.send_end(Some(&trailers), cx)
            }
            Poll::Ready(Some(Ok(part))) => {
                self.state = State::Sending(stream);
                let (body, length) = (self.protocol.outgoing_body(), part.len());
                // What was counted above is one read. A larger part takes more of the task's time.
                let units = length / BYTES_OF_A_UNIT;
                (1..units).take_while(|_| task::poll_proceed(cx.task).is_ready()).for_each(drop);
                let sent = match part {
                    OutgoingPart::Data(data) => self.outgoing.send_part(body, data, &mut cx.out),
                    OutgoingPart::File(part) => self.outgoing.send_file(body, part, &mut cx.out),
                    OutgoingPart::Trailers(_) => Ok(()),
                };
                match sent {
                    Ok(()) => {
                        if let Some(watch) = &mut self.watch {
                            watch.observed.count(length, cx.out.len() + self.outgoing.len());
                        }
                        Ok(Step::Again)
                    }
                    Err(error) => self.fail_midway(&error, cx),
                }
            }
            Poll::Ready(Some(Err(error))) => {
                self.state = State::Sending(stream);
                self.fail_midway(&*error, cx)
            }
        }
    }

    /// Ends the connection in the middle of a body, so that the client notices.
    #[cold]
    fn fail_midway(
        &mut self,
        error: &dyn std::error::Error,
        cx: &mut PollContext<'_, '_>,
    ) -> io::Result<Step> {
        // A handler may send on a body that it receives, with the errors of the client.
        if self.request.body_error.is_some() {
            Self::within(self.watch.as_deref(), || {
                let (peer, error) = (self.peer, Escaped(error));
                tracing::debug!(target: "brigade::http", %peer, %error, "body failed");
            });
        } else {
            self.note_failed_body(error);
        }
        self.write(cx)?;
        Ok(Step::Done)
    }

    /// Logs and counts the error that cuts a response off.
    #[cold]
    pub(super) fn note_failed_body(&self, error: &dyn std::error::Error) {
        self.server.counters.note_failed_body();
        Self::within(self.watch.as_deref(), || {
            let (peer, error) = (self.peer, Escaped(error));
            limited_log!(error, { %peer, %error }, "body failed");
        });
    }

    #[inline(always)]
    fn send_end(
        &mut self,
        trailers: Option<&HeaderMap>,
        cx: &mut PollContext<'_, '_>,
    ) -> io::Result<Step> {
        let has_unread = self.has_unread();
        match self.protocol.send_end(trailers, &mut cx.out) {
            Ok(()) => self.end_response(has_unread, cx),
            Err(error) => self.fail_midway(&error, cx),
        }
    }

    /// Returns `true` if anything was received, or is known to follow, that will not have been read
    /// when the response is complete.
    fn has_unread(&self) -> bool {
        self.protocol.is_reading_body() || self.protocol.buffered() > 0
    }

    /// Keeps of the route of a request that has ended what holds for the bytes that are left.
    #[cold]
    fn leave_route(&mut self) {
        if let Some(route) = self.request.route.take() {
            self.outgoing.set_rate(route.options.write_bytes_per_second_min);
        }
    }

    /// Ends a request whose response is complete. `has_unread` was determined before the response
    /// was.
    #[inline(always)]
    fn end_response(&mut self, has_unread: bool, cx: &PollContext<'_, '_>) -> io::Result<Step> {
        self.count_request_end();
        let has_body_error = self.request.body_error.take().is_some();
        if self.request.route.is_some() {
            self.leave_route();
        }
        if let Some(body) = self.request.body.take() {
            body.end(Err(BodyError::Gone), Waker::noop());
            body.leave();
        }
        if let Some(watch) = &mut self.watch {
            watch.end_request(cx.out.len() + self.outgoing.len());
        }
        if !self.protocol.keep_alive() {
            let linger = has_unread || has_body_error || !self.protocol.is_last_request();
            return self.enter(State::Closing { linger }, Step::Again);
        }
        if !self.protocol.is_reading_body() {
            return self.enter(State::Reading, Step::Again);
        }
        let bytes_left = cx.server.limits.discard_bytes_max;
        match self.protocol.body_remaining() {
            Some(remaining) if remaining > bytes_left => {
                self.enter(State::Closing { linger: true }, Step::Again)
            }
            _ => self.enter(State::Discarding { bytes_left }, Step::Again),
        }
    }
}
