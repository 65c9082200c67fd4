//! tokio's traits of reading and writing, for libraries that use them and not its runtime.

use std::cell::RefCell;
use std::io;
use std::task::{Poll, ready};

use tokio::io::ReadBuf;

use crate::net::any_stream::AnyStream;
use crate::net::send_io::SendIo;
use crate::net::tcp_stream::TcpStream;
use crate::net::unix::UnixStream;

/// The bytes of one read into memory that is not initialised.
const READ_BYTES_MAX: usize = 64 * 1024;

thread_local! {
    /// Allocated and initialised by the first read.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Reads into `buffer` by `read`.
///
/// Only unsafe code could read into memory that is not initialised, and to initialise it for each
/// read costs more than to copy what was read. So the bytes go through memory that all streams of a
/// thread share.
pub(crate) fn read_into(
    buffer: &mut ReadBuf<'_>,
    read: impl FnOnce(&mut [u8]) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<()>> {
    if buffer.initialized().len() == buffer.capacity() {
        let count = ready!(read(buffer.initialize_unfilled()))?;
        buffer.advance(count);
        return Poll::Ready(Ok(()));
    }
    // A stream that reads another one within its own read gets memory of its own.
    let mut scratch = SCRATCH.try_with(RefCell::take).unwrap_or_default();
    if scratch.is_empty() {
        scratch = vec![0; READ_BYTES_MAX];
    }
    let room = buffer.remaining().min(scratch.len());
    let count = read(&mut scratch[..room]);
    if let Poll::Ready(Ok(count)) = count {
        buffer.put_slice(&scratch[..count]);
    }
    // Without it the next read makes it anew.
    let _ = SCRATCH.try_with(|shared| shared.replace(scratch));
    count.map_ok(drop)
}

/// Implements tokio's traits by those of `futures-io`. The block has its own imports, since other
/// files use the macro too.
macro_rules! tokio_io {
    ($Stream:ty $(, $S:ident)?) => {
        const _: () = {
            use ::std::io::{self, IoSlice};
            use ::std::pin::Pin;
            use ::std::task::{Context, Poll};

            use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

            impl$(<$S: futures_io::AsyncRead + Unpin>)? AsyncRead for $Stream {
                fn poll_read(
                    self: Pin<&mut Self>,
                    cx: &mut Context<'_>,
                    buffer: &mut ReadBuf<'_>,
                ) -> Poll<io::Result<()>> {
                    $crate::net::tokio_io::read_into(buffer, |room| {
                        futures_io::AsyncRead::poll_read(self, cx, room)
                    })
                }
            }

            impl$(<$S: futures_io::AsyncWrite + Unpin>)? AsyncWrite for $Stream {
                fn poll_write(
                    self: Pin<&mut Self>,
                    cx: &mut Context<'_>,
                    data: &[u8],
                ) -> Poll<io::Result<usize>> {
                    futures_io::AsyncWrite::poll_write(self, cx, data)
                }

                fn poll_write_vectored(
                    self: Pin<&mut Self>,
                    cx: &mut Context<'_>,
                    data: &[IoSlice<'_>],
                ) -> Poll<io::Result<usize>> {
                    futures_io::AsyncWrite::poll_write_vectored(self, cx, data)
                }

                fn is_write_vectored(&self) -> bool {
                    true
                }

                fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                    futures_io::AsyncWrite::poll_flush(self, cx)
                }

                fn poll_shutdown(
                    self: Pin<&mut Self>,
                    cx: &mut Context<'_>,
                ) -> Poll<io::Result<()>> {
                    futures_io::AsyncWrite::poll_close(self, cx)
                }
            }
        };
    };
}

#[cfg(feature = "tls")]
pub(crate) use tokio_io;

tokio_io!(TcpStream);
tokio_io!(UnixStream);
tokio_io!(AnyStream);
tokio_io!(SendIo<S>, S);

#[cfg(all(test, not(brigade_loom)))]
mod tests {
    use std::io::IoSlice;

    use bytes::BufMut;
    use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

    use super::*;
    use crate::net::TcpListener;
    use crate::{run, spawn};

    #[test]
    fn streams_read_and_write_by_tokios_traits() {
        run(async {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let echo = spawn(async move {
                let (stream, _) = listener.accept().await.unwrap();
                let mut stream = SendIo::new(stream);
                let mut received = Vec::new();
                AsyncReadExt::read_to_end(&mut stream, &mut received).await.unwrap();
                AsyncWriteExt::write_all(&mut stream, &received).await.unwrap();
            });
            let mut client = TcpStream::connect(address).await.unwrap();
            let parts = [IoSlice::new(b"ab"), IoSlice::new(b"cde")];
            assert!(AsyncWrite::is_write_vectored(&client));
            assert_eq!(AsyncWriteExt::write_vectored(&mut client, &parts).await.unwrap(), 5);
            AsyncWriteExt::shutdown(&mut client).await.unwrap();
            // What is in the buffer already stays.
            let mut received = b"> ".to_vec();
            AsyncReadExt::read_to_end(&mut client, &mut received).await.unwrap();
            assert_eq!(received, b"> abcde");
            echo.await.unwrap();
        });
    }

    #[test]
    fn reads_append_to_memory_that_is_not_initialised() {
        run(async {
            let (mut one, mut other) = UnixStream::pair().unwrap();
            AsyncWriteExt::write_all(&mut one, b"0123456789").await.unwrap();
            let mut received = Vec::with_capacity(100);
            for part in [4, 6] {
                let mut part = (&mut received).limit(part);
                AsyncReadExt::read_buf(&mut other, &mut part).await.unwrap();
            }
            assert_eq!(received, b"0123456789");
        });
    }

    #[test]
    fn a_read_fills_no_more_than_the_buffer() {
        run(async {
            let (mut one, mut other) = UnixStream::pair().unwrap();
            AsyncWriteExt::write_all(&mut one, b"0123456789").await.unwrap();
            let mut four = [0; 4];
            AsyncReadExt::read_exact(&mut other, &mut four).await.unwrap();
            assert_eq!(&four, b"0123");
        });
    }
}
