//! Reads and writes of a connected stream, by system calls.
//!
//! A call that returns `WouldBlock` clears the readiness of its stream. If
//! [`StreamSocket::short_means_blocked`] returns `true`, so does a read or write of fewer bytes
//! than there was room for, which saves the call that would return `WouldBlock`.
//!
//! The calls are rustix's, not libc's: in a process with threads, libc's are cancellation points
//! (pthreads(7)), which cost time and are not needed here.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::task::{Context, Poll};

use bytes::BufMut;
use rustix::buffer::spare_capacity;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};

use crate::budget::consume_budget;
use crate::executor::selector::{Direction, REPORTS_URGENT_DATA};
use crate::net::any_socket::AnySocket;
use crate::net::registered::Registered;

/// A connected stream.
pub(crate) trait StreamSocket: AsFd {
    /// Returns `true` if the next read or write after a short one would return `WouldBlock`, unless
    /// an event reports something else: the end of the stream, an error or urgent data.
    fn short_means_blocked(&self) -> bool;
}

/// A read of a TCP socket is short in these cases only (tcp_recvmsg in Linux):
///
/// - The socket has no more bytes. Later ones cause an event.
/// - The stream has ended or failed. If that has not been reported yet, it causes an event.
/// - The next byte is urgent (`MSG_OOB`, tcp(7)), and ordinary bytes may follow it. An urgent byte
///   is reported by the event of its arrival, or by one that is still to come.
///
/// Other systems end a read at an urgent byte, too, but the selector does not report it there.
///
/// A write is short if the send buffer is full, and an event follows when it has room; or if the
/// connection has failed.
impl StreamSocket for mio::net::TcpStream {
    fn short_means_blocked(&self) -> bool {
        REPORTS_URGENT_DATA
    }
}

/// A read of a Unix stream is also short where file descriptors or credentials were attached to the
/// bytes (unix(7)), and where a byte is urgent. A write is also short if the system is out of
/// memory. No event reports these.
impl StreamSocket for mio::net::UnixStream {
    fn short_means_blocked(&self) -> bool {
        false
    }
}

/// As for a TCP socket or a Unix stream, whichever it is.
impl StreamSocket for AnySocket {
    fn short_means_blocked(&self) -> bool {
        REPORTS_URGENT_DATA && !self.is_unix()
    }
}

/// The most slices that sendmsg(2) takes: `UIO_MAXIOV` on Linux, `IOV_MAX` elsewhere.
const SLICES_MAX: usize = 1024;

/// The most bytes of one [`Registered::poll_read_buf`]: they pass through the stack. As many as a
/// buffer of a loop usually has, and few enough for the stack of any thread.
const READ_BUF_BYTES_MAX: usize = 16 * 1024;

/// Makes a write to a closed connection return an error instead of raising SIGPIPE. Where the flag
/// does not exist, std and mio have set an option of the socket.
#[cfg(not(target_vendor = "apple"))]
const SEND_FLAGS: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
const SEND_FLAGS: SendFlags = SendFlags::empty();

impl<S: StreamSocket> Registered<S> {
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.attempt(Direction::Read, |socket| {
            Ok(rustix::net::recv(socket, &mut *buffer, RecvFlags::empty())?.0)
        })?;
        self.note_progress(Direction::Read, read, buffer.len());
        Ok(read)
    }

    pub(crate) fn try_read_buf(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let room = buffer.capacity() - buffer.len();
        let read = self.attempt(Direction::Read, |socket| {
            Ok(rustix::net::recv(socket, spare_capacity(buffer), RecvFlags::empty())?.0)
        })?;
        self.note_progress(Direction::Read, read, room);
        Ok(read)
    }

    /// Reads into the spare capacity of `buffer`. Only unsafe code could let the system write
    /// there, so the bytes are received on the stack and copied. Nothing is initialised before it
    /// is overwritten.
    fn try_read_any_buf(&self, buffer: &mut impl BufMut) -> io::Result<usize> {
        let mut received = [MaybeUninit::uninit(); READ_BUF_BYTES_MAX];
        let room = buffer.chunk_mut().len().min(received.len());
        let read = self.attempt(Direction::Read, |socket| {
            let room = &mut received[..room];
            let ((received, _), _) = rustix::net::recv(socket, room, RecvFlags::empty())?;
            buffer.put_slice(received);
            Ok(received.len())
        })?;
        self.note_progress(Direction::Read, read, room);
        Ok(read)
    }

    /// Clears the readiness if an operation that could transfer `room` bytes was short.
    fn note_progress(&self, direction: Direction, transferred: usize, room: usize) {
        if transferred < room && self.socket().short_means_blocked() {
            self.clear_ready(direction);
        }
    }

    pub(crate) fn try_write(&self, data: &[u8]) -> io::Result<usize> {
        let written = self
            .attempt(Direction::Write, |socket| Ok(rustix::net::send(socket, data, SEND_FLAGS)?))?;
        self.note_progress(Direction::Write, written, data.len());
        Ok(written)
    }

    pub(crate) fn try_write_vectored(&self, data: &[IoSlice<'_>]) -> io::Result<usize> {
        // Without the empty ones at the start, so that 0 bytes are written only if all are empty.
        let start = data.iter().take_while(|slice| slice.is_empty()).count();
        let data = &data[start..data.len().min(start + SLICES_MAX)];
        let written = self.attempt(Direction::Write, |socket| {
            let no_ancillary_data = &mut SendAncillaryBuffer::default();
            Ok(rustix::net::sendmsg(socket, data, no_ancillary_data, SEND_FLAGS)?)
        })?;
        self.note_progress(Direction::Write, written, data.iter().map(|slice| slice.len()).sum());
        Ok(written)
    }

    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_attempt(Direction::Read, cx, || self.try_read(buffer))
    }

    pub(crate) fn poll_read_buf(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut impl BufMut,
    ) -> Poll<io::Result<usize>> {
        self.poll_attempt(Direction::Read, cx, || self.try_read_any_buf(buffer))
    }

    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_attempt(Direction::Write, cx, || self.try_write(data))
    }

    pub(crate) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_attempt(Direction::Write, cx, || self.try_write_vectored(data))
    }

    pub(crate) async fn write_all(&self, mut data: &[u8]) -> io::Result<()> {
        if data.is_empty() {
            consume_budget().await;
        }
        while !data.is_empty() {
            match poll_fn(|cx| self.poll_write(cx, data)).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => data = &data[written..],
            }
        }
        Ok(())
    }

    pub(crate) async fn read_exact(&self, mut buffer: &mut [u8]) -> io::Result<()> {
        if buffer.is_empty() {
            consume_budget().await;
        }
        while !buffer.is_empty() {
            match poll_fn(|cx| self.poll_read(cx, buffer)).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => buffer = &mut buffer[read..],
            }
        }
        Ok(())
    }
}

#[cfg(all(test, not(brigade_loom)))]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::time::Duration;

    use futures_util::FutureExt;
    use socket2::SockRef;

    use super::*;
    use crate::executor::core::Core;
    use crate::threads::blocking::spawn_blocking;
    use crate::{run, spawn};

    type Stream = Registered<TcpStream>;

    impl StreamSocket for TcpStream {
        fn short_means_blocked(&self) -> bool {
            REPORTS_URGENT_DATA
        }
    }

    /// The number of sockets that are registered with this thread's loop.
    fn registered() -> usize {
        Core::current().selector().len()
    }

    fn lazy(stream: TcpStream) -> Stream {
        stream.set_nonblocking(true).unwrap();
        Registered::lazy(stream)
    }

    /// Returns an accepted connection and its peer, which is not on a loop.
    fn accepted() -> (Stream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (lazy(listener.accept().unwrap().0), peer)
    }

    /// Returns the bytes of one read.
    async fn read(stream: &Stream) -> io::Result<Vec<u8>> {
        let mut buffer = [0; 100];
        let read = poll_fn(|cx| stream.poll_read(cx, &mut buffer)).await?;
        Ok(buffer[..read].to_vec())
    }

    #[test]
    fn a_stream_that_only_writes_is_never_registered() {
        run(async {
            let (stream, mut peer) = accepted();
            stream.write_all(b"greeting").await.unwrap();
            assert_eq!(registered(), 0);
            drop(stream);
            let mut greeting = Vec::new();
            peer.read_to_end(&mut greeting).unwrap();
            assert_eq!(greeting, b"greeting");
        });
    }

    #[test]
    fn the_first_read_waits_for_the_selector() {
        run(async {
            let (stream, mut peer) = accepted();
            peer.write_all(b"request").unwrap();
            assert!(read(&stream).now_or_never().is_none());
            assert_eq!(registered(), 1);
            assert_eq!(read(&stream).await.unwrap(), b"request");
        });
    }

    #[test]
    fn try_read_buf_appends_within_the_capacity() {
        run(async {
            let (stream, mut peer) = accepted();
            let mut buffer = Vec::with_capacity(8);
            buffer.extend_from_slice(b"ab");
            let (capacity, address) = (buffer.capacity(), buffer.as_ptr());
            let error = stream.try_read_buf(&mut buffer).unwrap_err();
            assert_eq!((error.kind(), &buffer[..]), (ErrorKind::WouldBlock, &b"ab"[..]));
            peer.write_all(&[b'x'; 100]).unwrap();
            stream.ready(Direction::Read).await;
            assert_eq!(stream.try_read_buf(&mut buffer).unwrap(), capacity - 2);
            assert_eq!((buffer.len(), buffer.as_ptr()), (capacity, address));
            assert!(buffer.starts_with(b"abx"));
            assert_eq!(stream.try_read_buf(&mut buffer).unwrap(), 0, "no room");
            // The read filled the buffer, so the stream is still ready without another event.
            assert!(stream.ready(Direction::Read).now_or_never().is_some());
            drop(peer);
            let mut rest = Vec::with_capacity(200);
            while stream.try_read_buf(&mut rest).unwrap() > 0 {
                stream.ready(Direction::Read).await;
            }
            assert_eq!(rest.len(), 100 - (capacity - 2));
        });
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_short_read_ends_the_readiness_of_a_tcp_stream_that_has_no_urgent_data() {
        run(async {
            let (stream, mut peer) = accepted();
            let is_ready = || stream.ready(Direction::Read).now_or_never().is_some();
            for _ in 0..3 {
                peer.write_all(b"request").unwrap();
                assert_eq!(read(&stream).await.unwrap(), b"request");
                assert!(!is_ready());
            }
            SockRef::from(&peer).send_out_of_band(b"!").unwrap();
            peer.write_all(b"request").unwrap();
            assert_eq!(read(&stream).await.unwrap(), b"request");
            assert!(is_ready());
            assert_eq!(stream.try_read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
            assert!(!is_ready());
        });
    }

    #[test]
    fn a_stream_that_has_waited_stays_registered_until_it_is_dropped() {
        run(async {
            let (stream, mut peer) = accepted();
            for _ in 0..3 {
                let writing = spawn(async move {
                    let while_waiting = registered();
                    peer.write_all(b"request").unwrap();
                    (while_waiting, peer)
                });
                assert_eq!(read(&stream).await.unwrap(), b"request");
                let while_waiting;
                (while_waiting, peer) = writing.await.unwrap();
                assert_eq!((while_waiting, registered()), (1, 1));
            }
            drop(stream);
            assert_eq!(registered(), 0);
        });
    }

    #[test]
    fn a_stream_that_waits_to_read_gets_no_event_for_being_writable() {
        run(async {
            let (stream, mut peer) = accepted();
            let core = Core::current();
            let selector = core.selector();
            assert!(read(&stream).now_or_never().is_none());
            selector.wait(Some(Duration::ZERO)).unwrap();
            assert_eq!((registered(), selector.mark_ready()), (1, 0));
            peer.write_all(b"request").unwrap();
            selector.wait(Some(Duration::from_secs(10))).unwrap();
            assert_eq!(selector.mark_ready(), 1);
        });
    }

    #[test]
    fn a_stream_that_has_waited_to_read_can_wait_to_write() {
        run(async {
            let (stream, mut peer) = accepted();
            assert!(read(&stream).now_or_never().is_none());
            let mut written = 0;
            while let Ok(part) = stream.try_write(&[1; 64 * 1024]) {
                written += part;
            }
            let reading = spawn_blocking(move || {
                let mut bytes = vec![0; written + 1];
                peer.read_exact(&mut bytes).map(|()| bytes)
            });
            stream.write_all(b"2").await.unwrap();
            assert_eq!(reading.await.unwrap().unwrap().last(), Some(&b'2'));
        });
    }

    #[test]
    fn a_stream_that_was_deregistered_can_be_registered_again() {
        run(async {
            let (stream, mut peer) = accepted();
            let stream = lazy(stream.into_inner().unwrap());
            assert!(read(&stream).now_or_never().is_none());
            assert_eq!(registered(), 1);
            let socket = stream.into_inner().unwrap();
            assert_eq!(registered(), 0);
            let stream = lazy(socket);
            let reading = spawn(async move { read(&stream).await });
            spawn(async move { peer.write_all(b"again").unwrap() }).detach();
            assert_eq!(reading.await.unwrap().unwrap(), b"again");
        });
    }

    #[test]
    fn a_fin_that_arrived_before_the_registration_is_noticed() {
        run(async {
            let (stream, mut peer) = accepted();
            peer.write_all(b"last bytes").unwrap();
            peer.shutdown(Shutdown::Write).unwrap();
            assert!(registered() == 0 && !stream.is_read_closed());
            poll_fn(|cx| stream.poll_read_closed(cx)).await;
            assert!(stream.is_read_closed() && !stream.is_write_closed());
            assert_eq!(read(&stream).await.unwrap(), b"last bytes");
            assert_eq!(read(&stream).await.unwrap(), b"");
            stream.write_all(b"response").await.unwrap();
        });
    }

    #[test]
    fn a_reset_that_arrived_before_the_registration_is_noticed() {
        run(async {
            let (stream, peer) = accepted();
            SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
            drop(peer);
            assert_eq!(registered(), 0);
            poll_fn(|cx| stream.poll_read_closed(cx)).await;
            assert!(stream.is_write_closed());
            assert_eq!(read(&stream).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        });
    }
}
