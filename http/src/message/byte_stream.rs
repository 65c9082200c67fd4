//! What a connection reads from and writes to: a socket, or anything else that can say when it is
//! ready.

use std::fmt::Debug;
use std::io::{self, ErrorKind, IoSlice};
use std::net::Shutdown;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use brigade_runtime::net::AnyStream;
use futures_io::{AsyncRead, AsyncWrite};

use crate::message::extensions::Extensions;

/// A connected stream of bytes in both directions. Its operations do not wait; what waits polls for
/// the stream to be ready.
#[derive(Debug)]
pub(crate) enum ByteStream {
    /// A socket. Its operations are inlined, since most connections are sockets.
    Socket(AnyStream),
    Other(Box<dyn Duplex>),
}

/// A stream that is no socket. The methods are those of [`ByteStream`].
pub(crate) trait Duplex: Debug {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()>;
    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()>;
    fn poll_read_closed(&self, cx: &mut Context<'_>) -> Poll<()>;
    fn is_read_closed(&self) -> bool;
    fn is_write_closed(&self) -> bool;
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize>;
    fn try_write(&self, data: &[u8]) -> io::Result<usize>;

    fn try_read_buf(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let filled = buffer.len();
        buffer.resize(buffer.capacity(), 0);
        let read = self.try_read(&mut buffer[filled..]);
        buffer.truncate(filled + *read.as_ref().unwrap_or(&0));
        read
    }

    /// Writes one slice after another, until one is not accepted whole.
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut total = 0;
        for slice in slices.iter().filter(|slice| !slice.is_empty()) {
            match self.try_write(slice) {
                Ok(written) => {
                    total += written;
                    if written < slice.len() {
                        break;
                    }
                }
                // It is returned by the next write.
                Err(_) if total > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(total)
    }

    fn try_flush(&self) -> io::Result<()>;
    fn poll_close(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    fn reset(&self);
    fn abort(&self);

    fn description(&self) -> Option<Description> {
        None
    }
}

/// An extension of requests that came over an encrypted connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encrypted;

/// What handlers learn of a connection.
pub(crate) trait Describe {
    /// Adds it to the extensions of a request.
    fn describe(self: Rc<Self>, extensions: &mut Extensions);
}

/// A description that the requests of a connection share.
pub(crate) type Description = Rc<dyn Describe>;

/// # Waiting
impl ByteStream {
    /// Ready if there may be something to read: a hint, after which `try_read` may still return
    /// `WouldBlock`.
    #[inline(always)]
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Socket(socket) => socket.poll_readable(cx),
            Self::Other(stream) => stream.poll_readable(cx),
        }
    }

    /// Ready if something may be written or flushed: a hint, too.
    #[inline(always)]
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Socket(socket) => socket.poll_writable(cx),
            Self::Other(stream) => stream.poll_writable(cx),
        }
    }

    /// Ready if [`is_read_closed`](Self::is_read_closed), or if that cannot be noticed.
    #[inline(always)]
    pub(crate) fn poll_read_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Socket(socket) => socket.poll_read_closed(cx),
            Self::Other(stream) => stream.poll_read_closed(cx),
        }
    }

    /// Returns `true` if the peer has closed its direction, as far as is known. Bytes that it sent
    /// before may still wait to be read.
    pub(crate) fn is_read_closed(&self) -> bool {
        match self {
            Self::Socket(socket) => socket.is_read_closed(),
            Self::Other(stream) => stream.is_read_closed(),
        }
    }

    /// Returns `true` if nothing can be written any more, as far as is known.
    pub(crate) fn is_write_closed(&self) -> bool {
        match self {
            Self::Socket(socket) => socket.is_write_closed(),
            Self::Other(stream) => stream.is_write_closed(),
        }
    }
}

/// # Reading and writing
impl ByteStream {
    /// Reads into `buffer`. Returns the number of bytes; 0 at the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` if there is nothing to read now.
    #[inline(always)]
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Socket(socket) => socket.try_read(buffer),
            Self::Other(stream) => stream.try_read(buffer),
        }
    }

    /// Reads, and appends to `buffer` within its capacity, as [`try_read`](Self::try_read) does.
    pub(crate) fn try_read_buf(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Self::Socket(socket) => socket.try_read_buf(buffer),
            Self::Other(stream) => stream.try_read_buf(buffer),
        }
    }

    /// Writes as much of `data` as is accepted. Returns the number of bytes.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is accepted now.
    #[inline(always)]
    pub(crate) fn try_write(&self, data: &[u8]) -> io::Result<usize> {
        match self {
            Self::Socket(socket) => socket.try_write(data),
            Self::Other(stream) => stream.try_write(data),
        }
    }

    /// Writes as much of `slices` as is accepted, in their order, as
    /// [`try_write`](Self::try_write) does.
    pub(crate) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Socket(socket) => socket.try_write_vectored(slices),
            Self::Other(stream) => stream.try_write_vectored(slices),
        }
    }

    /// Passes on what was accepted and is kept by the stream, as one does that encrypts. A socket
    /// keeps nothing.
    ///
    /// # Errors
    /// `WouldBlock` if that is not possible now.
    #[inline(always)]
    pub(crate) fn try_flush(&self) -> io::Result<()> {
        match self {
            Self::Socket(_) => Ok(()),
            Self::Other(stream) => stream.try_flush(),
        }
    }

    /// Closes the writing direction, after what was written.
    pub(crate) fn poll_close(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Socket(socket) => Poll::Ready(socket.shutdown(Shutdown::Write)),
            Self::Other(stream) => stream.poll_close(cx),
        }
    }

    /// Makes dropping the stream reset the connection, so that the peer notices that something is
    /// missing, and what it has not taken is discarded.
    pub(crate) fn reset(&self) {
        match self {
            Self::Socket(socket) => drop(socket.set_linger(Some(Duration::ZERO))),
            Self::Other(stream) => stream.reset(),
        }
    }

    /// Ends both directions at once, so that the tasks that wait for the stream are woken.
    pub(crate) fn abort(&self) {
        match self {
            // Fails if the connection is gone, and then they have been woken.
            Self::Socket(socket) => drop(socket.shutdown(Shutdown::Both)),
            Self::Other(stream) => stream.abort(),
        }
    }

    /// Returns what handlers learn of the connection, if that is anything.
    pub(crate) fn description(&self) -> Option<Description> {
        match self {
            Self::Socket(_) => None,
            Self::Other(stream) => stream.description(),
        }
    }

    /// Returns the socket, if this is one.
    pub(crate) fn socket(&self) -> Option<&AnyStream> {
        match self {
            Self::Socket(socket) => Some(socket),
            Self::Other(_) => None,
        }
    }
}

impl AsyncRead for ByteStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if let Self::Socket(socket) = &mut *self {
            return Pin::new(socket).poll_read(cx, buffer);
        }
        loop {
            ready!(self.poll_readable(cx));
            if let Some(read) = unless_blocked(self.try_read(buffer)) {
                return Poll::Ready(read);
            }
        }
    }
}

impl AsyncWrite for ByteStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Socket(socket) => Pin::new(socket).poll_write(cx, data),
            Self::Other(_) => self.poll_write_vectored(cx, &[IoSlice::new(data)]),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Self::Socket(socket) = &mut *self {
            return Pin::new(socket).poll_write_vectored(cx, slices);
        }
        loop {
            ready!(self.poll_writable(cx));
            if let Some(written) = unless_blocked(self.try_write_vectored(slices)) {
                return Poll::Ready(written);
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Self::Other(stream) = &*self {
            if let Some(flushed) = unless_blocked(stream.try_flush()) {
                return Poll::Ready(flushed);
            }
            ready!(stream.poll_writable(cx));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (*self).poll_close(cx)
    }
}

/// Returns `None` in place of `WouldBlock`.
fn unless_blocked<T>(result: io::Result<T>) -> Option<io::Result<T>> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        result => Some(result),
    }
}
