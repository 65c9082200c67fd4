//! The two directions of a TCP stream, each as a value.

use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::BufMut;
use futures_io::{AsyncRead, AsyncWrite};

use crate::net::tcp_stream::TcpStream;

impl TcpStream {
    /// Splits the stream into two halves that borrow it.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        (ReadHalf { stream: self }, WriteHalf { stream: self })
    }

    /// Splits the stream into two halves that own it, for two tasks of this loop.
    ///
    /// Dropping the write half shuts down the write direction (the peer receives a FIN). The
    /// connection is closed when both halves are dropped.
    #[must_use]
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        let stream = Rc::new(self);
        (OwnedReadHalf { stream: stream.clone() }, OwnedWriteHalf { stream })
    }
}

/// The read half of a borrowed [`TcpStream`], returned by [`TcpStream::split`].
#[derive(Debug)]
pub struct ReadHalf<'a> {
    stream: &'a TcpStream,
}

/// The write half of a borrowed [`TcpStream`], returned by [`TcpStream::split`].
#[derive(Debug)]
pub struct WriteHalf<'a> {
    stream: &'a TcpStream,
}

/// The read half of a [`TcpStream`], returned by [`TcpStream::into_split`].
#[derive(Debug)]
pub struct OwnedReadHalf {
    stream: Rc<TcpStream>,
}

/// The write half of a [`TcpStream`], returned by [`TcpStream::into_split`]. Dropping it shuts down
/// the write direction.
#[derive(Debug)]
pub struct OwnedWriteHalf {
    stream: Rc<TcpStream>,
}

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        // Fails only if the connection is gone.
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

macro_rules! halves {
    ($Read:ty, $Write:ty) => {
        impl $Read {
            /// Reads like [`TcpStream::read`].
            ///
            /// # Errors
            /// Those of recv(2).
            ///
            /// # Cancel safety
            /// If the future is dropped before it is ready, nothing was read.
            pub async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.stream.read(buffer).await
            }

            /// Reads like [`TcpStream::read_buf`].
            ///
            /// # Errors
            /// Those of recv(2).
            ///
            /// # Cancel safety
            /// If the future is dropped before it is ready, nothing was read.
            pub async fn read_buf(&mut self, buffer: &mut impl BufMut) -> io::Result<usize> {
                self.stream.read_buf(buffer).await
            }

            /// Returns the stream that this is a half of.
            #[must_use]
            pub fn stream(&self) -> &TcpStream {
                &self.stream
            }
        }

        impl $Write {
            /// Writes like [`TcpStream::write`].
            ///
            /// # Errors
            /// Those of send(2).
            ///
            /// # Cancel safety
            /// If the future is dropped before it is ready, nothing was written.
            pub async fn write(&mut self, data: &[u8]) -> io::Result<usize> {
                self.stream.write(data).await
            }

            /// Writes like [`TcpStream::write_all`].
            ///
            /// # Errors
            /// Those of send(2).
            ///
            /// # Cancel safety
            /// Not cancel safe: a part of `data` may have been written.
            pub async fn write_all(&mut self, data: &[u8]) -> io::Result<()> {
                self.stream.write_all(data).await
            }

            /// Returns the stream that this is a half of.
            #[must_use]
            pub fn stream(&self) -> &TcpStream {
                &self.stream
            }
        }

        impl AsyncRead for $Read {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut &*self.stream).poll_read(cx, buffer)
            }
        }

        impl AsyncWrite for $Write {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                data: &[u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut &*self.stream).poll_write(cx, data)
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut &*self.stream).poll_flush(cx)
            }

            fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut &*self.stream).poll_close(cx)
            }
        }
    };
}

halves!(ReadHalf<'_>, WriteHalf<'_>);
halves!(OwnedReadHalf, OwnedWriteHalf);
