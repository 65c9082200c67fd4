//! The body of a response, as the client makes room for it.

use std::mem;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use brigade_runtime::task;
use bytes::Bytes;
use h2::{Reason, SendStream};
use http::HeaderMap;

use crate::message::body::Body;
use crate::message::body_error::BodyError;
use crate::message::escaped::Escaped;
use crate::message::log_limit::limited_log;
use crate::message::observer::Observer;
use crate::message::part::Part;
use crate::protocol::chunked::is_allowed_in_trailers;
use crate::protocol::error::EncodeError;
use crate::server::http2::incoming::BodyLink;
use crate::server::http2::shared::Stream;
use crate::transport::deadline::Deadline;
use crate::transport::http2::bodies::poll_room;
use crate::transport::pace::Pace;

/// How much of a part is asked room for at once: a frame. The window that all streams of a
/// connection share is granted to one after the other, and with larger pieces each would wait for
/// longer.
const PIECE_BYTES_MAX: usize = 16 * 1024;

/// A response whose head was sent.
pub(super) struct Sending {
    outgoing: SendStream<Bytes>,
    body: Body,
    /// What is left of the current part.
    part: Bytes,
    observers: Vec<Observer>,
    /// `true` while the client has to make room.
    deadline: Deadline<bool>,
    pace: Pace,
}

/// A response that cannot be completed.
enum Failure {
    /// The client has reset the stream, or the connection has ended.
    Left,
    /// The client takes too little.
    Slow,
    /// The body has failed.
    Body(BodyError),
}

impl Sending {
    pub(super) fn new(outgoing: SendStream<Bytes>, body: Body, observers: Vec<Observer>) -> Self {
        let (part, deadline, pace) = (Bytes::new(), Deadline::new(), Pace::default());
        Self { outgoing, body, part, observers, deadline, pace }
    }

    /// Passes on as much of the body as there is room for. Ready when it has ended, in whatever
    /// way.
    pub(super) fn poll(
        &mut self,
        stream: &Stream,
        link: Option<&BodyLink>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        match ready!(self.poll_sent(stream, cx)) {
            Ok(()) => complete(mem::take(&mut self.observers), stream),
            Err(Failure::Left) => {}
            Err(Failure::Slow) => {
                let peer = stream.connection().peer;
                tracing::debug!(target: "brigade::http", %peer, "gave up a response");
                self.outgoing.send_reset(Reason::CANCEL);
            }
            Err(Failure::Body(error)) => {
                log(&error, stream, link);
                self.outgoing.send_reset(Reason::INTERNAL_ERROR);
            }
        }
        Poll::Ready(())
    }

    fn poll_sent(&mut self, stream: &Stream, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        loop {
            if !self.part.is_empty() {
                if ready!(self.poll_piece(stream, cx))? {
                    return Poll::Ready(Ok(()));
                }
                // A client may make room all the time.
                ready!(task::poll_proceed(cx));
                continue;
            }
            let Poll::Ready(part) = stream.within(|| self.body.poll_part(cx)) else {
                return self.poll_left(cx).map(Err);
            };
            return Poll::Ready(match part {
                Some(Ok(Part::Data(data))) => {
                    self.part = data;
                    continue;
                }
                Some(Ok(Part::Trailers(trailers))) => self.send_trailers(trailers, cx),
                Some(Err(error)) => Err(Failure::Body(error)),
                None => self.outgoing.send_data(Bytes::new(), true).map_err(|_| Failure::Left),
            });
        }
    }

    fn send_trailers(&mut self, trailers: HeaderMap, cx: &mut Context<'_>) -> Result<(), Failure> {
        let is_allowed = trailers.keys().all(is_allowed_in_trailers);
        if is_allowed && self.outgoing.send_trailers(trailers).is_ok() {
            return Ok(());
        }
        // h2 refuses some more of them.
        match self.poll_left(cx) {
            Poll::Ready(left) => Err(left),
            Poll::Pending => Err(Failure::Body(EncodeError::Trailer.into())),
        }
    }

    /// Passes on a piece of the current part. Ready with `true` if the body ends with it.
    fn poll_piece(&mut self, stream: &Stream, cx: &mut Context<'_>) -> Poll<Result<bool, Failure>> {
        let room = ready!(self.poll_room(stream, cx))?;
        let piece = self.part.split_to(self.part.len().min(room));
        let (length, is_last) = (piece.len(), self.part.is_empty() && self.body.is_end());
        self.outgoing.send_data(piece, is_last).map_err(|_| Failure::Left)?;
        self.observers.iter_mut().for_each(|observer| observer.count(length as u64));
        if self.pace.is_behind() {
            let is_waiting = self.deadline.waiting();
            let waited = if is_waiting { self.deadline.waited() } else { Duration::ZERO };
            self.pace.note(waited, length, rate(stream));
            self.deadline.stop();
        }
        Poll::Ready(Ok(is_last))
    }

    /// Ready with how many bytes of the current part may be passed on.
    fn poll_room(&mut self, stream: &Stream, cx: &mut Context<'_>) -> Poll<Result<usize, Failure>> {
        let wanted = self.part.len().min(PIECE_BYTES_MAX);
        if let Poll::Ready(room) = poll_room(&mut self.outgoing, wanted, cx) {
            return Poll::Ready(room.ok_or(Failure::Left));
        }
        ready!(self.poll_slow(stream, cx));
        Poll::Ready(Err(Failure::Slow))
    }

    /// Ready when the client has gone.
    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        self.outgoing.poll_reset(cx).map(|_| Failure::Left)
    }

    /// Ready when the client takes too little of the response.
    fn poll_slow(&mut self, stream: &Stream, cx: &mut Context<'_>) -> Poll<()> {
        if !self.deadline.waiting() {
            self.pace.begin();
            self.deadline.start(true);
        }
        let latest = self.pace.latest(self.deadline.since(), rate(stream));
        self.deadline.poll_passed_anywhere(Some(stream.context().timeouts.write), latest, cx)
    }
}

/// Returns how many bytes a second the client has to take.
fn rate(stream: &Stream) -> u32 {
    let of_route = stream.route.as_ref().and_then(|of| of.options.write_bytes_per_second_min);
    of_route.unwrap_or(stream.context().timeouts.write_bytes_per_second_min)
}

/// Reports that a whole response was passed on.
pub(super) fn complete(observers: Vec<Observer>, stream: &Stream) {
    if !observers.is_empty() {
        stream.within(|| observers.into_iter().for_each(Observer::complete));
    }
}

/// Logs the error that ends a body.
#[cold]
fn log(error: &BodyError, stream: &Stream, link: Option<&BodyLink>) {
    let is_of_client = link.is_some_and(|link| link.failure().is_some());
    let peer = stream.connection().peer;
    if !is_of_client {
        stream.context().counters.note_failed_body();
    }
    stream.within(|| {
        let error = Escaped(error);
        match is_of_client {
            true => tracing::debug!(target: "brigade::http", %peer, %error, "body failed"),
            false => limited_log!(error, { %peer, %error }, "body failed"),
        }
    });
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.observers.drain(..).for_each(|observer| observer.abandon(0));
    }
}
