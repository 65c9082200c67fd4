//! A TLS connection, used like a socket.
//!
//! [`TlsStream`] passes ciphertext between its socket and its session. A read of the socket goes
//! through a buffer that all streams of the thread share; a write goes from the buffers of rustls
//! to the socket. A stream that waits holds no buffer, except for ciphertext that the socket did
//! not accept and plaintext that nobody has read.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::net::Shutdown;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BufMut;
use rustls::pki_types::CertificateDer;

use crate::budget;
use crate::net::{AnyStream, PeerAddr};
use crate::tls::session::{Session, Sink, UNSENT_BYTES_MAX};
use crate::tls::version::TlsVersion;

/// The most plaintext that one write accepts: four records. What a write accepts is encrypted at
/// once, so this bounds what a stream keeps if its peer does not read.
pub const WRITE_BYTES_MAX: usize = UNSENT_BYTES_MAX;

/// The least and the most ciphertext that one read of a socket takes.
const RECEIVE_BYTES_MIN: usize = 4 * 1024;
const RECEIVE_BYTES_MAX: usize = 64 * 1024;

/// What is read of the socket beyond the size of the reader's buffer: the headers and tags of a few
/// records.
const OVERHEAD_BYTES: usize = 512;

thread_local! {
    /// Receives ciphertext. Taken while it is in use.
    static RECEIVED: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A TLS connection over a socket of this thread's loop, after its handshake.
///
/// Reads and writes take `&self`: one task may read while another one writes. It also implements
/// [`AsyncRead`](futures_io::AsyncRead) and [`AsyncWrite`](futures_io::AsyncWrite) of futures-io,
/// and so does a reference to it.
///
/// # Writing
/// A write encrypts up to [`WRITE_BYTES_MAX`], sends what the socket accepts, and keeps the rest.
/// The rest is sent by the next write, which waits for that, by [`TlsStream::flush`], and while
/// the stream is polled for reading. So flush before waiting for anything else. `write_all`
/// flushes.
///
/// # Closing
/// [`TlsStream::close`] sends `close_notify`, by which the peer knows that it has received
/// everything, and then a FIN. Dropping the stream, or [`TlsStream::abort`], closes the socket
/// without it, and the peer sees a connection that was cut: a read at its end returns
/// `UnexpectedEof`.
pub struct TlsStream {
    io: AnyStream,
    // In a box, because a stream is moved between futures.
    session: Box<RefCell<Session>>,
}

/// # Reading and writing without waiting
impl TlsStream {
    pub(super) fn new(io: AnyStream, session: Box<RefCell<Session>>) -> Self {
        Self { io, session }
    }

    /// Polls for the stream to be readable. This is a hint: a read may still return `WouldBlock`,
    /// for example if the socket has only a part of a record. Meanwhile sends what is unsent.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        while self.has_unsent() && self.io.poll_writable(cx).is_ready() {
            match self.try_flush() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // The next write or flush returns an error. Reading may still be possible.
                _ => break,
            }
        }
        if self.session.borrow().is_readable() {
            return budget::poll_socket(cx);
        }
        self.io.poll_readable(cx)
    }

    /// Polls for the socket to be writable. This is a hint: a write may still return `WouldBlock`.
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.io.poll_writable(cx)
    }

    /// Reads into `buffer` without waiting. Returns the number of bytes; 0 at the end of the
    /// stream, or if `buffer` is empty. Reads from the socket once at most.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is decrypted and the socket has no complete record; `UnexpectedEof`
    /// if the peer has closed the connection without `close_notify`; `InvalidData` if the peer has
    /// broken the protocol; `ConnectionAborted` if it has sent an alert; and those of recv(2).
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        self.try_read_with(buffer.len(), |part| {
            buffer[filled..filled + part.len()].copy_from_slice(part);
            filled += part.len();
        })
    }

    /// Reads without waiting, and appends to `buffer` within its capacity. Returns the number of
    /// bytes; 0 at the end of the stream, or if `buffer` has no spare capacity.
    ///
    /// # Errors
    /// Those of [`TlsStream::try_read`].
    pub fn try_read_buf(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let room = buffer.capacity() - buffer.len();
        self.try_read_with(room, |part| buffer.extend_from_slice(part))
    }

    /// Passes up to `room` bytes to `put`, in pieces. Returns their number.
    fn try_read_with(&self, room: usize, mut put: impl FnMut(&[u8])) -> io::Result<usize> {
        let session = &mut *self.session.borrow_mut();
        let sink = &mut Sink::new(room, &mut put);
        match session.read(sink) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            result => return result,
        }
        receive_with(&self.io, room, |ciphertext| match ciphertext {
            [] => session.receive_end(),
            ciphertext => session.receive(ciphertext, sink),
        })?;
        // Alerts and key updates. If they cannot be sent, the next write or flush returns why.
        let _ = send(&self.io, session);
        session.read(sink)
    }

    /// Encrypts up to [`WRITE_BYTES_MAX`] of `data` and sends as much of it as the system accepts
    /// without waiting. Returns the number of bytes that were encrypted; the rest is sent later,
    /// see [`TlsStream::has_unsent`].
    ///
    /// # Errors
    /// `WouldBlock` if the system does not accept what earlier writes have left, then nothing of
    /// `data` was encrypted; `BrokenPipe` after a shutdown; and those of send(2).
    pub fn try_write(&self, data: &[u8]) -> io::Result<usize> {
        let data = &data[..data.len().min(WRITE_BYTES_MAX)];
        self.try_write_vectored(&[IoSlice::new(data)])
    }

    /// Encrypts the slices in `data`, in their order, as [`TlsStream::try_write`] does.
    ///
    /// # Errors
    /// Those of [`TlsStream::try_write`].
    pub fn try_write_vectored(&self, data: &[IoSlice<'_>]) -> io::Result<usize> {
        let session = &mut *self.session.borrow_mut();
        send(&self.io, session)?;
        let written = session.write(data)?;
        match send(&self.io, session) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(written),
        }
    }

    /// Sends what earlier writes have left. After [`TlsStream::shutdown`], also the FIN.
    ///
    /// # Errors
    /// `WouldBlock` if the system does not accept everything now, and those of send(2).
    pub fn try_flush(&self) -> io::Result<()> {
        send(&self.io, &mut self.session.borrow_mut())
    }

    /// Returns `true` if bytes were encrypted that the system has not accepted yet.
    #[must_use]
    pub fn has_unsent(&self) -> bool {
        self.session.borrow().has_unsent()
    }

    /// Shuts down one direction, or both. Shutting down the write direction sends `close_notify`
    /// and then a FIN, after what was written before.
    ///
    /// # Errors
    /// `WouldBlock` if the system does not accept everything now: call [`TlsStream::try_flush`]
    /// when the stream is writable. And those of send(2) and shutdown(2).
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if how != Shutdown::Write {
            self.io.shutdown(Shutdown::Read)?;
        }
        if how == Shutdown::Read {
            return Ok(());
        }
        let session = &mut *self.session.borrow_mut();
        session.close();
        send(&self.io, session)
    }

    /// Shuts down both directions of the socket at once, without `close_notify`, so that the peer
    /// knows that it has not received everything. What is unsent is dropped.
    ///
    /// # Errors
    /// Those of shutdown(2), such as `NotConnected`.
    pub fn abort(&self) -> io::Result<()> {
        self.io.shutdown(Shutdown::Both)
    }

    /// Polls for [`TlsStream::is_read_closed`] without reading anything.
    pub fn poll_read_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.session.borrow().is_ended() {
            return budget::poll_socket(cx);
        }
        self.io.poll_read_closed(cx)
    }
}

/// # Reading and writing
impl TlsStream {
    /// Waits until the stream is readable. This is a hint, see [`TlsStream::poll_readable`].
    ///
    /// # Cancel safety
    /// Safe: dropping the future has no effect.
    pub async fn readable(&self) {
        poll_fn(|cx| self.poll_readable(cx)).await;
    }

    /// Waits until the socket is writable. This is a hint.
    ///
    /// # Cancel safety
    /// Safe: dropping the future has no effect.
    pub async fn writable(&self) {
        poll_fn(|cx| self.poll_writable(cx)).await;
    }

    /// Waits for bytes and reads them into `buffer`. Returns the number of bytes; 0 at the end of
    /// the stream, or if `buffer` is empty.
    ///
    /// # Errors
    /// Those of [`TlsStream::try_read`] except `WouldBlock`.
    ///
    /// # Cancel safety
    /// If the future is dropped before it is ready, nothing was read.
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_read(cx, buffer)).await
    }

    /// Waits for bytes and appends them to `buffer`, such as a `Vec<u8>` or a `BytesMut`. Returns
    /// the number of bytes; 0 at the end of the stream, or if `buffer` can take no more.
    ///
    /// Reads no more than the spare capacity of `buffer`. A buffer that can grow and has no spare
    /// capacity grows by at least 64 bytes first, so reserve as much as you want to read.
    ///
    /// # Errors
    /// Those of [`TlsStream::try_read`] except `WouldBlock`.
    ///
    /// # Cancel safety
    /// If the future is dropped before it is ready, nothing was read.
    pub async fn read_buf(&self, buffer: &mut impl BufMut) -> io::Result<usize> {
        poll_fn(|cx| {
            self.poll_attempt_read(cx, || {
                let room = buffer.chunk_mut().len();
                self.try_read_with(room, |part| buffer.put_slice(part))
            })
        })
        .await
    }

    /// Reads until `buffer` is full.
    ///
    /// # Errors
    /// `UnexpectedEof` if the stream ends before that, and those of [`TlsStream::try_read`].
    ///
    /// # Cancel safety
    /// Not cancel safe: bytes may have been read into `buffer`.
    pub async fn read_exact(&self, mut buffer: &mut [u8]) -> io::Result<()> {
        if buffer.is_empty() {
            budget::consume_budget().await;
        }
        while !buffer.is_empty() {
            match self.read(buffer).await? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                read => buffer = &mut buffer[read..],
            }
        }
        Ok(())
    }

    /// Waits until the socket has accepted what earlier writes have left, and encrypts and sends
    /// up to [`WRITE_BYTES_MAX`] of `data`. Returns the number of bytes that were encrypted.
    ///
    /// # Errors
    /// Those of [`TlsStream::try_write`] except `WouldBlock`.
    ///
    /// # Cancel safety
    /// If the future is dropped before it is ready, nothing was written.
    pub async fn write(&self, data: &[u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_write(cx, data)).await
    }

    /// Writes all of `data`, and flushes.
    ///
    /// # Errors
    /// Those of [`TlsStream::try_write`] except `WouldBlock`. A part of `data` may have been
    /// written.
    ///
    /// # Cancel safety
    /// Not cancel safe: a part of `data` may have been written.
    pub async fn write_all(&self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            data = &data[self.write(data).await?..];
        }
        self.flush().await
    }

    /// Waits until the system has accepted everything that was written.
    ///
    /// # Errors
    /// Those of send(2).
    ///
    /// # Cancel safety
    /// Safe: what is left can be sent later.
    pub async fn flush(&self) -> io::Result<()> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Sends what is left, `close_notify` and a FIN. The other direction stays open: what the peer
    /// still sends can be read.
    ///
    /// # Errors
    /// Those of send(2) and shutdown(2).
    ///
    /// # Cancel safety
    /// Safe: it can be called again.
    pub async fn close(&self) -> io::Result<()> {
        poll_fn(|cx| self.poll_close(cx)).await
    }

    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_attempt_read(cx, || self.try_read(buffer))
    }

    fn poll_attempt_read(
        &self,
        cx: &mut Context<'_>,
        mut attempt: impl FnMut() -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_readable(cx));
            match attempt() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    pub(super) fn poll_write(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_attempt_write(cx, || self.try_write(data))
    }

    pub(super) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_attempt_write(cx, || self.try_write_vectored(data))
    }

    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.has_unsent() {
            true => self.poll_attempt_write(cx, || self.try_flush()),
            false => budget::poll_proceed(cx).map(Ok),
        }
    }

    pub(super) fn poll_close(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_attempt_write(cx, || self.shutdown(Shutdown::Write))
    }

    fn poll_attempt_write<T>(
        &self,
        cx: &mut Context<'_>,
        mut attempt: impl FnMut() -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            ready!(self.io.poll_writable(cx));
            match attempt() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }
}

/// # What was negotiated
impl TlsStream {
    /// Returns the version of TLS.
    #[must_use]
    pub fn protocol_version(&self) -> TlsVersion {
        self.session.borrow().version()
    }

    /// Returns the name of the cipher suite, such as `TLS13_AES_128_GCM_SHA256`.
    #[must_use]
    pub fn cipher_suite(&self) -> &'static str {
        self.session.borrow().cipher_suite()
    }

    /// Returns the name of the group by which the key was agreed on, as IANA lists it in its "TLS
    /// Supported Groups", such as `X25519MLKEM768`. `unknown` if a session of TLS 1.2 was resumed:
    /// no key is exchanged then.
    #[must_use]
    pub fn key_exchange_group(&self) -> &'static str {
        self.session.borrow().key_exchange_group()
    }

    /// Returns `true` if the handshake has resumed an earlier session.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.session.borrow().is_resumed()
    }

    /// Returns the protocol that both sides have chosen by ALPN (RFC 7301). `None` if the client
    /// has offered none, or the server has none.
    #[must_use]
    pub fn alpn_protocol(&self) -> Option<Vec<u8>> {
        self.session.borrow().alpn_protocol().map(<[u8]>::to_vec)
    }

    /// Returns `true` if both sides have chosen `protocol` by ALPN, such as `h2`.
    #[must_use]
    pub fn is_alpn_protocol(&self, protocol: impl AsRef<[u8]>) -> bool {
        self.session.borrow().alpn_protocol() == Some(protocol.as_ref())
    }

    /// Returns the name of the server that the client has sent (SNI, RFC 6066 section 3). `None` if
    /// it has sent none, and on the client's side.
    #[must_use]
    pub fn server_name(&self) -> Option<String> {
        self.session.borrow().server_name().map(str::to_owned)
    }

    /// Returns the certificates that the peer has sent, its own first, in DER. They were verified.
    /// `None` if it has sent none.
    #[must_use]
    pub fn peer_certificates(&self) -> Option<Vec<CertificateDer<'static>>> {
        self.session.borrow().peer_certificates().map(<[_]>::to_vec)
    }
}

/// # The socket
impl TlsStream {
    /// Returns `true` if the peer has closed its write direction, or the connection is gone. Bytes
    /// that the peer sent before may still wait to be read.
    ///
    /// This is what was reported so far, see
    /// [`AnyStream::is_read_closed`](crate::net::AnyStream::is_read_closed).
    #[must_use]
    pub fn is_read_closed(&self) -> bool {
        self.session.borrow().is_ended() || self.io.is_read_closed()
    }

    /// Returns `true` if nothing can be written any more: the peer has reset the connection, or
    /// both directions are closed.
    #[must_use]
    pub fn is_write_closed(&self) -> bool {
        self.io.is_write_closed()
    }

    /// Returns the address of the peer.
    ///
    /// # Errors
    /// Those of getpeername(2), such as `NotConnected` if the connection is gone.
    pub fn peer_addr(&self) -> io::Result<PeerAddr> {
        self.io.peer_addr()
    }

    /// Sets `SO_LINGER` (socket(7)). With a duration of zero, dropping the stream resets the
    /// connection.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.io.set_linger(linger)
    }

    /// Returns the socket, for its options. What is written to it directly breaks the connection.
    #[must_use]
    pub fn socket(&self) -> &AnyStream {
        &self.io
    }
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream")
            .field("socket", &self.io)
            .field("version", &self.protocol_version())
            .finish_non_exhaustive()
    }
}

/// Reads once from the socket, and passes what was read to `take`; nothing at the end. `room` is
/// how much plaintext is wanted.
///
/// # Errors
/// Those of recv(2), such as `WouldBlock`.
pub(super) fn receive_with<T>(
    io: &AnyStream,
    room: usize,
    take: impl FnOnce(&[u8]) -> T,
) -> io::Result<T> {
    let size = room.saturating_add(OVERHEAD_BYTES).clamp(RECEIVE_BYTES_MIN, RECEIVE_BYTES_MAX);
    let mut buffer = RECEIVED.take();
    if buffer.len() < size {
        buffer.resize(size, 0);
    }
    let taken = io.try_read(&mut buffer[..size]).map(|read| take(&buffer[..read]));
    RECEIVED.set(buffer);
    taken
}

/// Sends what `session` has left, and the FIN if it is due.
///
/// # Errors
/// `WouldBlock` if the system does not accept everything now, and those of send(2).
pub(super) fn send(io: &AnyStream, session: &mut Session) -> io::Result<()> {
    session.send(&mut Socket(io))?;
    match session.take_fin() {
        true => io.shutdown(Shutdown::Write),
        false => Ok(()),
    }
}

/// The writing side of a socket, as rustls wants it.
struct Socket<'a>(&'a AnyStream);

impl io::Write for Socket<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.try_write(data)
    }

    fn write_vectored(&mut self, data: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
