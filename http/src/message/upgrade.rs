//! A connection that goes on with another protocol.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use brigade_runtime::net::TcpStream;
use bytes::{Buf, Bytes};
use futures_io::{AsyncRead, AsyncWrite};

/// A connection after `101 Switching Protocols`: bytes both ways, beginning with those that the
/// client had sent already.
#[derive(Debug)]
pub struct Upgraded {
    early: Bytes,
    stream: TcpStream,
}

impl Upgraded {
    pub(crate) fn new(early: Bytes, stream: TcpStream) -> Self {
        Self { early, stream }
    }

    /// What the client sent together with its request, and the connection.
    #[must_use]
    pub fn into_parts(self) -> (Bytes, TcpStream) {
        (self.early, self.stream)
    }

    /// The connection.
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
