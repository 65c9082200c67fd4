//! A connection after an upgrade to another protocol.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use brigade_runtime::net::TcpStream;
use bytes::{Buf, Bytes};
use futures_io::{AsyncRead, AsyncWrite};

/// A connection after `101 Switching Protocols`, for reading and writing. Reading begins with the
/// bytes that the client has sent together with its request.
#[derive(Debug)]
pub struct Upgraded {
    /// Received before the upgrade and not read yet.
    early: Bytes,
    stream: TcpStream,
}

impl Upgraded {
    pub(crate) fn new(early: Bytes, stream: TcpStream) -> Self {
        Self { early, stream }
    }

    /// Returns the bytes that the client has sent together with its request, and the stream.
    #[must_use]
    pub fn into_parts(self) -> (Bytes, TcpStream) {
        (self.early, self.stream)
    }

    /// Returns the underlying stream.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

impl AsyncRead for Upgraded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.early.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let length = buffer.len().min(self.early.len());
        self.early.copy_to_slice(&mut buffer[..length]);
        Poll::Ready(Ok(length))
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}
