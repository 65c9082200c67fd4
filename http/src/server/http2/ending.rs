//! The end of a connection: the last frame, and then what the client still sends.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use brigade_runtime::time;
use futures_io::{AsyncRead, AsyncWrite};

use crate::server::loop_context::LoopContext;
use crate::transport::deadline::Deadline;
use crate::transport::http2::frames::go_away;
use crate::transport::http2::socket::Socket;

/// How long the client may take to read the last frames and to close, in all. Until then what it
/// sends is read, since it would reset the connection otherwise, and the frames might be lost.
const LINGER: Duration = Duration::from_secs(5);
/// The same when the server shuts down.
const LINGER_DRAINING: Duration = Duration::from_millis(250);
/// How many bytes are read: more than the windows allow a client that behaves. One that sends more
/// does not look at what it is sent.
const LINGER_BYTES_MAX: usize = 2 * 1024 * 1024;
/// What each read counts at least. Otherwise a client that sends single frames could make the
/// server read hundreds of thousands of times.
const LINGER_READ_BYTES_MIN: usize = 1024;

/// A connection that ends.
pub(super) struct Ending {
    /// What is left of the last frame.
    out: Vec<u8>,
    is_closed: bool,
    linger: bool,
    bytes_left: usize,
    began: Instant,
    deadline: Deadline<()>,
}

impl Ending {
    /// Returns the end of a connection, with a `GOAWAY` for the last stream and the code.
    pub(super) fn new(last: Option<(u32, u32)>, linger: bool) -> Self {
        Self {
            out: last.map(|(last_stream, code)| go_away(last_stream, code)).unwrap_or_default(),
            is_closed: false,
            linger,
            bytes_left: LINGER_BYTES_MAX,
            began: time::now(),
            deadline: Deadline::new(),
        }
    }

    /// Ready when the connection has ended.
    pub(super) fn poll(
        &mut self,
        socket: &Socket,
        context: &LoopContext,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        // An error of the socket ends the connection, too.
        if let Poll::Ready(_ended) = self.poll_closed(socket, context, cx) {
            return Poll::Ready(());
        }
        let linger = if context.is_draining() { LINGER_DRAINING } else { LINGER };
        self.deadline.poll_passed(None, self.began.checked_add(linger), cx)
    }

    fn poll_closed(
        &mut self,
        socket: &Socket,
        context: &LoopContext,
        cx: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        let stream = &mut socket.shared().stream;
        let mut stream = Pin::new(stream);
        while !self.out.is_empty() {
            let written = ready!(stream.as_mut().poll_write(cx, &self.out))?;
            self.out.drain(..written);
        }
        if !self.is_closed {
            ready!(stream.as_mut().poll_close(cx))?;
            self.is_closed = true;
        }
        while self.linger {
            let mut buffer = context.buffers.read_buffer();
            let count = ready!(stream.as_mut().poll_read(cx, &mut buffer))?;
            self.bytes_left = self.bytes_left.saturating_sub(count.max(LINGER_READ_BYTES_MIN));
            if count == 0 || self.bytes_left == 0 {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}
