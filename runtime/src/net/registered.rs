//! A socket registered with the selector of this thread's loop.

use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use mio::event::Source;

use crate::current::Core;
use crate::selector::Direction;
use crate::slots::Key;

/// A socket and its place in the selector; it leaves the selector when dropped.
pub(crate) struct Registered<S: Source> {
    /// Present until `into_inner`.
    socket: Option<S>,
    core: Rc<Core>,
    key: Key,
}

impl<S: Source> Registered<S> {
    /// Registers `socket`. A `hopeful` one is tried before the selector is asked: right for one
    /// that a peer has most likely sent something to already.
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    #[track_caller]
    pub(crate) fn new(mut socket: S, hopeful: bool) -> io::Result<Self> {
        let core = Core::current();
        let key = core.selector.register(&mut socket, hopeful)?;
        Ok(Self { socket: Some(socket), core, key })
    }

    pub(crate) fn socket(&self) -> &S {
        self.socket.as_ref().expect("only `into_inner` takes the socket")
    }

    /// The socket, no longer registered.
    pub(crate) fn into_inner(mut self) -> io::Result<S> {
        let mut socket = self.socket.take().expect("only `into_inner` takes the socket");
        self.core.selector.deregister(&mut socket, self.key)?;
        Ok(socket)
    }

    pub(crate) fn poll_ready(&self, direction: Direction, cx: &mut Context<'_>) -> Poll<()> {
        self.core.selector.poll_ready(self.key, direction, cx)
    }

    pub(crate) async fn ready(&self, direction: Direction) {
        poll_fn(|cx| self.poll_ready(direction, cx)).await;
    }

    /// The socket is not ready after all.
    pub(crate) fn clear(&self, direction: Direction) {
        self.core.selector.would_block(self.key, direction);
    }

    pub(crate) fn is_read_closed(&self) -> bool {
        self.core.selector.is_read_closed(self.key)
    }

    pub(crate) fn is_write_closed(&self) -> bool {
        self.core.selector.is_write_closed(self.key)
    }

    pub(crate) fn poll_read_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.core.selector.poll_read_closed(self.key, cx)
    }

    /// Does `operation` once, and notes if the socket is drained.
    pub(crate) fn attempt<T>(
        &self,
        direction: Direction,
        mut operation: impl FnMut(&S) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            match operation(self.socket()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.core.selector.would_block(self.key, direction);
                    return Err(error);
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
        loop {
            ready!(self.poll_ready(direction, cx));
            match self.attempt(direction, &mut operation) {
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

/// Streams: what was read or written short is taken as a sign that the system has no more, so the
/// attempt that would say so is spared.
impl<S> Registered<S>
where
    S: Source,
    for<'a> &'a S: Read + Write,
{
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.attempt(Direction::Read, |mut socket| socket.read(buffer))?;
        // The end of a stream makes no edge of its own when it came together with the last bytes.
        if read < buffer.len() && !self.is_read_closed() {
            self.core.selector.clear_ready(self.key, Direction::Read);
        }
        Ok(read)
    }

    pub(crate) fn try_write(&self, data: &[u8]) -> io::Result<usize> {
        let written = self.attempt(Direction::Write, |mut socket| socket.write(data))?;
        if written < data.len() {
            self.core.selector.clear_ready(self.key, Direction::Write);
        }
        Ok(written)
    }

    pub(crate) fn try_write_vectored(&self, data: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let written = self.attempt(Direction::Write, |mut socket| socket.write_vectored(data))?;
        if written < data.iter().map(|slice| slice.len()).sum() {
            self.core.selector.clear_ready(self.key, Direction::Write);
        }
        Ok(written)
    }

    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_ready(Direction::Read, cx));
            match self.try_read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_ready(Direction::Write, cx));
            match self.try_write(data) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
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

impl<S: Source> Drop for Registered<S> {
    fn drop(&mut self) {
        // Closing the socket, which its own drop does next, ends the system's interest.
        self.core.selector.forget(self.key);
    }
}
