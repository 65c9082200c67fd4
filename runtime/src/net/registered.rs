//! A socket and its readiness in the selector of this thread's loop.

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use crate::budget;
use crate::executor::core::Core;
use crate::executor::selector::{Direction, Selector};
use crate::executor::slots::Key;

/// A socket and its entry in the selector, which is removed when this is dropped.
pub(crate) struct Registered<S> {
    // Declared first, so that it is dropped before the socket.
    entry: Entry,
    socket: S,
}

/// An entry in the selector of this thread's loop. The socket may be elsewhere.
pub(crate) struct Entry {
    core: Rc<Core>,
    key: Key,
}

impl<S: AsFd> Registered<S> {
    /// Registers `socket` with the selector at once, for `first`, the direction that is waited for
    /// first. Nothing is tried before the selector reports the socket as ready.
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

    /// Returns a connected socket that is registered when a task first waits for it. If registering
    /// fails, the operations that would have to wait return the error.
    ///
    /// Writes are tried at once. Reads wait for the selector first, since a connection that was
    /// just accepted rarely has its request there already.
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    #[track_caller]
    pub(crate) fn lazy(socket: S) -> Self {
        Self::with_entry(Entry::new(true), socket)
    }

    /// Returns a socket that has an entry in the selector, whether or not it is registered yet.
    pub(crate) fn with_entry(entry: Entry, socket: S) -> Self {
        Self { entry, socket }
    }

    pub(crate) fn socket(&self) -> &S {
        &self.socket
    }

    /// Replaces the socket by another type of the same descriptor.
    pub(crate) fn map<T>(self, convert: impl FnOnce(S) -> T) -> Registered<T> {
        Registered { entry: self.entry, socket: convert(self.socket) }
    }

    /// Deregisters the socket and returns it.
    pub(crate) fn into_inner(self) -> io::Result<S> {
        let Self { entry, socket } = self;
        entry.deregister(socket.as_fd())?;
        Ok(socket)
    }

    /// Ready when an operation in `direction` is not expected to return `WouldBlock`, or when the
    /// socket could not be registered. Takes four units of the task's budget when ready. Inlined,
    /// so that the direction is a constant.
    #[inline(always)]
    pub(crate) fn poll_ready(&self, direction: Direction, cx: &mut Context<'_>) -> Poll<()> {
        let Entry { core, key } = &self.entry;
        ready!(core.selector().poll_ready(*key, self.socket.as_fd(), direction, cx));
        budget::poll_socket(cx)
    }

    pub(crate) async fn ready(&self, direction: Direction) {
        poll_fn(|cx| self.poll_ready(direction, cx)).await;
    }

    /// Clears the readiness of `direction`, because the system returned `WouldBlock`.
    ///
    /// # Errors
    /// The error of the registration if the socket could not be registered.
    pub(crate) fn would_block(&self, direction: Direction) -> io::Result<()> {
        self.entry.core.selector().would_block(self.entry.key, direction)
    }

    /// Clears the readiness of `direction`, because the next operation would return `WouldBlock`,
    /// unless an event has reported an end, an error or urgent data.
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
        ready!(core.selector().poll_read_closed(*key, self.socket.as_fd(), cx));
        budget::poll_socket(cx)
    }

    /// Runs `operation`, again if a signal interrupts it. Clears the readiness of `direction` on
    /// `WouldBlock`.
    ///
    /// # Errors
    /// Those of `operation`. If the socket could not be registered, the error of the registration
    /// instead of `WouldBlock`. If the socket's loop has ended, an error that says so.
    pub(crate) fn attempt<T>(
        &self,
        direction: Direction,
        mut operation: impl FnMut(&S) -> io::Result<T>,
    ) -> io::Result<T> {
        self.entry.core.ensure_not_ended("socket")?;
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

    /// Polls for readiness, and runs `operation` until it does not return `WouldBlock`.
    pub(crate) fn poll_io<T>(
        &self,
        direction: Direction,
        cx: &mut Context<'_>,
        mut operation: impl FnMut(&S) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        self.poll_attempt(direction, cx, || self.attempt(direction, &mut operation))
    }

    /// Polls for readiness, and calls `attempt`, which clears it on `WouldBlock`.
    pub(super) fn poll_attempt<T>(
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

    /// Waits for readiness, and runs `operation` until it does not return `WouldBlock`.
    pub(crate) async fn io<T>(
        &self,
        direction: Direction,
        mut operation: impl FnMut(&S) -> io::Result<T>,
    ) -> io::Result<T> {
        poll_fn(|cx| self.poll_io(direction, cx, &mut operation)).await
    }
}

impl Entry {
    /// Returns an entry for a socket that is not registered yet. If it is `open`, it counts as
    /// ready for writing.
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    #[track_caller]
    pub(crate) fn new(open: bool) -> Self {
        let core = Core::current();
        let key = core.selector().insert(open);
        Self { core, key }
    }

    pub(crate) fn selector(&self) -> &Selector {
        self.core.selector()
    }

    pub(crate) fn key(&self) -> Key {
        self.key
    }

    /// Registers the socket of this entry for reading.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub(crate) fn register(&self, io: BorrowedFd<'_>) -> io::Result<()> {
        self.core.selector().register(self.key, io, Direction::Read)
    }

    /// Deregisters the socket of this entry, if it is registered.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub(crate) fn deregister(&self, io: BorrowedFd<'_>) -> io::Result<()> {
        self.core.selector().deregister(self.key, io)
    }

    /// Ready when the socket is readable. Returns `None` if it is not registered. Takes nothing of
    /// the task's budget.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Option<Poll<()>> {
        self.core.selector().poll_registered(self.key, Direction::Read, cx)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // The socket is dropped next, and closing it removes it from the system's selector.
        self.core.selector().remove(self.key);
    }
}

#[cfg(all(test, not(brigade_loom), target_os = "linux"))]
mod tests {
    use std::fs::File;
    use std::io::{ErrorKind, Read, Write};
    use std::os::fd::BorrowedFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::run;

    /// A stream that epoll refuses to register, because `as_fd` returns a regular file: `EPERM`,
    /// see epoll_ctl(2).
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
    fn operations_that_would_wait_return_the_error_of_the_registration() {
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
            // Operations that need not wait still succeed.
            peer.write_all(b"request").unwrap();
            assert_eq!(socket.io(Direction::Read, read).await.unwrap(), "request");
            assert_eq!(Core::current().selector().len(), 0);
            socket.into_inner().unwrap();
        });
    }

    #[test]
    fn waiting_for_a_socket_that_cannot_be_registered_ends_and_the_attempt_returns_the_error() {
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
    fn registering_at_once_returns_the_error() {
        run(async {
            let error = Registered::new(refused().0, Direction::Read).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        });
    }
}
