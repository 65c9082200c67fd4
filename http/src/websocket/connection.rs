//! The state of one WebSocket: what was received, what is to be sent, and the closing handshake.
//!
//! Knows no task: `receiving`, `sending` and `clock` have the operations that the handler and the
//! driver poll.
//!
//! ```text
//!            close received            close sent
//!   open ──────────────────► (reply) ────────────► closed
//!     │ close sent                                   ▲
//!     └──────────► waiting for the peer's ───────────┘
//! ```

use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use brigade_runtime::time;
use bytes::Bytes;

use crate::message::byte_stream::ByteStream;
use crate::message::upgrade::Upgraded;
use crate::transport::deadline::Deadline;
use crate::transport::outgoing::Outgoing;
use crate::websocket::decoder::Decoder;
use crate::websocket::error::WsError;
use crate::websocket::options::Options;

/// The state of one WebSocket.
pub(super) struct Connection {
    /// Absent once the WebSocket has ended. Halves may outlive it.
    pub(super) stream: Option<ByteStream>,
    pub(super) options: Options,
    /// How long nothing may be received or sent if no pings are sent.
    pub(super) idle_max: Duration,
    pub(super) decoder: Decoder,
    /// Frames that were not written yet, in the loop's write buffer. Follows `outgoing`.
    pub(super) out: Vec<u8>,
    /// What the socket has not accepted.
    pub(super) outgoing: Outgoing,
    /// The payload of a pong that waits for room among what is to be sent.
    pub(super) pong: Option<Bytes>,
    /// When a close frame was sent, or queued.
    pub(super) close_sent: Option<Instant>,
    /// The peer has sent its close frame.
    pub(super) is_close_received: bool,
    /// Nothing more is received: the peer has sent its close frame, or has failed.
    pub(super) is_receive_done: bool,
    /// The receiving half is dropped: the driver discards what is received.
    pub(super) is_deaf: bool,
    /// Nothing more is sent or received: the connection has failed.
    pub(super) is_dead: bool,
    /// Why it failed, until that is returned to the handler.
    pub(super) error: Option<WsError>,
    pub(super) received_at: Instant,
    /// When the peer was sent a ping, if nothing was received since.
    pub(super) pinged_at: Option<Instant>,
    /// An empty pong is the response to a ping that the handler does not know of.
    pub(super) awaits_pong: bool,
    /// Since when the socket has accepted nothing, if bytes wait for it.
    pub(super) blocked_since: Option<Instant>,
    pub(super) timer: Deadline<()>,
    /// The task that writes and watches the clock.
    driver: Option<Waker>,
    /// The task that waits for a message.
    receiver: Option<Waker>,
    /// The handler is polled by the driver, which writes afterwards.
    pub(super) is_driven: bool,
    /// What is woken, or dropped, when the connection is not borrowed any more. A waker may call
    /// any code.
    released: Released,
}

/// Wakers to be woken, and one to be dropped.
#[derive(Default)]
pub(super) struct Released {
    to_wake: [Option<Waker>; 2],
    to_drop: Option<Waker>,
}

impl Released {
    pub(super) fn wake(self) {
        drop(self.to_drop);
        self.to_wake.into_iter().flatten().for_each(Waker::wake);
    }
}

impl Connection {
    pub(super) fn new(upgraded: Upgraded, options: Options) -> Self {
        let idle_max = upgraded.idle_max;
        let (early, stream) = upgraded.into_stream();
        let mut decoder = Decoder::new(options.frame_bytes_max, options.message_bytes_max);
        decoder.keep(&early);
        Self {
            stream: Some(stream),
            options,
            idle_max,
            decoder,
            out: Vec::new(),
            outgoing: Outgoing::default(),
            pong: None,
            close_sent: None,
            is_close_received: false,
            is_receive_done: false,
            is_deaf: false,
            is_dead: false,
            error: None,
            received_at: time::now(),
            pinged_at: None,
            awaits_pong: false,
            blocked_since: None,
            timer: Deadline::new(),
            driver: None,
            receiver: None,
            is_driven: false,
            released: Released::default(),
        }
    }

    /// Returns the stream. There is one unless the connection [is dead](Self::is_dead).
    pub(super) fn stream(&self) -> &ByteStream {
        self.stream.as_ref().expect("nothing is read or written after the end")
    }

    /// Returns the stream and the decoder of what it receives.
    pub(super) fn incoming(&mut self) -> (&ByteStream, &mut Decoder) {
        let stream = self.stream.as_ref().expect("nothing is read after the end");
        (stream, &mut self.decoder)
    }

    /// Ends the connection, and wakes the tasks that wait for it. The next operation returns
    /// `error`.
    pub(super) fn fail(&mut self, error: Option<WsError>) {
        self.is_dead = true;
        self.is_receive_done = true;
        self.error = error;
        self.out = Vec::new();
        self.outgoing = Outgoing::default();
        self.pong = None;
        self.blocked_since = None;
        self.decoder = Decoder::new(0, 0);
        self.stream().abort();
        self.wake_receiver();
        self.wake_driver();
    }

    /// Closes the socket, at the very end.
    pub(super) fn release(&mut self) {
        if !self.is_dead {
            self.fail(None);
        }
        self.stream = None;
    }

    /// Returns `true` if close frames were sent and received, or the connection has failed.
    pub(super) const fn is_closed(&self) -> bool {
        self.is_dead || (self.is_receive_done && self.close_sent.is_some())
    }

    pub(super) fn set_driver(&mut self, cx: &mut Context<'_>) {
        if replace(&mut self.driver, cx, &mut self.released) {
            self.timer.register(cx);
        }
    }

    pub(super) fn set_receiver(&mut self, cx: &Context<'_>) {
        replace(&mut self.receiver, cx, &mut self.released);
    }

    /// Wakes the driver, unless it polls the handler right now.
    pub(super) fn wake_driver(&mut self) {
        if !self.is_driven {
            self.released.to_wake[0] = self.driver.take();
        }
    }

    pub(super) fn wake_receiver(&mut self) {
        self.released.to_wake[1] = self.receiver.take();
    }

    pub(super) fn take_released(&mut self) -> Released {
        std::mem::take(&mut self.released)
    }
}

/// Stores the waker of `cx`. Returns `true` if it was another one, or none, before.
fn replace(slot: &mut Option<Waker>, cx: &Context<'_>, released: &mut Released) -> bool {
    if slot.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
        return false;
    }
    released.to_drop = slot.replace(cx.waker().clone());
    true
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read};
    use std::task::Waker;

    use brigade_runtime::net::TcpStream;

    use super::*;
    use crate::websocket::message::Message;

    #[test]
    fn what_is_sent_without_waiting_is_written_at_once_and_leaves_no_buffer() {
        brigade_runtime::run(async {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let mut peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            peer.set_nonblocking(true).unwrap();
            let stream = TcpStream::from_std(listener.accept().unwrap().0).unwrap();
            let upgraded = Upgraded::new(
                Bytes::new(),
                ByteStream::Socket(stream.into()),
                Duration::from_secs(60),
            );
            let mut connection = Connection::new(upgraded, Options::default());
            connection.is_driven = true;
            for _ in 0..20 {
                connection.start_send(Message::text("x")).unwrap();
            }
            let mut received = [0; 100];
            assert_eq!(peer.read(&mut received).unwrap_err().kind(), ErrorKind::WouldBlock);
            connection.poll_drive(&mut Context::from_waker(Waker::noop()));
            assert_eq!(peer.read(&mut received).unwrap(), 60);
            assert_eq!(received[..60], b"\x81\x01x".repeat(20));
            assert!(connection.out.capacity() == 0 && connection.outgoing.is_empty());
        });
    }
}
