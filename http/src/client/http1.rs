//! One request and its response over HTTP/1.1: moves bytes between a connection, the protocol and
//! the caller.
//!
//! There is no background task: the caller's task does the work while it awaits the head of the
//! response or a part of its body. Each poll sends as much of the request's body as the socket
//! accepts, then reads until there is something to return. So both directions progress at once,
//! and both stop while the caller awaits nothing.

use std::io;
use std::mem;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use brigade_runtime::task;
use bytes::Bytes;
use http::header::{EXPECT, UPGRADE};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::client::exchange::{BodyPart, Exchange, Outline};
use crate::client::pool::{InUse, Link};
use crate::client::waits::{Waiting, Waits};
use crate::message::body::{Body, BodyKind};
use crate::message::client_error::ClientErrorKind;
use crate::message::part::{Part, PartStream};
use crate::message::upgrade::Upgraded;
use crate::protocol::body_decoder::BodyEvent;
use crate::protocol::body_encoder::BodyLength;
use crate::protocol::client_connection::ResponseEvent;
use crate::protocol::error::ProtocolError;
use crate::protocol::head::ResponseHead;
use crate::protocol::limits::DISCARD_BYTES_MAX;
use crate::transport::outgoing::{Outgoing, WRITE_BATCH_BYTES};

/// A request in progress on its connection.
pub(super) struct Http1Exchange {
    client: InUse,
    link: Link,
    outgoing: Outgoing,
    upload: Upload,
    /// The request offers another protocol.
    asks_upgrade: bool,
    /// The upload waits for a 100 (RFC 9110 section 10.1.1).
    is_held: bool,
    /// The request was not sent completely, and will not be.
    is_cut: bool,
    /// Why writing failed. What the server sent before may still be read.
    write_error: Option<io::Error>,
    /// The system has accepted a part of the request.
    is_sent: bool,
    /// A part of the response has been received.
    has_received: bool,
    /// The head of the response has been received.
    has_head: bool,
    waits: Waits,
}

/// What is left to send of the request's body, besides what is in `outgoing`.
#[derive(Default)]
enum Upload {
    #[default]
    Done,
    Full(Bytes),
    /// First polled after a part of the request has been sent, so one that nothing was sent of is
    /// untouched.
    Stream(PartStream, BodyLength),
}

/// The result of decoding the bytes received so far.
enum Decoded<T> {
    Found(T),
    /// An informational response: more may be decoded at once.
    Informational,
    NeedData,
}

impl Http1Exchange {
    pub(super) fn new(client: InUse, link: Link, total: Option<(Duration, Instant)>) -> Self {
        Self {
            client,
            link,
            outgoing: Outgoing::default(),
            upload: Upload::Done,
            asks_upgrade: false,
            is_held: false,
            is_cut: false,
            write_error: None,
            is_sent: false,
            has_received: false,
            has_head: false,
            waits: Waits::new(total),
        }
    }

    fn is_sending(&self) -> bool {
        !self.is_cut && (!matches!(self.upload, Upload::Done) || !self.outgoing.is_empty())
    }
}

impl Exchange for Http1Exchange {
    fn begin(&mut self, outline: &Outline, body: Body) -> Result<(), ClientErrorKind> {
        let mut out = self.client.buffers.take_write_buffer();
        let begun = self.send_head(outline, body, &mut out);
        if begun.is_ok() {
            self.write(&mut out);
        }
        self.client.buffers.give_write_buffer(out);
        begun
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<ResponseHead, ClientErrorKind>> {
        self.poll_decoded(cx, Self::decode_head)
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<BodyPart, ClientErrorKind>> {
        // Parts may always be there, so that the clock would not be looked at.
        self.waits.check_total()?;
        self.poll_decoded(cx, Self::decode_body)
    }

    fn is_unheard(&self, error: &ClientErrorKind) -> bool {
        !self.has_received
            && matches!(error, ClientErrorKind::Broken(_) | ClientErrorKind::NoResponse)
    }

    fn is_unsent(&self) -> bool {
        !self.is_sent
    }

    fn take_unsent_body(&mut self) -> Option<Body> {
        match mem::take(&mut self.upload) {
            Upload::Stream(stream, length) if !self.is_sent => {
                Some(Body { kind: BodyKind::Stream(stream, length) })
            }
            _ => None,
        }
    }

    fn body_remaining(&self) -> Option<u64> {
        self.link.protocol.body_remaining()
    }

    fn finish(self: Box<Self>) {
        let Self { client, link, outgoing, is_cut, .. } = *self;
        if link.protocol.is_idle() && outgoing.is_empty() && !is_cut {
            client.put(link);
        }
    }

    fn finish_bodiless(mut self: Box<Self>) {
        let event = self.link.protocol.next_body(&self.client.options.limits);
        if matches!(event, Ok(BodyEvent::End(_))) {
            self.finish();
        }
    }

    fn abandon(self: Box<Self>) {
        let protocol = &self.link.protocol;
        let is_short = protocol.body_remaining().is_none_or(|left| left <= DISCARD_BYTES_MAX);
        if self.has_head && protocol.keep_alive() && is_short && !self.is_sending() && !self.is_cut
        {
            self.client.put(self.link);
        }
    }

    fn upgrade(mut self: Box<Self>) -> Option<Upgraded> {
        let early = self.link.protocol.upgrade().freeze();
        let idle_timeout = self.client.options.upgraded_idle_timeout;
        Some(Upgraded::new(early, self.link.stream, idle_timeout))
    }
}

/// # Sending
impl Http1Exchange {
    fn send_head(
        &mut self,
        outline: &Outline,
        body: Body,
        out: &mut Vec<u8>,
    ) -> Result<(), ClientErrorKind> {
        let Outline { method, target, headers, .. } = outline;
        let (path, authority, length) = (&target.path, &target.authority, body.length());
        let protocol = &mut self.link.protocol;
        let sent = protocol.send_head(method, path, authority, headers, length, out);
        sent.map_err(ClientErrorKind::Encode)?;
        protocol.set_body_limit(self.client.options.body_bytes_max);
        self.asks_upgrade = headers.contains(&UPGRADE);
        self.upload = match body.kind {
            BodyKind::Empty | BodyKind::Trailers(_) | BodyKind::Upgrade(_) => {
                return self.end_upload(None, out);
            }
            BodyKind::Full(bytes) => Upload::Full(bytes),
            BodyKind::Error(error) => Upload::Full(error.text),
            kind => Upload::Stream(Body { kind }.into_part_stream(), length),
        };
        let expected = headers.value(&EXPECT).map(HeaderValue::as_bytes);
        self.is_held = expected.is_some_and(|what| what.eq_ignore_ascii_case(b"100-continue"));
        if let (Upload::Full(bytes), false) = (&mut self.upload, self.is_held) {
            let bytes = mem::take(bytes);
            self.send_part(bytes, out)?;
            self.end_upload(None, out)?;
        }
        Ok(())
    }

    /// Sends the rest of the request, until the socket accepts no more or the budget is spent.
    fn push(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Result<(), ClientErrorKind> {
        loop {
            let queued = out.len() + self.outgoing.len();
            let is_full = out.len() >= WRITE_BATCH_BYTES
                || queued >= self.client.options.limits.write_queue_bytes_max;
            let may_gather = !is_full && !self.outgoing.is_blocked() && !self.is_held;
            if may_gather && self.next_part(cx, out)?.is_ready() {
                continue;
            }
            self.write(out);
            if self.outgoing.is_empty() {
                if !is_full {
                    return Ok(());
                }
            } else if self.link.stream.poll_writable(cx).is_pending() {
                return Ok(());
            }
        }
    }

    /// Sends the next part of the body, or its end. Pending if there is none yet, or the budget is
    /// spent.
    fn next_part(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Poll<()>, ClientErrorKind> {
        let is_done = self.is_cut || matches!(self.upload, Upload::Done);
        if is_done || task::poll_proceed(cx).is_pending() {
            return Ok(Poll::Pending);
        }
        let part = match &mut self.upload {
            Upload::Done => return Ok(Poll::Pending),
            Upload::Full(bytes) if bytes.is_empty() => None,
            Upload::Full(bytes) => Some(Ok(Part::Data(mem::take(bytes)))),
            Upload::Stream(stream, _) => match stream.as_mut().poll_next(cx) {
                Poll::Ready(part) => part,
                Poll::Pending => return Ok(Poll::Pending),
            },
        };
        match part {
            Some(Ok(Part::Data(part))) => self.send_part(part, out)?,
            Some(Ok(Part::Trailers(trailers))) => self.end_upload(Some(&trailers), out)?,
            None => self.end_upload(None, out)?,
            Some(Err(error)) => return Err(ClientErrorKind::RequestBody(error)),
        }
        Ok(Poll::Ready(()))
    }

    fn send_part(&mut self, part: Bytes, out: &mut Vec<u8>) -> Result<(), ClientErrorKind> {
        let body = self.link.protocol.outgoing_body();
        self.outgoing.send_part(body, part, out).map_err(ClientErrorKind::Encode)
    }

    fn end_upload(
        &mut self,
        trailers: Option<&HeaderMap>,
        out: &mut Vec<u8>,
    ) -> Result<(), ClientErrorKind> {
        self.upload = Upload::Done;
        self.link.protocol.send_end(trailers, out).map_err(ClientErrorKind::Encode)
    }

    /// Writes what the socket accepts, and keeps the rest. If that fails, no more is sent, but the
    /// exchange continues: the server may have responded before it closed.
    fn write(&mut self, out: &mut Vec<u8>) {
        if self.is_cut {
            return out.clear();
        }
        match self.outgoing.write(out, &self.link.stream) {
            Ok(0) => {}
            Ok(written) => {
                self.is_sent = true;
                self.note_progress(Waiting::Write, written);
            }
            Err(error) => {
                self.write_error = Some(error);
                self.cut_upload();
                out.clear();
            }
        }
    }

    /// Sends no more of the request. The connection cannot be used again. A stream is kept if
    /// nothing was sent, so that another connection can send it.
    fn cut_upload(&mut self) {
        self.is_cut = true;
        self.is_held = false;
        if self.is_sent {
            self.upload = Upload::Done;
        }
        self.outgoing = Outgoing::default();
    }
}

/// # Receiving
impl Http1Exchange {
    fn poll_decoded<T>(
        &mut self,
        cx: &mut Context<'_>,
        decode: impl FnMut(&mut Self) -> Result<Decoded<T>, ClientErrorKind>,
    ) -> Poll<Result<T, ClientErrorKind>> {
        let mut out = self.client.buffers.take_write_buffer();
        let polled = self.advance(cx, &mut out, decode);
        self.client.buffers.give_write_buffer(out);
        polled
    }

    fn advance<T>(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        mut decode: impl FnMut(&mut Self) -> Result<Decoded<T>, ClientErrorKind>,
    ) -> Poll<Result<T, ClientErrorKind>> {
        loop {
            self.push(cx, out)?;
            if task::poll_proceed(cx).is_pending() {
                // The task is woken already, whatever the clock says.
                return match self.watch_clock(cx) {
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                    _ => Poll::Pending,
                };
            }
            match decode(self)? {
                Decoded::Found(found) => return Poll::Ready(Ok(found)),
                Decoded::Informational => {}
                Decoded::NeedData => {
                    ready!(self.poll_read(cx))?;
                }
            }
        }
    }

    fn decode_head(&mut self) -> Result<Decoded<ResponseHead>, ClientErrorKind> {
        match self.link.protocol.next_head(&self.client.options.limits) {
            Ok(ResponseEvent::NeedData) => Ok(Decoded::NeedData),
            Ok(ResponseEvent::Informational(head)) => {
                self.is_held &= head.status() != StatusCode::CONTINUE;
                Ok(Decoded::Informational)
            }
            Ok(ResponseEvent::Head(head)) => {
                self.begin_response(&head)?;
                Ok(Decoded::Found(head))
            }
            Ok(ResponseEvent::Closed) => Err(self.no_response()),
            Err(error) => Err(ClientErrorKind::Protocol(error)),
        }
    }

    fn decode_body(&mut self) -> Result<Decoded<BodyPart>, ClientErrorKind> {
        match self.link.protocol.next_body(&self.client.options.limits) {
            Ok(BodyEvent::NeedData) => Ok(Decoded::NeedData),
            Ok(BodyEvent::Data(data)) => Ok(Decoded::Found(BodyPart::Data(data))),
            Ok(BodyEvent::End(trailers)) => Ok(Decoded::Found(BodyPart::End(trailers))),
            Err(ProtocolError::BodyTooLarge) => {
                Err(ClientErrorKind::TooLarge(self.client.options.body_bytes_max))
            }
            Err(error) => Err(ClientErrorKind::Protocol(error)),
        }
    }

    /// Records that the head of the response has arrived. Sends no more of the request if the
    /// server refuses it, or responds before it has asked for the body (RFC 9112 section 9.5).
    fn begin_response(&mut self, head: &ResponseHead) -> Result<(), ClientErrorKind> {
        self.has_head = true;
        self.waits.stop();
        let status = head.status();
        if status == StatusCode::SWITCHING_PROTOCOLS && !self.asks_upgrade {
            return Err(ClientErrorKind::Protocol(ProtocolError::UnexpectedResponse));
        }
        let is_refusal = status.is_client_error() || status.is_server_error();
        if self.is_held || (is_refusal && self.is_sending()) {
            self.cut_upload();
        }
        Ok(())
    }

    fn no_response(&mut self) -> ClientErrorKind {
        self.write_error.take().map_or(ClientErrorKind::NoResponse, ClientErrorKind::Broken)
    }

    /// Reads once, when the socket is ready. Pending until then, or until a timeout passes.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientErrorKind>> {
        match self.link.poll_read(&self.client, cx) {
            Poll::Ready(read) => Poll::Ready(self.note_read(read)),
            Poll::Pending => self.watch_clock(cx),
        }
    }

    fn note_read(&mut self, read: io::Result<usize>) -> Result<(), ClientErrorKind> {
        match read {
            Ok(count) => {
                self.has_received |= count > 0;
                self.note_progress(Waiting::Body, count);
                Ok(())
            }
            Err(error) => Err(ClientErrorKind::Broken(self.write_error.take().unwrap_or(error))),
        }
    }
}

/// # Waiting
impl Http1Exchange {
    /// Records what is waited for, and sets the timer. Ready when the timeout passes, with an error
    /// unless the exchange can continue.
    fn watch_clock(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientErrorKind>> {
        let awaited = self.awaited();
        let passed = self.waits.poll_passed(awaited, &self.client.options, cx);
        passed.map(|()| self.expire())
    }

    fn note_progress(&mut self, waiting: Waiting, bytes: usize) {
        self.waits.note_progress(waiting, bytes, self.client.options.body_rate);
    }

    fn awaited(&self) -> Waiting {
        if !self.outgoing.is_empty() {
            Waiting::Write
        } else if self.is_held {
            Waiting::Continue
        } else if self.is_sending() {
            Waiting::Nothing
        } else if self.has_head {
            Waiting::Body
        } else {
            Waiting::Head
        }
    }

    /// Acts on a timeout. Bytes that the selector has not reported yet still count: this process
    /// may have been suspended while they arrived.
    fn expire(&mut self) -> Result<(), ClientErrorKind> {
        self.waits.check_total()?;
        match self.waits.waiting() {
            Waiting::Nothing => return Ok(()),
            Waiting::Continue => {
                self.is_held = false;
                return Ok(());
            }
            Waiting::Write => {}
            Waiting::Head | Waiting::Body => {
                if let Some(read) = self.link.try_read(&self.client).transpose() {
                    return self.note_read(read);
                }
            }
        }
        self.waits.check_passed(&self.client.options)
    }
}

impl std::fmt::Debug for Http1Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http1Exchange")
            .field("link", &self.link)
            .field("waiting", &self.waits.waiting())
            .finish_non_exhaustive()
    }
}
