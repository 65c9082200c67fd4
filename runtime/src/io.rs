//! Copying from readers to writers.
//!
//! For any types that implement [`AsyncRead`] and [`AsyncWrite`] of futures-io, such as the streams
//! of [`net`](crate::net). A copy that waits holds no buffer: the copies of a thread share one, and
//! each keeps only what its writer has not accepted yet.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{ErrorKind, Result};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};

use crate::budget::poll_counted;

/// The size of the buffer: the most bytes that one read returns, and that one copy keeps for a
/// writer that does not accept them.
pub const COPY_BUFFER_BYTES: usize = 64 * 1024;

/// Copies everything from `reader` to `writer`, until the end of `reader`. Then flushes `writer`,
/// and returns the number of bytes.
///
/// `writer` is not closed. It is also flushed whenever there is nothing to read, so that nothing
/// waits in a writer with a buffer.
///
/// A copy that never has to wait lets other tasks run, see [`task`](crate::task#cooperation).
///
/// # Errors
/// Those of `reader` and `writer`; `WriteZero` if `writer` accepts nothing more. What was read
/// before and not written is lost.
///
/// # Cancel safety
/// Not cancel safe: if the future is dropped before it is ready, up to [`COPY_BUFFER_BYTES`] that
/// were read may not have been written.
///
/// # Examples
/// An echo server's connection:
///
/// ```
/// use brigade_runtime::io;
/// use brigade_runtime::net::TcpStream;
///
/// async fn echo(stream: TcpStream) -> std::io::Result<u64> {
///     io::copy(&mut &stream, &mut &stream).await
/// }
/// ```
pub async fn copy<R, W>(reader: &mut R, writer: &mut W) -> Result<u64>
where
    R: AsyncRead + Unpin + ?Sized,
    W: AsyncWrite + Unpin + ?Sized,
{
    let mut copy = Copy::new(End::Flush);
    poll_fn(|cx| copy.poll(cx, reader, writer)).await
}

/// Copies in both directions, as a proxy does, until both have ended. Returns how many bytes were
/// copied from `a` to `b`, and from `b` to `a`.
///
/// When one side ends, the writing direction of the other one is closed (`poll_close`, for a socket
/// a FIN), and the opposite direction continues.
///
/// # Errors
/// The first error in either direction, with which both end. See [`copy`].
///
/// # Cancel safety
/// Not cancel safe, like [`copy`].
///
/// # Examples
/// ```
/// use brigade_runtime::io;
/// use brigade_runtime::net::TcpStream;
///
/// async fn forward(mut client: TcpStream) -> std::io::Result<()> {
///     let mut backend = TcpStream::connect("127.0.0.1:8081").await?;
///     let (sent, received) = io::copy_bidirectional(&mut client, &mut backend).await?;
///     println!("{sent} bytes sent, {received} received");
///     Ok(())
/// }
/// ```
pub async fn copy_bidirectional<A, B>(a: &mut A, b: &mut B) -> Result<(u64, u64)>
where
    A: AsyncRead + AsyncWrite + Unpin + ?Sized,
    B: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    let (mut there, mut back) = (Copy::new(End::Close), Copy::new(End::Close));
    poll_fn(|cx| {
        let there = there.poll(cx, a, b)?;
        let back = back.poll(cx, b, a)?;
        Poll::Ready(Ok((ready!(there), ready!(back))))
    })
    .await
}

/// A copy in one direction.
struct Copy {
    buffer: Rc<Buffer>,
    /// What was read and the writer has not accepted yet. Holds no memory while nothing is left.
    rest: Vec<u8>,
    /// How much of `rest` was written.
    rest_start: usize,
    written: u64,
    /// Something was written since the last flush.
    is_unflushed: bool,
    phase: Phase,
    end: End,
}

enum Phase {
    /// Left when the reader has ended.
    Copying,
    /// The writer is being flushed or closed. Left when that is done.
    Ending,
    Done,
}

/// What happens to the writer at the end.
enum End {
    Flush,
    Close,
}

impl Copy {
    fn new(end: End) -> Self {
        Self {
            buffer: thread_buffer(),
            rest: Vec::new(),
            rest_start: 0,
            written: 0,
            is_unflushed: false,
            phase: Phase::Copying,
            end,
        }
    }

    /// Ready at the end, and again if it is polled after that.
    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
    ) -> Poll<Result<u64>>
    where
        R: AsyncRead + Unpin + ?Sized,
        W: AsyncWrite + Unpin + ?Sized,
    {
        loop {
            match self.phase {
                Phase::Copying => {
                    ready!(self.poll_write_rest(cx, writer))?;
                    match self.poll_part(cx, reader, writer)? {
                        Poll::Ready(0) => self.phase = Phase::Ending,
                        Poll::Ready(_) => {}
                        Poll::Pending => {
                            self.flush_while_waiting(cx, writer)?;
                            return Poll::Pending;
                        }
                    }
                }
                Phase::Ending => {
                    let writer = Pin::new(&mut *writer);
                    ready!(match self.end {
                        End::Flush => writer.poll_flush(cx),
                        End::Close => writer.poll_close(cx),
                    })?;
                    self.phase = Phase::Done;
                }
                Phase::Done => return Poll::Ready(Ok(self.written)),
            }
        }
    }

    /// Ready once the writer has accepted everything that was read.
    fn poll_write_rest<W>(&mut self, cx: &mut Context<'_>, writer: &mut W) -> Poll<Result<()>>
    where
        W: AsyncWrite + Unpin + ?Sized,
    {
        if !self.rest.is_empty() {
            let accepted = write_some(cx, writer, &self.rest[self.rest_start..])?;
            self.note_written(accepted);
            self.rest_start += accepted;
            if self.rest_start < self.rest.len() {
                return Poll::Pending;
            }
            (self.rest, self.rest_start) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once, and writes as much of that as the writer accepts. Returns how much was read.
    fn poll_part<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
    ) -> Poll<Result<usize>>
    where
        R: AsyncRead + Unpin + ?Sized,
        W: AsyncWrite + Unpin + ?Sized,
    {
        // Taken out, because a reader may itself poll a copy.
        let mut buffer = self.buffer.take();
        buffer.resize(COPY_BUFFER_BYTES, 0);
        // A unit for each part, because readers and writers in memory take none.
        let read = poll_counted(cx, |cx| Pin::new(reader).poll_read(cx, &mut buffer));
        if let Poll::Ready(Ok(read)) = read {
            let accepted = write_some(cx, writer, &buffer[..read])?;
            self.note_written(accepted);
            self.rest.extend_from_slice(&buffer[accepted..read]);
        }
        self.buffer.replace(buffer);
        read
    }

    /// Lets a writer with a buffer pass on what it has, because more may not come for long.
    fn flush_while_waiting<W>(&mut self, cx: &mut Context<'_>, writer: &mut W) -> Result<()>
    where
        W: AsyncWrite + Unpin + ?Sized,
    {
        if self.is_unflushed && Pin::new(writer).poll_flush(cx)?.is_ready() {
            self.is_unflushed = false;
        }
        Ok(())
    }

    fn note_written(&mut self, bytes: usize) {
        self.written += bytes as u64;
        self.is_unflushed |= bytes > 0;
    }
}

/// Writes as much of `data` as `writer` accepts without waiting. Returns the number of bytes.
fn write_some<W>(cx: &mut Context<'_>, writer: &mut W, data: &[u8]) -> Result<usize>
where
    W: AsyncWrite + Unpin + ?Sized,
{
    let mut written = 0;
    while written < data.len() {
        match Pin::new(&mut *writer).poll_write(cx, &data[written..])? {
            Poll::Ready(0) => return Err(ErrorKind::WriteZero.into()),
            Poll::Ready(accepted) => written += accepted,
            Poll::Pending => break,
        }
    }
    Ok(written)
}

type Buffer = RefCell<Vec<u8>>;

thread_local! {
    /// The buffer of the copies on this thread, as long as there are any.
    static BUFFER: RefCell<Weak<Buffer>> = const { RefCell::new(Weak::new()) };
}

fn thread_buffer() -> Rc<Buffer> {
    BUFFER.with_borrow_mut(|buffer| {
        buffer.upgrade().unwrap_or_else(|| {
            let new = Rc::default();
            *buffer = Rc::downgrade(&new);
            new
        })
    })
}

#[cfg(all(test, not(brigade_loom)))]
mod tests {
    use futures_util::FutureExt;
    use futures_util::io::{Cursor, sink};

    use super::*;

    struct PendingReader;

    impl AsyncRead for PendingReader {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut [u8],
        ) -> Poll<Result<usize>> {
            Poll::Pending
        }
    }

    #[test]
    fn copies_share_a_buffer_which_is_freed_with_the_last_of_them() {
        let mut waiting = PendingReader;
        let (mut first_sink, mut second_sink) = (sink(), sink());
        let capacity = || BUFFER.with_borrow(|buffer| buffer.upgrade().map(|b| b.borrow().len()));
        assert_eq!(capacity(), None);
        let mut first = Box::pin(copy(&mut waiting, &mut first_sink));
        assert!(first.as_mut().now_or_never().is_none());
        assert_eq!(capacity(), Some(COPY_BUFFER_BYTES));
        let mut source = Cursor::new([7; 9]);
        assert_eq!(copy(&mut source, &mut second_sink).now_or_never().unwrap().unwrap(), 9);
        assert_eq!(BUFFER.with_borrow(Weak::strong_count), 1);
        drop(first);
        assert_eq!(capacity(), None);
    }
}
