//! Receives messages, and reacts to control frames.

use std::io::{self, ErrorKind};
use std::task::{Context, Poll, ready};

use brigade_runtime::{task, time};

use crate::websocket::buffers::with_read_buffer;
use crate::websocket::connection::Connection;
use crate::websocket::decoder::Decoder;
use crate::websocket::error::WsError;
use crate::websocket::message::{CloseFrame, Message};

impl Connection {
    /// Polls for the next message. Each frame takes a unit of the task's budget, also one that
    /// completes no message.
    pub(super) fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Message, WsError>>> {
        loop {
            if let Some(error) = self.error.take() {
                return Poll::Ready(Some(Err(error)));
            }
            if self.is_receive_done {
                return Poll::Ready(None);
            }
            let Poll::Ready(decoded) = self.poll_frame(cx) else {
                self.set_receiver(cx);
                return Poll::Pending;
            };
            match decoded {
                Ok(None) => {}
                Ok(Some(message)) => {
                    if let Some(message) = self.accept(message) {
                        return Poll::Ready(Some(Ok(message)));
                    }
                }
                Err(error) => {
                    if let Some(error) = self.end_receiving(error) {
                        return Poll::Ready(Some(Err(error)));
                    }
                }
            }
        }
    }

    /// Receives and discards messages, as long as that is possible without waiting.
    pub(super) fn discard(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(_)) = self.poll_recv(cx) {}
    }

    /// Polls for a frame, or a part of one.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>, WsError>> {
        if self.decoder.has_kept() {
            ready!(task::poll_proceed(cx));
            return Poll::Ready(self.decoder.decode_kept());
        }
        ready!(self.stream().poll_readable(cx));
        Poll::Ready(self.read())
    }

    /// Reads once, and decodes a frame from what was read.
    fn read(&mut self) -> Result<Option<Message>, WsError> {
        let (stream, decoder) = self.incoming();
        if let Some(buffer) = decoder.payload_buffer() {
            let before = buffer.len();
            return match received(stream.try_read_buf(buffer))? {
                Some(_) => {
                    self.note_received();
                    self.decoder.end_receive(before)
                }
                None => Ok(None),
            };
        }
        let decoded = with_read_buffer(|buffer| {
            let read = received(stream.try_read(buffer))?;
            read.map(|count| decoder.receive(&buffer[..count])).transpose()
        })?;
        // Also if the event was spurious, which is rare.
        self.note_received();
        Ok(decoded.flatten())
    }

    /// Reads once without decoding. Returns `true` if anything was read.
    ///
    /// # Errors
    /// If the connection has ended.
    pub(super) fn read_ahead(&mut self) -> Result<bool, WsError> {
        let (stream, decoder) = self.incoming();
        let read = with_read_buffer(|buffer| {
            let read = received(stream.try_read(buffer))?;
            read.iter().for_each(|count| decoder.keep(&buffer[..*count]));
            Ok(read.is_some())
        })?;
        if read {
            self.note_received();
            self.wake_receiver();
        }
        Ok(read)
    }

    fn note_received(&mut self) {
        self.received_at = time::now();
        if self.pinged_at.take().is_some() {
            // The next timeout may be earlier than that of the pong.
            self.wake_driver();
        }
    }

    /// Acts on a message. Returns it if it is for the handler.
    fn accept(&mut self, message: Message) -> Option<Message> {
        match &message {
            Message::Text(_) | Message::Binary(_) => {}
            Message::Ping(payload) => {
                // Only the latest one is kept if there is no room to send more (RFC 6455 section
                // 5.5.3).
                self.pong = Some(payload.clone());
                self.queue_pong();
            }
            Message::Pong(payload) => {
                if payload.is_empty() && std::mem::take(&mut self.awaits_pong) {
                    return None;
                }
            }
            Message::Close(frame) => {
                self.is_close_received = true;
                self.is_receive_done = true;
                self.release_decoder();
                if self.close_sent.is_none() {
                    self.queue_close(frame.as_ref());
                }
            }
        }
        Some(message)
    }

    /// Ends receiving after `error`, and closes the WebSocket with its code. Returns the error
    /// unless it is just the end of a connection that was closed.
    #[cold]
    fn end_receiving(&mut self, error: WsError) -> Option<WsError> {
        self.is_receive_done = true;
        self.release_decoder();
        let Some(code) = error.close_code() else {
            let is_closing = self.close_sent.is_some();
            self.fail(None);
            return Some(error).filter(|_| !is_closing);
        };
        if self.close_sent.is_none() {
            let reason = match error {
                WsError::Protocol(reason) => reason.into(),
                _ => Default::default(),
            };
            self.queue_close(Some(&CloseFrame { code, reason }));
        }
        Some(error)
    }

    fn release_decoder(&mut self) {
        self.decoder = Decoder::new(0, 0);
    }
}

/// Returns how many bytes were read, or `None` if there are none now.
fn received(read: io::Result<usize>) -> Result<Option<usize>, WsError> {
    match read {
        Ok(0) => Err(WsError::Disconnected),
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(WsError::Io(error)),
    }
}
