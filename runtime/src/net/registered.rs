//! A socket and its place in the selector of this thread's loop.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use rustix::buffer::spare_capacity;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};

use crate::executor::core::Core;
use crate::executor::selector::Direction;
use crate::executor::slots::Key;

/// A socket and its place in the selector; it leaves the selector when dropped.
pub(crate) struct Registered<S> {
    entry: Entry,
    socket: S,
}

/// A place in the selector. Declared before its socket, and so dropped before it.
struct Entry {
    core: Rc<Core>,
    key: Key,
}

impl<S: AsFd> Registered<S> {
    /// Registers `socket` at once, for what is waited for first, and hears from the selector before
    /// anything is tried.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    #[track_caller]
    pub(crate) fn new(socket: S, first: Direction) -> io::Result<Self> {
        let registered = Self { entry: Entry::new(false), socket };
        let Entry { core, key } = &registered.entry;
        core.selector().register(*key, registered.socket.as_fd(), first)?;
        Ok(registered)
    }

    /// For a socket that is open: what is written is tried first, and it is registered when
    /// something is to be read, or has to wait to be written. To read from a connection that just
    /// came is in vain most times, since the request comes after it. If it cannot be registered,
    /// whatever would wait gets the error.
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    #[track_caller]
    pub(crate) fn lazy(socket: S) -> Self {
        Self { entry: Entry::new(true), socket }
    }

    pub(crate) fn socket(&self) -> &S {
        &self.socket
    }

    /// The socket, no longer registered.
    pub(crate) fn into_inner(self) -> io::Result<S> {
        let Self { entry, socket } = self;
        entry.core.selector().deregister(entry.key, socket.as_fd())?;
        Ok(socket)
    }

    /// Ready when an operation in `direction` most likely does not block, or cannot be waited for.
    /// Inlined into those who know the direction.
    #[inline(always)]
    pub(crate) fn poll_ready(&self, direction: Direction, cx: &mut Context<'_>) -> Poll<()> {
        let Entry { core, key } = &self.entry;
        core.selector().poll_ready(*key, self.socket.as_fd(), direction, cx)
    }

    pub(crate) async fn ready(&self, direction: Direction) {
        poll_fn(|cx| self.poll_ready(direction, cx)).await;
    }

    /// The socket is not ready after all. An error if it cannot be waited for.
    pub(crate) fn would_block(&self, direction: Direction) -> io::Result<()> {
        self.entry.core.selector().would_block(self.entry.key, direction)
    }

    /// Nothing more is there in `direction`, as far as is known.
    pub(super) fn clear_ready(&self, direction: Direction) {
        self.entry.core.selector().clear_ready(self.entry.key, direction);
    }

    pub(crate) fn is_read_closed(&self) -> bool {
        self.entry.core.selector().is_read_closed(self.entry.key)
    }

    pub(crate) fn is_write_closed(&self) -> bool {
        self.entry.core.selector().is_write_closed(self.entry.key)
    }

    pub(crate) fn poll_read_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let Entry { core, key } = &self.entry;
        core.selector().poll_read_closed(*key, self.socket.as_fd(), cx)
    }

    /// Does `operation` once, and notes if the socket is drained. Instead of `WouldBlock` it
    /// returns why the socket cannot be waited for, if that was tried in vain.
    pub(crate) fn attempt<T>(
        &self,
        direction: Direction,
        mut operation: impl FnMut(&S) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            match operation(self.socket()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(self.would_block(direction).err().unwrap_or(error));
                }
                result => return result,
            }
        }
    }

    /// Does `operation` as soon as it does not block.
    pub(crate) fn poll_io<T>(
        &self,
        direction: Direction,
        cx: &mut Context<'_>,
        mut operation: impl FnMut(&S) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        self.poll_until_ready(direction, cx, || self.attempt(direction, &mut operation))
    }

    /// Makes `attempt` as soon as it does not end in `WouldBlock`.
    fn poll_until_ready<T>(
        &self,
        direction: Direction,
        cx: &mut Context<'_>,
        mut attempt: impl FnMut() -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            ready!(self.poll_ready(direction, cx));
            match attempt() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    /// Does `operation` once it does not block.
    pub(crate) async fn io<T>(
        &self,
        direction: Direction,
        mut operation: impl FnMut(&S) -> io::Result<T>,
    ) -> io::Result<T> {
        poll_fn(|cx| self.poll_io(direction, cx, &mut operation)).await
    }
}

/// A connection that is gone is told by an error, not by a signal. Where the flag is missing std
/// and mio have set an option of the socket.
#[cfg(not(target_vendor = "apple"))]
const SEND_FLAGS: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
const SEND_FLAGS: SendFlags = SendFlags::empty();

/// Streams: what was read or written short is taken as a sign that the system has no more, so the
/// attempt that would say so is spared. They are read and written by the system call itself: in a
/// process with threads libc's functions are points of cancellation, which nobody here asks for.
impl<S: AsFd> Registered<S> {
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.attempt(Direction::Read, |socket| {
            Ok(rustix::net::recv(socket, &mut *buffer, RecvFlags::empty())?.0)
        })?;
        self.note_read(read, buffer.len());
        Ok(read)
    }

    pub(crate) fn try_read_buf(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let room = buffer.capacity() - buffer.len();
        let read = self.attempt(Direction::Read, |socket| {
            Ok(rustix::net::recv(socket, spare_capacity(buffer), RecvFlags::empty())?.0)
        })?;
        self.note_read(read, room);
        Ok(read)
    }

    /// So much was read where there was room for `most`.
    fn note_read(&self, read: usize, most: usize) {
        // The end of a stream makes no edge of its own when it came together with the last bytes.
        if read < most && !self.is_read_closed() {
            self.clear_ready(Direction::Read);
        }
    }

    pub(crate) fn try_write(&self, data: &[u8]) -> io::Result<usize> {
        let written = self
            .attempt(Direction::Write, |socket| Ok(rustix::net::send(socket, data, SEND_FLAGS)?))?;
        if written < data.len() {
            self.clear_ready(Direction::Write);
        }
        Ok(written)
    }

    pub(crate) fn try_write_vectored(&self, data: &[IoSlice<'_>]) -> io::Result<usize> {
        let written = self.attempt(Direction::Write, |socket| {
            let nothing_else = &mut SendAncillaryBuffer::default();
            Ok(rustix::net::sendmsg(socket, data, nothing_else, SEND_FLAGS)?)
        })?;
        if written < data.iter().map(|slice| slice.len()).sum() {
            self.clear_ready(Direction::Write);
        }
        Ok(written)
    }

    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_until_ready(Direction::Read, cx, || self.try_read(buffer))
    }

    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_until_ready(Direction::Write, cx, || self.try_write(data))
    }

    pub(crate) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_until_ready(Direction::Write, cx, || self.try_write_vectored(data))
    }

    pub(crate) async fn write_all(&self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            match poll_fn(|cx| self.poll_write(cx, data)).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => data = &data[written..],
            }
        }
        Ok(())
    }

    pub(crate) async fn read_exact(&self, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            match poll_fn(|cx| self.poll_read(cx, buffer)).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => buffer = &mut buffer[read..],
            }
        }
        Ok(())
    }
}

impl Entry {
    #[track_caller]
    fn new(open: bool) -> Self {
        let core = Core::current();
        let key = core.selector().insert(open);
        Self { core, key }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // Closing the socket, which its own drop does next, ends the system's interest.
        self.core.selector().remove(self.key);
    }
}

#[cfg(all(test, not(brigade_loom)))]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::{Shutdown, SocketAddr, TcpStream as Peer};
    use std::time::Duration;

    use futures_util::FutureExt;
    use socket2::SockRef;

    use super::*;
    use crate::net::{TcpListener, TcpStream};
    use crate::threads::blocking::spawn_blocking;
    use crate::{run, spawn};

    /// How many sockets are registered with this thread's loop.
    fn registered() -> usize {
        Core::current().selector().len()
    }

    /// An accepted connection, and its peer, of which no loop knows.
    async fn accepted() -> (TcpStream, Peer) {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let peer = Peer::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        (stream, peer)
    }

    /// What one read brings.
    async fn read(stream: &TcpStream) -> io::Result<Vec<u8>> {
        let mut buffer = [0; 100];
        let read = stream.read(&mut buffer).await?;
        Ok(buffer[..read].to_vec())
    }

    #[test]
    fn a_connection_that_is_only_written_to_never_enters_the_selector() {
        run(async {
            let (stream, mut peer) = accepted().await;
            stream.write_all(b"greeting").await.unwrap();
            assert_eq!(registered(), 0);
            drop(stream);
            let mut greeting = Vec::new();
            peer.read_to_end(&mut greeting).unwrap();
            assert_eq!(greeting, b"greeting");
        });
    }

    #[test]
    fn a_connection_is_read_once_the_selector_tells_of_something() {
        run(async {
            let (stream, mut peer) = accepted().await;
            peer.write_all(b"request").unwrap();
            assert!(read(&stream).now_or_never().is_none());
            assert_eq!(registered(), 1);
            assert_eq!(read(&stream).await.unwrap(), b"request");
        });
    }

    #[test]
    fn what_is_read_into_the_room_of_a_buffer_stands_behind_what_it_holds() {
        run(async {
            let (stream, mut peer) = accepted().await;
            let mut buffer = Vec::with_capacity(8);
            buffer.extend_from_slice(b"ab");
            let (capacity, place) = (buffer.capacity(), buffer.as_ptr());
            let error = stream.try_read_buf(&mut buffer).unwrap_err();
            assert_eq!((error.kind(), &buffer[..]), (ErrorKind::WouldBlock, &b"ab"[..]));
            peer.write_all(&[b'x'; 100]).unwrap();
            stream.readable().await;
            assert_eq!(stream.try_read_buf(&mut buffer).unwrap(), capacity - 2);
            assert_eq!((buffer.len(), buffer.as_ptr()), (capacity, place));
            assert!(buffer.starts_with(b"abx"));
            assert_eq!(stream.try_read_buf(&mut buffer).unwrap(), 0, "no room");
            // It was read to the full, so the rest is there without another event.
            assert!(stream.readable().now_or_never().is_some());
            drop(peer);
            let mut rest = Vec::with_capacity(200);
            while stream.try_read_buf(&mut rest).unwrap() > 0 {
                stream.readable().await;
            }
            assert_eq!(rest.len(), 100 - (capacity - 2));
        });
    }

    #[test]
    fn a_connection_that_waits_is_registered_until_it_is_closed() {
        run(async {
            let (stream, mut peer) = accepted().await;
            for _ in 0..3 {
                let writing = spawn(async move {
                    let were_registered = registered();
                    peer.write_all(b"request").unwrap();
                    (were_registered, peer)
                });
                assert_eq!(read(&stream).await.unwrap(), b"request");
                let were_registered;
                (were_registered, peer) = writing.await.unwrap();
                assert_eq!((were_registered, registered()), (1, 1));
            }
            drop(stream);
            assert_eq!(registered(), 0);
        });
    }

    #[test]
    fn a_connection_that_waits_to_read_makes_no_event_of_its_room_for_writing() {
        run(async {
            let (stream, mut peer) = accepted().await;
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
    fn a_connection_that_has_waited_to_read_can_wait_to_write() {
        run(async {
            let (stream, mut peer) = accepted().await;
            assert!(read(&stream).now_or_never().is_none());
            let mut written = 0;
            while let Some(part) = stream.write(&[1; 64 * 1024]).now_or_never() {
                written += part.unwrap();
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
    fn a_socket_that_left_the_selector_can_enter_it_again() {
        run(async {
            let (stream, mut peer) = accepted().await;
            let stream = TcpStream::from_std(stream.into_std().unwrap()).unwrap();
            let mut reading = Box::pin(read(&stream));
            assert!(crate::time::timeout(Duration::ZERO, &mut reading).await.is_err());
            drop(reading);
            assert_eq!(registered(), 1);
            let socket = stream.into_std().unwrap();
            assert_eq!(registered(), 0);
            let stream = TcpStream::from_std(socket).unwrap();
            let reading = spawn(async move { read(&stream).await });
            spawn(async move { peer.write_all(b"again").unwrap() }).detach();
            assert_eq!(reading.await.unwrap().unwrap(), b"again");
        });
    }

    #[test]
    fn an_end_that_came_before_the_registration_is_noticed() {
        run(async {
            let (stream, mut peer) = accepted().await;
            peer.write_all(b"last words").unwrap();
            peer.shutdown(Shutdown::Write).unwrap();
            assert!(registered() == 0 && !stream.is_read_closed());
            poll_fn(|cx| stream.poll_read_closed(cx)).await;
            assert!(stream.is_read_closed() && !stream.is_write_closed());
            assert_eq!(read(&stream).await.unwrap(), b"last words");
            assert_eq!(read(&stream).await.unwrap(), b"");
            stream.write_all(b"answer").await.unwrap();
        });
    }

    #[test]
    fn a_reset_that_came_before_the_registration_is_noticed() {
        run(async {
            let (stream, peer) = accepted().await;
            SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
            drop(peer);
            assert_eq!(registered(), 0);
            poll_fn(|cx| stream.poll_read_closed(cx)).await;
            assert!(stream.is_write_closed());
            assert_eq!(read(&stream).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        });
    }

    #[cfg(target_os = "linux")]
    mod refused {
        use std::fs::File;
        use std::os::fd::BorrowedFd;
        use std::os::unix::net::UnixStream;

        use super::*;

        /// A stream that passes for a regular file, which epoll refuses: `EPERM`, epoll_ctl(2).
        struct Refused {
            stream: UnixStream,
            file: File,
        }

        impl AsFd for Refused {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.file.as_fd()
            }
        }

        fn refused() -> (Refused, UnixStream) {
            let (stream, peer) = UnixStream::pair().unwrap();
            stream.set_nonblocking(true).unwrap();
            let file = File::open(std::env::current_exe().unwrap()).unwrap();
            (Refused { stream, file }, peer)
        }

        #[test]
        fn what_would_wait_for_a_socket_that_is_refused_gets_the_error() {
            run(async {
                let (socket, mut peer) = refused();
                let socket = Registered::lazy(socket);
                let read = |socket: &Refused| io::read_to_string((&socket.stream).take(7));
                let write = |socket: &Refused| (&socket.stream).write_all(&[0; 100_000]);
                let error = socket.io(Direction::Read, read).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::PermissionDenied);
                while socket.io(Direction::Write, write).await.is_ok() {}
                let error = socket.io(Direction::Write, write).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::PermissionDenied);
                // What does not wait is done all the same.
                peer.write_all(b"request").unwrap();
                assert_eq!(socket.io(Direction::Read, read).await.unwrap(), "request");
                assert_eq!(registered(), 0);
                socket.into_inner().unwrap();
            });
        }

        #[test]
        fn who_waits_for_a_socket_that_is_refused_asks_and_gets_the_error() {
            run(async {
                let socket = Registered::lazy(refused().0);
                poll_fn(|cx| socket.poll_read_closed(cx)).await;
                assert!(!socket.is_read_closed());
                let attempt = || {
                    socket.attempt(Direction::Read, |_| -> io::Result<()> {
                        Err(ErrorKind::WouldBlock.into())
                    })
                };
                assert_eq!(attempt().unwrap_err().kind(), ErrorKind::PermissionDenied);
                socket.ready(Direction::Read).await;
                assert_eq!(attempt().unwrap_err().kind(), ErrorKind::PermissionDenied);
            });
        }

        #[test]
        fn a_socket_that_is_refused_at_once_is_not_taken() {
            run(async {
                let error = Registered::new(refused().0, Direction::Read).err().unwrap();
                assert_eq!(error.kind(), ErrorKind::PermissionDenied);
            });
        }
    }
}
