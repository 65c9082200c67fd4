//! What TCP streams and Unix streams have in common.

/// The methods and traits of a connected stream whose field `io` is registered.
macro_rules! stream_methods {
    ($Stream:ty) => {
        impl $Stream {
            /// Waits until reading most likely does not block. The hint may be wrong.
            pub async fn readable(&self) {
                self.io.ready($crate::executor::selector::Direction::Read).await;
            }

            /// Waits until writing most likely does not block. The hint may be wrong.
            pub async fn writable(&self) {
                self.io.ready($crate::executor::selector::Direction::Write).await;
            }

            /// Reads what is there, up to the length of `buffer`. Returns how many bytes it was; 0
            /// at the end of what the peer sends, or for an empty buffer.
            ///
            /// # Errors
            /// `WouldBlock` if nothing is there, and those of recv(2).
            pub fn try_read(&self, buffer: &mut [u8]) -> ::std::io::Result<usize> {
                self.io.try_read(buffer)
            }

            /// Reads what is there to the end of `buffer`, as far as that has room without growing:
            /// memory that need not be initialised before. Returns how many bytes it was; 0 at the
            /// end of what the peer sends, or without room.
            ///
            /// # Errors
            /// `WouldBlock` if nothing is there, and those of recv(2).
            pub fn try_read_buf(
                &self,
                buffer: &mut ::std::vec::Vec<u8>,
            ) -> ::std::io::Result<usize> {
                self.io.try_read_buf(buffer)
            }

            /// Writes as much of `data` as the system takes now, and returns how much that was.
            ///
            /// # Errors
            /// `WouldBlock` if it takes nothing, and those of send(2).
            pub fn try_write(&self, data: &[u8]) -> ::std::io::Result<usize> {
                self.io.try_write(data)
            }

            /// Writes as much of `data`, slice after slice, as the system takes now, and returns
            /// how much that was.
            ///
            /// # Errors
            /// `WouldBlock` if it takes nothing, and those of sendmsg(2).
            pub fn try_write_vectored(
                &self,
                data: &[::std::io::IoSlice<'_>],
            ) -> ::std::io::Result<usize> {
                self.io.try_write_vectored(data)
            }

            /// Ready when reading most likely does not block.
            pub fn poll_readable(
                &self,
                cx: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<()> {
                self.io.poll_ready($crate::executor::selector::Direction::Read, cx)
            }

            /// Ready when writing most likely does not block.
            pub fn poll_writable(
                &self,
                cx: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<()> {
                self.io.poll_ready($crate::executor::selector::Direction::Write, cx)
            }

            /// Waits for bytes and reads them, up to the length of `buffer`. Returns how many it
            /// was; 0 at the end of what the peer sends. Cancellation safe: without a result
            /// nothing was read.
            ///
            /// # Errors
            /// Those of recv(2), such as `ConnectionReset`.
            pub async fn read(&self, buffer: &mut [u8]) -> ::std::io::Result<usize> {
                ::std::future::poll_fn(|cx| self.io.poll_read(cx, buffer)).await
            }

            /// Fills `buffer`.
            ///
            /// # Errors
            /// `UnexpectedEof` if the peer sends less, and those of recv(2).
            pub async fn read_exact(&self, buffer: &mut [u8]) -> ::std::io::Result<()> {
                self.io.read_exact(buffer).await
            }

            /// Writes some of `data` and returns how much. Cancellation safe: without a result
            /// nothing was written.
            ///
            /// # Errors
            /// Those of send(2), such as `BrokenPipe`.
            pub async fn write(&self, data: &[u8]) -> ::std::io::Result<usize> {
                ::std::future::poll_fn(|cx| self.io.poll_write(cx, data)).await
            }

            /// Writes all of `data`.
            ///
            /// # Errors
            /// Those of send(2), such as `BrokenPipe`; some of `data` may have been written.
            pub async fn write_all(&self, data: &[u8]) -> ::std::io::Result<()> {
                self.io.write_all(data).await
            }

            /// Ends one direction, or both. Ending the writing sends a FIN, behind what was
            /// written before.
            ///
            /// # Errors
            /// Those of shutdown(2), such as `NotConnected`.
            pub fn shutdown(&self, how: ::std::net::Shutdown) -> ::std::io::Result<()> {
                self.io.socket().shutdown(how)
            }
        }

        stream_traits!($Stream);
        stream_traits!(&$Stream);

        impl ::std::fmt::Debug for $Stream {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                self.io.socket().fmt(f)
            }
        }
    };
}

/// futures-io's traits for a stream, or a reference to one.
macro_rules! stream_traits {
    ($Stream:ty) => {
        impl ::futures_io::AsyncRead for $Stream {
            fn poll_read(
                self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
                buffer: &mut [u8],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                self.io.poll_read(cx, buffer)
            }
        }

        impl ::futures_io::AsyncWrite for $Stream {
            fn poll_write(
                self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
                data: &[u8],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                self.io.poll_write(cx, data)
            }

            fn poll_write_vectored(
                self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
                data: &[::std::io::IoSlice<'_>],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                self.io.poll_write_vectored(cx, data)
            }

            fn poll_flush(
                self: ::std::pin::Pin<&mut Self>,
                _: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<::std::io::Result<()>> {
                ::std::task::Poll::Ready(Ok(()))
            }

            fn poll_close(
                self: ::std::pin::Pin<&mut Self>,
                _: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<::std::io::Result<()>> {
                ::std::task::Poll::Ready(self.shutdown(::std::net::Shutdown::Write))
            }
        }
    };
}
