//! One request and its response over a stream of HTTP/2.
//!
//! As over HTTP/1.1, the caller's task does the work while it awaits the head of the response or a
//! part of its body: each poll sends as much of the request's body as the server's windows allow,
//! then takes what has been received. What it takes opens the windows of the server, so a caller
//! that does not read stops it. The connection's task moves the frames.

use std::io::ErrorKind;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use brigade_runtime::task;
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::header::EXPECT;
use http::{HeaderMap, HeaderValue, Method, StatusCode, response};

use crate::client::exchange::{BodyPart, Exchange, Outline};
use crate::client::http2::connection::{Connection, SEND_BUFFER_BYTES_MAX};
use crate::client::http2::{errors, request, response as heads};
use crate::client::pool::InUse;
use crate::client::waits::{Waiting, Waits};
use crate::message::body::{Body, BodyKind};
use crate::message::body_error::BodyError;
use crate::message::client_error::ClientErrorKind;
use crate::message::part::Part;
use crate::message::upgrade::Upgraded;
use crate::protocol::body_encoder::BodyLength;
use crate::protocol::chunked::is_allowed_in_trailers;
use crate::protocol::error::{EncodeError, ProtocolError};
use crate::protocol::head::ResponseHead;
use crate::transport::http2::bodies::{poll_room, trailers_size};

/// How many informational responses may precede a response, as over HTTP/1.1.
const INFORMATIONAL_MAX: u8 = 100;

/// A request in progress on its stream. Dropping it resets the stream with `CANCEL`, unless both
/// sides have ended it.
pub(super) struct Http2Exchange {
    client: InUse,
    connection: Rc<Connection>,
    /// The number of the stream.
    stream: u32,
    outgoing: SendStream<Bytes>,
    upload: Upload,
    /// How much of the request's body has not been passed on, if its length is known.
    upload_left: Option<u64>,
    /// The upload waits for a 100 (RFC 9110 section 10.1.1).
    is_held: bool,
    incoming: Incoming,
    is_head_request: bool,
    /// Informational responses so far.
    informational: u8,
    /// The rest of the response's body, if its length is known.
    body_left: Option<u64>,
    /// How many bytes of the response's body were returned.
    body_bytes: u64,
    /// The server has said that it did not look at the request.
    is_refused: bool,
    /// The beginning of the wait whose timeout has passed. What has been received still counts.
    overdue_since: Option<Instant>,
    waits: Waits,
}

/// What is left to send of the request's body.
enum Upload {
    /// Nothing, or no more is to be sent.
    Done,
    /// The body, and what is left of its current part.
    Body { body: Body, part: Bytes, is_begun: bool },
}

/// What is received next.
enum Incoming {
    Head(ResponseFuture),
    Body(RecvStream),
}

/// What is found among what has been received.
enum Found {
    Head(ResponseHead),
    Informational,
}

impl Http2Exchange {
    /// Begins a request on `connection`, whose server allows another stream.
    pub(super) fn begin(
        client: InUse,
        connection: Rc<Connection>,
        mut sender: SendRequest<Bytes>,
        outline: &Outline,
        length: BodyLength,
    ) -> Result<Self, ClientErrorKind> {
        let converted = request::convert(outline, length).map_err(ClientErrorKind::Encode)?;
        let is_end = matches!(length, BodyLength::Empty | BodyLength::Known(0));
        // h2 has refused a header.
        let refused = |_| ClientErrorKind::Encode(EncodeError::Header);
        let sent = sender.send_request(converted.request, is_end);
        let (response, outgoing) = sent.map_err(refused)?;
        let stream = outgoing.stream_id().as_u32();
        connection.enter(stream);
        Ok(Self {
            client,
            connection,
            stream,
            outgoing,
            upload: Upload::Done,
            upload_left: converted.length,
            is_held: false,
            incoming: Incoming::Head(response),
            is_head_request: outline.method == Method::HEAD,
            informational: 0,
            body_left: None,
            body_bytes: 0,
            is_refused: false,
            overdue_since: None,
            waits: Waits::new(outline.deadline),
        })
    }

    fn has_head(&self) -> bool {
        matches!(self.incoming, Incoming::Body(_))
    }

    /// Returns the error of a request that has failed with `error`.
    fn fail(&mut self, error: h2::Error) -> ClientErrorKind {
        if let Some(end) = self.connection.end() {
            return end;
        }
        let (kind, is_refused) = errors::kind_of(error);
        self.is_refused = is_refused;
        match kind {
            // The server has closed the connection without saying why.
            ClientErrorKind::Broken(error)
                if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof) =>
            {
                match self.has_head() {
                    true => ClientErrorKind::Protocol(ProtocolError::UnexpectedEnd),
                    false => ClientErrorKind::NoResponse,
                }
            }
            kind => kind,
        }
    }
}

impl Exchange for Http2Exchange {
    fn begin(&mut self, outline: &Outline, body: Body) -> Result<(), ClientErrorKind> {
        if matches!(body.length(), BodyLength::Empty | BodyLength::Known(0)) {
            return Ok(());
        }
        let expected = outline.headers.value(&EXPECT).map(HeaderValue::as_bytes);
        self.is_held = expected.is_some_and(|what| what.eq_ignore_ascii_case(b"100-continue"));
        self.upload = Upload::Body { body, part: Bytes::new(), is_begun: false };
        Ok(())
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<ResponseHead, ClientErrorKind>> {
        loop {
            // First, so that the body of a request that has failed is not begun.
            match self.poll_found(cx) {
                Poll::Ready(found) => match found? {
                    Found::Head(head) => return Poll::Ready(Ok(head)),
                    Found::Informational => ready!(self.poll_budget(cx))?,
                },
                Poll::Pending => {
                    ready!(self.poll_sent(cx))?;
                    ready!(self.watch_clock(cx))?;
                }
            }
        }
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<BodyPart, ClientErrorKind>> {
        // Parts may always be there, so that the clock would not be looked at.
        self.check_total()?;
        loop {
            ready!(self.poll_sent(cx))?;
            match self.poll_part(cx) {
                Poll::Ready(part) => return Poll::Ready(part),
                Poll::Pending => ready!(self.watch_clock(cx))?,
            }
        }
    }

    fn is_unheard(&self, error: &ClientErrorKind) -> bool {
        let is_silent = !self.has_head() && self.informational == 0;
        is_silent && matches!(error, ClientErrorKind::Broken(_) | ClientErrorKind::NoResponse)
    }

    fn is_unsent(&self) -> bool {
        self.is_refused
    }

    fn take_unsent_body(&mut self) -> Option<Body> {
        match mem::replace(&mut self.upload, Upload::Done) {
            Upload::Body { body, is_begun: false, .. } => Some(body),
            _ => None,
        }
    }

    fn body_remaining(&self) -> Option<u64> {
        self.body_left
    }

    /// The stream is reset if the request was not sent completely.
    fn finish(self: Box<Self>) {}

    fn finish_bodiless(self: Box<Self>) {}

    fn abandon(self: Box<Self>) {}

    fn upgrade(self: Box<Self>) -> Option<Upgraded> {
        None
    }
}

/// # Sending
impl Http2Exchange {
    /// Sends as much of the request as can be sent. Pending if the budget is spent.
    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientErrorKind>> {
        while !self.is_held && self.send_more(cx)?.is_ready() {}
        self.poll_budget(cx)
    }

    /// Pending if the task's budget is spent.
    fn poll_budget(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientErrorKind>> {
        if task::poll_proceed(cx).is_pending() {
            // The task is woken already, whatever the clock says.
            return match self.watch_clock(cx) {
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                _ => Poll::Pending,
            };
        }
        Poll::Ready(Ok(()))
    }

    /// Sends a piece of the body, or its end. Pending if there is none, or no room for it.
    fn send_more(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, ClientErrorKind> {
        let Upload::Body { body, part, is_begun } = &mut self.upload else {
            return Ok(Poll::Pending);
        };
        if !part.is_empty() {
            return Ok(self.send_piece(cx));
        }
        let next = match body.poll_part(cx) {
            Poll::Ready(next) => next,
            Poll::Pending => return Ok(Poll::Pending),
        };
        *is_begun = true;
        match next {
            Some(Ok(Part::Data(data))) => {
                let length = data.len() as u64;
                if let Some(left) = self.upload_left {
                    let rest = left.checked_sub(length);
                    let too_long = || encode(EncodeError::BodyTooLong(length - left));
                    self.upload_left = Some(rest.ok_or_else(too_long)?);
                }
                *part = data;
            }
            Some(Ok(Part::Trailers(trailers))) => self.end_upload(Some(trailers))?,
            None => self.end_upload(None)?,
            Some(Err(BodyError::Length(error))) => return Err(encode(error)),
            Some(Err(error)) => return Err(ClientErrorKind::RequestBody(error.into_cause())),
        }
        Ok(Poll::Ready(()))
    }

    /// Sends as much of the current part as the server has room for.
    fn send_piece(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Upload::Body { body, part, .. } = &mut self.upload else { return Poll::Pending };
        // No more than h2 would queue, since it is taken from the window that all streams share.
        let wanted = part.len().min(SEND_BUFFER_BYTES_MAX);
        let Some(room) = ready!(poll_room(&mut self.outgoing, wanted, cx)) else {
            // The stream has ended, which the response shows.
            self.upload = Upload::Done;
            return Poll::Ready(());
        };
        let piece = part.split_to(part.len().min(room));
        // Of other bodies the next part has to be seen: it may be an error, or trailers.
        let is_end = matches!(body.kind, BodyKind::Empty) && !matches!(self.upload_left, Some(1..));
        let is_last = part.is_empty() && is_end;
        let length = piece.len();
        if self.outgoing.send_data(piece, is_last).is_err() || is_last {
            self.upload = Upload::Done;
        }
        self.waits.note_progress(Waiting::Write, length, self.client.options.body_rate);
        Poll::Ready(())
    }

    fn end_upload(&mut self, trailers: Option<HeaderMap>) -> Result<(), ClientErrorKind> {
        if let Some(left @ 1..) = self.upload_left {
            return Err(encode(EncodeError::BodyTooShort(left)));
        }
        // Fails if the stream has ended, which the response shows.
        let _ = match trailers {
            Some(trailers) if !trailers.keys().all(is_allowed_in_trailers) => {
                return Err(encode(EncodeError::Trailer));
            }
            Some(trailers) => self.outgoing.send_trailers(trailers),
            None => self.outgoing.send_data(Bytes::new(), true),
        };
        self.upload = Upload::Done;
        Ok(())
    }
}

const fn encode(error: EncodeError) -> ClientErrorKind {
    ClientErrorKind::Encode(error)
}

/// # Receiving
impl Http2Exchange {
    /// Ready with the next head.
    fn poll_found(&mut self, cx: &mut Context<'_>) -> Poll<Result<Found, ClientErrorKind>> {
        let Incoming::Head(response) = &mut self.incoming else { return Poll::Pending };
        if let Poll::Ready(Some(informational)) = response.poll_informational(cx) {
            let informational = informational.map_err(|error| self.fail(error))?;
            self.note_informational(informational.status())?;
            return Poll::Ready(Ok(Found::Informational));
        }
        let response = match ready!(Pin::new(response).poll(cx)) {
            Ok(response) => response,
            Err(error) => return Poll::Ready(Err(self.fail(error))),
        };
        let (parts, incoming) = response.into_parts();
        Poll::Ready(self.begin_response(&parts, incoming).map(Found::Head))
    }

    fn note_informational(&mut self, status: StatusCode) -> Result<(), ClientErrorKind> {
        let error = match status {
            // HTTP/2 does not have this status (RFC 9113 section 8.6).
            StatusCode::SWITCHING_PROTOCOLS => ProtocolError::UnexpectedResponse,
            _ if self.informational == INFORMATIONAL_MAX => ProtocolError::TooManyInformational,
            _ => {
                self.informational += 1;
                self.is_held &= status != StatusCode::CONTINUE;
                return Ok(());
            }
        };
        Err(ClientErrorKind::Protocol(error))
    }

    /// Records that the head of the response has arrived. Sends no more of the request if the
    /// server refuses it, or responds before it has asked for the body.
    fn begin_response(
        &mut self,
        parts: &response::Parts,
        incoming: RecvStream,
    ) -> Result<ResponseHead, ClientErrorKind> {
        let limits = &self.client.options.limits;
        let head = heads::convert(parts, incoming.is_end_stream(), self.is_head_request, limits);
        let head = head.map_err(ClientErrorKind::Protocol)?;
        self.body_left = head.framing().length();
        self.incoming = Incoming::Body(incoming);
        self.waits.stop();
        let is_refusal = head.status().is_client_error() || head.status().is_server_error();
        if self.is_held || is_refusal {
            self.is_held = false;
            self.upload = Upload::Done;
            // Otherwise it would take from the window that all streams share.
            self.outgoing.reserve_capacity(0);
        }
        Ok(head)
    }

    /// Ready with the next part of the response's body.
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<BodyPart, ClientErrorKind>> {
        let Incoming::Body(incoming) = &mut self.incoming else { return Poll::Pending };
        let limit = self.client.options.body_bytes_max;
        if self.body_bytes.saturating_add(self.body_left.unwrap_or(0)) > limit {
            return Poll::Ready(Err(ClientErrorKind::TooLarge(limit)));
        }
        let data = loop {
            match ready!(incoming.poll_data(cx)) {
                Some(Ok(data)) if data.is_empty() => {}
                Some(Ok(data)) => break data,
                Some(Err(error)) => return Poll::Ready(Err(self.fail(error))),
                None => return self.poll_trailers(cx).map_ok(BodyPart::End),
            }
        };
        // Fails only if more is released than was received.
        let _ = incoming.flow_control().release_capacity(data.len());
        let length = data.len() as u64;
        self.body_bytes += length;
        self.body_left = self.body_left.map(|left| left.saturating_sub(length));
        self.waits.note_progress(Waiting::Body, data.len(), self.client.options.body_rate);
        if self.body_bytes > limit {
            return Poll::Ready(Err(ClientErrorKind::TooLarge(limit)));
        }
        Poll::Ready(Ok(BodyPart::Data(data)))
    }

    fn poll_trailers(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Box<HeaderMap>>, ClientErrorKind>> {
        let Incoming::Body(incoming) = &mut self.incoming else { return Poll::Pending };
        let trailers = match ready!(incoming.poll_trailers(cx)) {
            Ok(trailers) => trailers,
            Err(error) => return Poll::Ready(Err(self.fail(error))),
        };
        let limits = &self.client.options.limits;
        let error = match &trailers {
            Some(trailers) if trailers_size(trailers) > limits.trailer_bytes_max.into() => {
                ProtocolError::TrailersTooLarge
            }
            Some(trailers) if trailers.len() > limits.headers_count_max.into() => {
                ProtocolError::TooManyHeaders
            }
            _ => return Poll::Ready(Ok(trailers.map(Box::new))),
        };
        Poll::Ready(Err(ClientErrorKind::Protocol(error)))
    }
}

/// # Waiting
impl Http2Exchange {
    /// Records what is waited for, and sets the timer. Ready when the timeout passes, with an error
    /// unless the exchange can continue.
    fn watch_clock(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientErrorKind>> {
        ready!(self.waits.poll_passed(self.awaited(), &self.client.options, cx));
        self.check_total()?;
        match self.waits.waiting() {
            Waiting::Nothing => return Poll::Ready(Ok(())),
            Waiting::Continue => {
                self.is_held = false;
                return Poll::Ready(Ok(()));
            }
            Waiting::Write | Waiting::Head | Waiting::Body => {}
        }
        let since = Some(self.waits.since());
        if mem::replace(&mut self.overdue_since, since) != since {
            // What the connection's task has not read yet still counts: this process may have been
            // suspended while it arrived.
            self.connection.wake();
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.connection.suspect(self.waits.since());
        Poll::Ready(self.waits.check_passed(&self.client.options))
    }

    /// Returns an error if the request has taken too long in total.
    fn check_total(&self) -> Result<(), ClientErrorKind> {
        let checked = self.waits.check_total();
        if checked.is_err() && self.waits.waiting() != Waiting::Nothing {
            self.connection.suspect(self.waits.since());
        }
        checked
    }

    fn awaited(&self) -> Waiting {
        match &self.upload {
            Upload::Body { part, .. } if !part.is_empty() => Waiting::Write,
            Upload::Body { .. } if self.is_held => Waiting::Continue,
            Upload::Body { .. } => Waiting::Nothing,
            Upload::Done if self.has_head() => Waiting::Body,
            Upload::Done => Waiting::Head,
        }
    }
}

impl std::fmt::Debug for Http2Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http2Exchange")
            .field("connection", &self.connection)
            .field("waiting", &self.waits.waiting())
            .finish_non_exhaustive()
    }
}

impl Drop for Http2Exchange {
    fn drop(&mut self) {
        self.connection.leave(self.stream);
        if !self.connection.is_idle() {
            return;
        }
        if self.client.options.idle_per_host_max == 0 {
            self.connection.retire();
        }
        self.client.close_surplus();
    }
}
