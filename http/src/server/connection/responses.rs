//! From the handlers to what is written.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use brigade_runtime::task;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::message::body::{BodyKind, Part, Upgrade};
use crate::message::body_error::BodyError;
use crate::message::escaped::Escaped;
use crate::message::log_limit::limited_log;
use crate::message::response::{IntoResponse, Response};
use crate::message::route::Route;
use crate::message::upgrade::Upgraded;
use crate::protocol::error::EncodeError;
use crate::routing::handler::Running;
use crate::server::connection::{Budget, ConnectionTask, Over, Step, Work};
use crate::server::counters::Outcome;

/// A body, or a part of one, from this length on is written from where it is, uncopied.
const UNCOPIED_BYTES_MIN: usize = 16 * 1024;

impl ConnectionTask {
    pub(super) fn handle(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        budget: &mut Budget,
    ) -> Result<Step, Over> {
        match mem::replace(&mut self.work, Work::Reading) {
            Work::Handling { running, route } => {
                self.server.notebook.set(route.as_ref().map(|route| route.note));
                self.poll_handler(running, route.as_ref(), cx, out, budget)
            }
            other => self.go_on(other),
        }
    }

    /// Asks the handler for its answer; while it has to wait for something, it waits in `work`.
    /// The notebook says already whose handler it is.
    pub(super) fn poll_handler(
        &mut self,
        mut running: Running,
        route: Option<&Rc<Route>>,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        budget: &mut Budget,
    ) -> Result<Step, Over> {
        let mut response = None;
        let poll = || catch_unwind(AssertUnwindSafe(|| running.poll_into(cx, &mut response)));
        match Self::within(self.watch.as_deref(), poll) {
            Ok(Poll::Ready(())) => {
                drop(running);
                let response = response.as_mut().expect("a call that is ready has left its answer");
                self.answer(response, route, out)
            }
            Ok(Poll::Pending) => {
                self.work = Work::Handling { running, route: route.cloned() };
                self.feed_body(cx, out, budget)
            }
            Err(payload) => self.answer_panic(&*payload, route, out),
        }
    }

    pub(super) fn answer_panic(
        &mut self,
        payload: &(dyn std::any::Any + Send),
        route: Option<&Rc<Route>>,
        out: &mut Vec<u8>,
    ) -> Result<Step, Over> {
        let message = payload.downcast_ref::<&str>().copied();
        let message = message.or_else(|| payload.downcast_ref().map(String::as_str));
        let pattern = route.map_or("(no route)", |route| &route.pattern);
        let task = task::current().map_or_else(String::new, |task| task.label.to_string());
        Self::within(self.watch.as_deref(), || {
            let panic = Escaped(message.unwrap_or("(not a string)"));
            let peer = self.peer;
            limited_log!(
                error,
                { route = pattern },
                "the handler of {pattern} panicked in {task}, serving {peer}: {panic}"
            );
        });
        self.protocol.close_after_answer();
        let mut response = Response::plain(StatusCode::INTERNAL_SERVER_ERROR, "");
        self.answer(&mut response, None, out)
    }

    pub(super) fn answer(
        &mut self,
        response: &mut Response,
        route: Option<&Rc<Route>>,
        out: &mut Vec<u8>,
    ) -> Result<Step, Over> {
        // Two conditions, so that the status is not looked at for nothing: it was just written.
        if let Some(error) = self.body_error
            && response.status.is_success()
        {
            *response = error.into_response();
        }
        if self.server.is_draining() || self.leaves_too_much_unread() {
            self.protocol.close_after_answer();
        }
        if let Some(watch) = &self.watch {
            watch.answer(response);
        }
        let unread = self.has_unread();
        let is_complete = match self.begin_answer(response, out) {
            Ok(is_complete) => is_complete,
            Err(error) => match self.answer_otherwise(error, response, out) {
                Ok(is_complete) => is_complete,
                Err(_) => return self.cut_off(),
            },
        };
        if is_complete {
            return self.go_on_after(unread);
        }
        match mem::take(&mut response.body.kind) {
            BodyKind::Empty => unreachable!("an answer without a body was complete"),
            BodyKind::Full(bytes) => {
                // A large one, since it is not sent yet.
                if self.send_part(bytes, out)?.is_err() {
                    return self.cut_off();
                }
                self.finish(None, out)
            }
            BodyKind::Stream(..) if !self.protocol.sends_body() => self.finish(None, out),
            BodyKind::Stream(stream, _) => {
                self.go_on(Work::Sending { stream, route: route.cloned() })
            }
            BodyKind::Upgrade(_) if response.status != StatusCode::SWITCHING_PROTOCOLS => {
                self.finish(None, out)
            }
            BodyKind::Upgrade(upgrade) => self.upgrade(upgrade, out),
        }
    }

    /// Sends the head of an answer, and all of it if the body is there and is to be copied.
    /// Returns `true` if the answer is complete.
    #[inline(always)]
    fn begin_answer(
        &mut self,
        response: &Response,
        out: &mut Vec<u8>,
    ) -> Result<bool, EncodeError> {
        let date = self.server.date();
        let Response { status, headers, body } = response;
        self.in_flight = Outcome::of(*status);
        match body.as_bytes() {
            Some(bytes) if bytes.len() < UNCOPIED_BYTES_MIN => {
                self.protocol.send_whole(*status, headers, bytes, date.text(), out).map(|()| true)
            }
            // It would be no answer; a 101 is one only with what goes on after it.
            _ if status.is_informational() && !response.is_upgrade() => {
                Err(EncodeError::Status(*status))
            }
            _ => {
                let length = body.length();
                self.protocol.send_head(*status, headers, length, date.text(), out).map(|()| false)
            }
        }
    }

    /// Sends a 500 in place of an answer that cannot be sent.
    #[cold]
    fn answer_otherwise(
        &mut self,
        error: EncodeError,
        response: &mut Response,
        out: &mut Vec<u8>,
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
        if let Some(watch) = &self.watch {
            watch.answer(response);
        }
        self.begin_answer(response, out)
    }

    fn upgrade(&mut self, upgrade: Upgrade, out: &mut Vec<u8>) -> Result<Step, Over> {
        self.write(out)?;
        if self.outgoing.is_blocked() {
            // A peer that does not even take this much is none to go on with.
            return self.cut_off();
        }
        let early = self.protocol.upgrade().freeze();
        let stream = self.stream.take().expect("a connection is upgraded once");
        self.end_request();
        let begin = || upgrade(Upgraded::new(early, stream));
        let protocol = Self::within(self.watch.as_deref(), begin);
        self.go_on(Work::Upgraded { protocol })
    }

    /// Whether more of the request's body is left, wanted by nobody, than is worth to read.
    pub(super) fn leaves_too_much_unread(&self) -> bool {
        let is_wanted = self.body.as_ref().is_some_and(|body| Rc::strong_count(body) > 1);
        let left = self.protocol.body_remaining().unwrap_or(0);
        !is_wanted && left > self.server.limits.discard_bytes_max
    }

    #[inline(always)]
    pub(super) fn send_part(
        &mut self,
        part: Bytes,
        out: &mut Vec<u8>,
    ) -> Result<Result<(), EncodeError>, Over> {
        if part.len() < UNCOPIED_BYTES_MIN {
            return Ok(self.protocol.send_data(&part, out));
        }
        match self.protocol.begin_data(part.len(), out) {
            Ok(true) => {
                self.outgoing.push(out, part);
                self.protocol.end_data(out);
                Ok(Ok(()))
            }
            Ok(false) => Ok(Ok(())),
            Err(error) => Ok(Err(error)),
        }
    }

    pub(super) fn send_body(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        budget: &mut Budget,
    ) -> Result<Step, Over> {
        let gathered = out.len() + self.outgoing.len();
        if gathered >= self.server.limits.write_queue_bytes_max {
            self.write(out)?;
        }
        if self.outgoing.is_blocked() {
            return Ok(Step::Wait);
        }
        if budget.parts == 0 {
            return Ok(Step::Yield);
        }
        let Work::Sending { stream, route } = &mut self.work else { return Ok(Step::Again) };
        self.server.notebook.set(route.as_ref().map(|route| route.note));
        match Self::within(self.watch.as_deref(), || stream.as_mut().poll_next(cx)) {
            Poll::Pending => self.feed_body(cx, out, budget),
            Poll::Ready(None) => self.finish(None, out),
            Poll::Ready(Some(Ok(Part::Trailers(trailers)))) => self.finish(Some(&trailers), out),
            Poll::Ready(Some(Ok(Part::Data(part)))) => {
                budget.parts -= 1;
                match self.send_part(part, out)? {
                    Ok(()) => Ok(Step::Again),
                    Err(error) => self.fail_midway(&error, out),
                }
            }
            Poll::Ready(Some(Err(error))) => self.fail_midway(&*error, out),
        }
    }

    /// The body cannot be sent to its end: the connection ends so that the client notices.
    pub(super) fn fail_midway(
        &mut self,
        error: &dyn std::error::Error,
        out: &mut Vec<u8>,
    ) -> Result<Step, Over> {
        // A handler may send on a body that it receives, with the errors of the client.
        let is_of_client = self.body_error.is_some();
        Self::within(self.watch.as_deref(), || {
            let (peer, error) = (self.peer, Escaped(error));
            match is_of_client {
                true => tracing::debug!(target: "brigade::http", %peer, %error, "body failed"),
                false => limited_log!(error, { %peer, %error }, "body failed"),
            }
        });
        self.write(out)?;
        self.cut_off()
    }

    pub(super) fn cut_off(&self) -> Result<Step, Over> {
        if self.protocol.ends_body_by_closing() {
            // An orderly close would look like the end of the body.
            self.stream().set_linger(Some(Duration::ZERO))?;
        }
        Err(Over)
    }

    #[inline(always)]
    pub(super) fn finish(
        &mut self,
        trailers: Option<&HeaderMap>,
        out: &mut Vec<u8>,
    ) -> Result<Step, Over> {
        let unread = self.has_unread();
        if let Err(error) = self.protocol.send_end(trailers, out) {
            return self.fail_midway(&error, out);
        }
        self.go_on_after(unread)
    }

    /// Whether anything was received, or is known to come, that will not have been read when the
    /// answer is complete.
    fn has_unread(&self) -> bool {
        self.protocol.is_reading_body() || self.protocol.buffered() > 0
    }

    /// The answer is complete; `unread` is what [`has_unread`](Self::has_unread) said before.
    #[inline(always)]
    fn go_on_after(&mut self, unread: bool) -> Result<Step, Over> {
        self.end_request();
        if let Some(body) = self.body.take() {
            body.end(Err(BodyError::Gone), std::task::Waker::noop());
            body.leave();
        }
        if let Some(watch) = &mut self.watch {
            watch.end_request();
        }
        if !self.protocol.keep_alive() {
            let linger = unread || self.body_error.is_some() || !self.protocol.is_last_request();
            return self.go_on(Work::Closing { linger });
        }
        if !self.protocol.is_reading_body() {
            // It is, but after a body that was streamed.
            if !matches!(self.work, Work::Reading) {
                self.work = Work::Reading;
            }
            return Ok(Step::Again);
        }
        let left = self.server.limits.discard_bytes_max;
        match self.protocol.body_remaining() {
            Some(remaining) if remaining > left => self.go_on(Work::Closing { linger: true }),
            _ => self.go_on(Work::Draining { left }),
        }
    }
}
