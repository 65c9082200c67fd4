//! A connection after an upgrade to another protocol.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use brigade_runtime::net::AnyStream;
use brigade_runtime::task;
use brigade_runtime::time::{self, Sleep, sleep_until};
use bytes::{Buf, Bytes};
use futures_io::{AsyncRead, AsyncWrite};

use crate::message::byte_stream::ByteStream;

/// A connection after `101 Switching Protocols`, for reading and writing. Reading begins with the
/// bytes that the client has sent together with its request.
///
/// Reads and writes fail with `TimedOut` if nothing was read or written for a long time:
/// [`Timeouts::upgraded_idle`](crate::Timeouts::upgraded_idle) on a server,
/// [`ClientBuilder::upgraded_idle_timeout`](crate::client::ClientBuilder::upgraded_idle_timeout) on
/// a client. A protocol that is silent for longer sends pings.
#[derive(Debug)]
pub struct Upgraded {
    /// Received before the upgrade and not read yet.
    early: Bytes,
    stream: ByteStream,
    /// How long nothing may be read or written.
    pub(crate) idle_max: Duration,
    /// When something was read or written last.
    active: Instant,
    /// Wakes the task that reads.
    read_timer: Option<Sleep>,
    /// Wakes the task that writes, which may be another one.
    write_timer: Option<Sleep>,
}

impl Upgraded {
    pub(crate) fn new(early: Bytes, stream: ByteStream, idle_max: Duration) -> Self {
        Self { early, stream, idle_max, active: time::now(), read_timer: None, write_timer: None }
    }

    /// Returns the bytes that the client has sent together with its request, and the socket, which
    /// has no timeout.
    ///
    /// # Errors
    /// Returns itself if the connection is no socket, but encrypted or one of a
    /// [`ConnectionServer`](crate::ConnectionServer).
    pub fn into_parts(self) -> Result<(Bytes, AnyStream), Box<Self>> {
        match self.stream {
            ByteStream::Socket(socket) => Ok((self.early, socket)),
            _ => Err(Box::new(self)),
        }
    }

    /// Returns the underlying socket, which has no timeout, if the connection is one.
    #[must_use]
    pub fn socket(&self) -> Option<&AnyStream> {
        self.stream.socket()
    }

    /// Returns the bytes that the peer has sent already, and the stream.
    pub(crate) fn into_stream(self) -> (Bytes, ByteStream) {
        (self.early, self.stream)
    }

    /// Notes that something was read or written. Ready, with an error, if nothing was for too long.
    fn note<T>(
        active: &mut Instant,
        idle_max: Duration,
        timer: &mut Option<Sleep>,
        polled: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        let now = time::now();
        if polled.is_ready() {
            *active = now;
            return polled;
        }
        let Some(deadline) = active.checked_add(idle_max) else { return Poll::Pending };
        if now >= deadline {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        // The timer is left where it is while the deadline moves back, and moved when it fires.
        let timer = timer.get_or_insert_with(|| sleep_until(deadline));
        if timer.is_elapsed() {
            timer.reset(deadline);
        }
        // Whether the deadline has passed was checked above.
        let _ = Pin::new(timer).poll(cx);
        Poll::Pending
    }
}

impl AsyncRead for Upgraded {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.early.is_empty() {
            let polled = Pin::new(&mut this.stream).poll_read(cx, buffer);
            return Self::note(&mut this.active, this.idle_max, &mut this.read_timer, polled, cx);
        }
        ready!(task::poll_proceed(cx));
        let length = buffer.len().min(this.early.len());
        this.early.copy_to_slice(&mut buffer[..length]);
        Poll::Ready(Ok(length))
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(cx, data);
        Self::note(&mut this.active, this.idle_max, &mut this.write_timer, polled, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write_vectored(cx, data);
        Self::note(&mut this.active, this.idle_max, &mut this.write_timer, polled, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}
