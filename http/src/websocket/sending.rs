//! Sends messages.
//!
//! A message is queued in the loop's write buffer. The driver writes all that is queued when the
//! handler's poll is over, and when another task has queued something. So messages that are sent
//! without waiting in between leave in one write.

use std::mem;
use std::task::{Context, Poll, ready};

use brigade_runtime::time;
use bytes::Bytes;
use bytestring::ByteString;

use crate::transport::outgoing::{UNCOPIED_BYTES_MIN, WRITE_BATCH_BYTES};
use crate::websocket::buffers::{give_write_buffer, take_write_buffer};
use crate::websocket::close_code::{CloseCode, is_sendable};
use crate::websocket::connection::Connection;
use crate::websocket::error::WsError;
use crate::websocket::frame::{CONTROL_BYTES_MAX, Opcode, encode_header};
use crate::websocket::message::{CloseFrame, Message};

impl Connection {
    /// Polls for room to queue a message.
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.is_dead && !self.has_room() {
            ready!(self.stream().poll_writable(cx));
            self.write();
        }
        Poll::Ready(())
    }

    /// Returns `true` if a message may be queued. Writes first if that makes room.
    pub(super) fn has_room(&mut self) -> bool {
        if self.queued_bytes() >= WRITE_BATCH_BYTES && !self.outgoing.is_blocked() {
            self.write();
        }
        self.queued_bytes() < self.options.write_buffer_bytes_max
    }

    /// Queues `message`, whether or not there is room.
    ///
    /// # Errors
    /// If it cannot be sent, or the connection has failed.
    pub(super) fn start_send(&mut self, message: Message) -> Result<(), WsError> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        if self.close_sent.is_some() || self.is_dead {
            return Err(WsError::Closed);
        }
        match message {
            Message::Text(text) => self.queue(Opcode::Text, text.into_bytes()),
            Message::Binary(bytes) => self.queue(Opcode::Binary, bytes),
            Message::Ping(bytes) | Message::Pong(bytes) if bytes.len() > CONTROL_BYTES_MAX => {
                return Err(WsError::Invalid("a ping or pong has more than 125 bytes"));
            }
            Message::Ping(bytes) => self.queue(Opcode::Ping, bytes),
            Message::Pong(bytes) => self.queue(Opcode::Pong, bytes),
            Message::Close(frame) => {
                if let Some(frame) = &frame {
                    validate(frame)?;
                }
                self.queue_close(frame.as_ref());
            }
        }
        self.wake_driver();
        Ok(())
    }

    /// Polls until the system has accepted all that is queued.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WsError>> {
        loop {
            self.write();
            if let Some(error) = self.error.take() {
                return Poll::Ready(Err(error));
            }
            if self.is_dead {
                return Poll::Ready(Err(WsError::Closed));
            }
            if self.queued_bytes() == 0 && self.outgoing.is_empty() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.stream().poll_writable(cx));
        }
    }

    /// Sends a close frame with this code, unless one was sent.
    pub(super) fn start_close(&mut self, code: CloseCode) {
        if self.close_sent.is_none() && !self.is_dead {
            self.queue_close(Some(&CloseFrame { code, reason: ByteString::new() }));
        }
    }

    /// Queues a close frame, after which nothing else may be sent.
    pub(super) fn queue_close(&mut self, frame: Option<&CloseFrame>) {
        let payload = frame.map(|CloseFrame { code, reason }| {
            [&code.to_be_bytes()[..], reason.as_bytes()].concat().into()
        });
        self.pong = None;
        self.queue(Opcode::Close, payload.unwrap_or_default());
        self.close_sent = Some(time::now());
        self.wake_driver();
    }

    /// Queues the pong that is owed, if there is room for one.
    pub(super) fn queue_pong(&mut self) {
        if self.close_sent.is_none()
            && self.queued_bytes() < self.options.write_buffer_bytes_max
            && let Some(payload) = self.pong.take()
        {
            self.queue(Opcode::Pong, payload);
            self.wake_driver();
        }
    }

    pub(super) fn queue(&mut self, opcode: Opcode, payload: Bytes) {
        if self.out.capacity() == 0 {
            self.out = take_write_buffer();
        }
        encode_header(opcode, payload.len(), &mut self.out);
        match payload.len() {
            ..UNCOPIED_BYTES_MIN => self.out.extend_from_slice(&payload),
            _ => self.outgoing.push(&mut self.out, payload),
        }
    }

    fn queued_bytes(&self) -> usize {
        self.out.len() + self.outgoing.len()
    }

    /// Writes what the socket takes of what is queued.
    pub(super) fn write(&mut self) {
        if self.pong.is_some() {
            self.queue_pong();
        }
        if self.is_dead || (self.queued_bytes() == 0 && self.outgoing.is_empty()) {
            return;
        }
        let Some(stream) = &self.stream else { return };
        let written = match self.outgoing.write(&mut self.out, stream) {
            Ok(written) => written,
            Err(error) => return self.fail(Some(WsError::Io(error))),
        };
        if self.out.capacity() > 0 {
            give_write_buffer(mem::take(&mut self.out));
        }
        match self.outgoing.is_blocked() {
            true if written > 0 || self.blocked_since.is_none() => {
                self.blocked_since = Some(time::now());
                self.timer.start(());
                self.wake_driver();
            }
            false if self.blocked_since.is_some() => self.end_blocked(),
            _ => {}
        }
    }

    /// Lets the time begin that the peer has to respond: it has just taken all that it was sent.
    fn end_blocked(&mut self) {
        let now = time::now();
        self.blocked_since = None;
        self.received_at = now;
        self.pinged_at = self.pinged_at.and(Some(now));
        self.close_sent = self.close_sent.and(Some(now));
        self.wake_driver();
    }
}

/// Checks a close frame that is to be sent.
fn validate(frame: &CloseFrame) -> Result<(), WsError> {
    if !is_sendable(frame.code) {
        return Err(WsError::Invalid("the code of a close frame is reserved"));
    }
    if frame.reason.len() > CONTROL_BYTES_MAX - 2 {
        return Err(WsError::Invalid("the reason of a close frame has more than 123 bytes"));
    }
    Ok(())
}
