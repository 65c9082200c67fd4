//! The methods and traits that TCP streams and Unix streams share.

/// Implements the methods and traits of a connected stream, whose field `io` is a `Registered`.
macro_rules! stream_methods {
    ($Stream:ty) => {
        impl $Stream {
            /// Waits until the stream is readable. This is a hint: a read may still return
            /// `WouldBlock`.
            ///
            /// # Cancel safety
            /// Safe: dropping the future has no effect.
            pub async fn readable(&self) {
                self.io.ready($crate::executor::selector::Direction::Read).await;
            }

            /// Waits until the stream is writable. This is a hint: a write may still return
            /// `WouldBlock`.
            ///
            /// # Cancel safety
            /// Safe: dropping the future has no effect.
            pub async fn writable(&self) {
                self.io.ready($crate::executor::selector::Direction::Write).await;
            }

            /// Reads into `buffer` without waiting. Returns the number of bytes; 0 at the end of
            /// the stream, or if `buffer` is empty.
            ///
            /// # Errors
            /// `WouldBlock` if there is nothing to read now, and those of recv(2).
            pub fn try_read(&self, buffer: &mut [u8]) -> ::std::io::Result<usize> {
                self.io.try_read(buffer)
            }

            /// Reads without waiting, and appends to `buffer` within its capacity, which need not
            /// be initialised. Returns the number of bytes; 0 at the end of the stream, or if
            /// `buffer` has no spare capacity.
            ///
            /// # Errors
            /// `WouldBlock` if there is nothing to read now, and those of recv(2).
            pub fn try_read_buf(
                &self,
                buffer: &mut ::std::vec::Vec<u8>,
            ) -> ::std::io::Result<usize> {
                self.io.try_read_buf(buffer)
            }

            /// Writes as much of `data` as the system accepts without waiting. Returns the number
            /// of bytes.
            ///
            /// # Errors
            /// `WouldBlock` if the system accepts nothing now, and those of send(2).
            pub fn try_write(&self, data: &[u8]) -> ::std::io::Result<usize> {
                self.io.try_write(data)
            }

            /// Writes as much of the slices in `data`, in their order, as the system accepts
            /// without waiting, of 1,024 slices at most. Returns the number of bytes.
            ///
            /// # Errors
            /// `WouldBlock` if the system accepts nothing now, and those of sendmsg(2).
            pub fn try_write_vectored(
                &self,
                data: &[::std::io::IoSlice<'_>],
            ) -> ::std::io::Result<usize> {
                self.io.try_write_vectored(data)
            }

            /// Calls `operation`, which writes to the socket with a system call of its own, such as
            /// sendfile(2), and does not wait. Returns the number of bytes.
            ///
            /// # Errors
            /// Those of `operation`. Only if that is `WouldBlock` does `writable` wait for the
            /// socket.
            pub fn try_write_with(
                &self,
                mut operation: impl FnMut(
                    ::std::os::fd::BorrowedFd<'_>,
                ) -> ::std::io::Result<usize>,
            ) -> ::std::io::Result<usize> {
                let direction = $crate::executor::selector::Direction::Write;
                self.io.attempt(direction, |socket| {
                    operation(::std::os::fd::AsFd::as_fd(socket))
                })
            }

            /// Polls for the stream to be readable, like `readable`.
            pub fn poll_readable(
                &self,
                cx: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<()> {
                self.io.poll_ready($crate::executor::selector::Direction::Read, cx)
            }

            /// Polls for the stream to be writable, like `writable`.
            pub fn poll_writable(
                &self,
                cx: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<()> {
                self.io.poll_ready($crate::executor::selector::Direction::Write, cx)
            }

            /// Returns `true` if the peer has closed its write direction, or the connection is
            /// gone. Bytes that the peer sent before may still wait to be read.
            ///
            /// This is what the selector has reported so far; it makes no system call. The selector
            /// reports nothing before a task has waited for this stream.
            #[must_use]
            pub fn is_read_closed(&self) -> bool {
                self.io.is_read_closed()
            }

            /// Returns `true` if nothing can be written any more: the peer has reset the
            /// connection, or both directions are closed.
            ///
            /// This is what the selector has reported so far, like `is_read_closed`.
            #[must_use]
            pub fn is_write_closed(&self) -> bool {
                self.io.is_write_closed()
            }

            /// Polls for `is_read_closed` without reading anything, so that a task can notice that
            /// its peer has disconnected while it waits for something else.
            ///
            /// Also ready if the stream cannot be registered with the selector.
            pub fn poll_read_closed(
                &self,
                cx: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<()> {
                self.io.poll_read_closed(cx)
            }

            /// Waits for bytes and reads them into `buffer`. Returns the number of bytes; 0 at the
            /// end of the stream, or if `buffer` is empty.
            ///
            /// # Errors
            /// Those of recv(2), such as `ConnectionReset`.
            ///
            /// # Cancel safety
            /// If the future is dropped before it is ready, nothing was read.
            pub async fn read(&self, buffer: &mut [u8]) -> ::std::io::Result<usize> {
                ::std::future::poll_fn(|cx| self.io.poll_read(cx, buffer)).await
            }

            /// Waits for bytes and appends them to `buffer`, such as a `Vec<u8>` or a `BytesMut`.
            /// Returns the number of bytes; 0 at the end of the stream, or if `buffer` can take
            /// no more.
            ///
            /// Reads at most 16 KiB, and no more than the spare capacity of `buffer`. A buffer
            /// that can grow and has no spare capacity grows by at least 64 bytes first, so
            /// reserve as much as you want to read.
            ///
            /// The spare capacity need not be initialised. The bytes are copied once more than
            /// with `read`; `try_read_buf` reads into a `Vec` without that copy.
            ///
            /// # Errors
            /// Those of recv(2), such as `ConnectionReset`.
            ///
            /// # Cancel safety
            /// If the future is dropped before it is ready, nothing was read.
            pub async fn read_buf(
                &self,
                buffer: &mut impl ::bytes::BufMut,
            ) -> ::std::io::Result<usize> {
                ::std::future::poll_fn(|cx| self.io.poll_read_buf(cx, buffer)).await
            }

            /// Reads until `buffer` is full.
            ///
            /// # Errors
            /// `UnexpectedEof` if the stream ends before that, and those of recv(2).
            ///
            /// # Cancel safety
            /// Not cancel safe: bytes may have been read into `buffer`.
            pub async fn read_exact(&self, buffer: &mut [u8]) -> ::std::io::Result<()> {
                self.io.read_exact(buffer).await
            }

            /// Waits until the system accepts bytes of `data`. Returns their number.
            ///
            /// # Errors
            /// Those of send(2), such as `BrokenPipe`.
            ///
            /// # Cancel safety
            /// If the future is dropped before it is ready, nothing was written.
            pub async fn write(&self, data: &[u8]) -> ::std::io::Result<usize> {
                ::std::future::poll_fn(|cx| self.io.poll_write(cx, data)).await
            }

            /// Writes all of `data`.
            ///
            /// # Errors
            /// Those of send(2), such as `BrokenPipe`. A part of `data` may have been written.
            ///
            /// # Cancel safety
            /// Not cancel safe: a part of `data` may have been written.
            pub async fn write_all(&self, data: &[u8]) -> ::std::io::Result<()> {
                self.io.write_all(data).await
            }

            /// Shuts down one direction, or both. Shutting down the write direction sends a FIN
            /// after the bytes that were written before.
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

/// Implements futures-io's traits for a stream, or for a reference to one.
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
                cx: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<::std::io::Result<()>> {
                $crate::budget::poll_proceed(cx).map(Ok)
            }

            fn poll_close(
                self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<::std::io::Result<()>> {
                let shutdown = |()| self.shutdown(::std::net::Shutdown::Write);
                $crate::budget::poll_proceed(cx).map(shutdown)
            }
        }
    };
}
