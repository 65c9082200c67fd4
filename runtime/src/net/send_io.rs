//! Streams for libraries that want them to be `Send`.

use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use send_wrapper::SendWrapper;

/// A stream that is `Send` and `Sync`, for libraries that want that although they use it on the
/// loop where it was made. It reads and writes as the stream does: by the traits of `futures-io`,
/// and with the feature `tokio-io` by those of tokio.
///
/// # Panics
/// If it is used or dropped on another thread than that on which it was made.
#[derive(Debug)]
pub struct SendIo<S> {
    stream: SendWrapper<S>,
}

impl<S> SendIo<S> {
    /// Makes a stream `Send`.
    #[must_use]
    pub fn new(stream: S) -> Self {
        Self { stream: SendWrapper::new(stream) }
    }

    /// Returns the stream.
    ///
    /// # Panics
    /// On another thread than that on which it was made.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.stream.take()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for SendIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream).poll_read(cx, buffer)
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream).poll_read_vectored(cx, buffers)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for SendIo<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream).poll_write_vectored(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_close(cx)
    }
}
