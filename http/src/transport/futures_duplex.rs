//! A stream of `futures-io`, which says only within a read or a write that it is not ready.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker, ready};

use brigade_runtime::{lock, task};
use futures_io::{AsyncRead, AsyncWrite};

use crate::message::byte_stream::Duplex;

/// How much is read ahead, to know that there is something to read, or that the peer has closed.
const READ_AHEAD_BYTES: usize = 16 * 1024;

/// A stream that is read and written by `futures-io`.
pub(crate) struct FuturesDuplex<S> {
    state: RefCell<State<S>>,
    /// Woken when the stream accepts bytes again.
    write_waker: Arc<WriteWaker>,
}

struct State<S> {
    stream: S,
    /// What was read ahead, from `position` on.
    ahead: Vec<u8>,
    position: usize,
    /// How reading ended: at the end of the stream, or with an error.
    read_end: Option<ReadEnd>,
    /// A write has failed.
    is_write_closed: bool,
    /// The stream may keep some of what it has accepted.
    needs_flush: bool,
}

#[derive(Clone, Copy)]
enum ReadEnd {
    Eof,
    Failed(ErrorKind),
}

/// Remembers that the stream accepts bytes again, and wakes the task that waits for it.
struct WriteWaker {
    /// Set from a write that is not accepted until the stream wakes this.
    is_blocked: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Wake for WriteWaker {
    fn wake(self: Arc<Self>) {
        self.is_blocked.store(false, Ordering::Release);
        let task = lock(&self.task).take();
        // Woken after the lock has ended.
        task.into_iter().for_each(Waker::wake);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> FuturesDuplex<S> {
    pub(crate) fn new(stream: S) -> Self {
        let state = State {
            stream,
            ahead: Vec::new(),
            position: 0,
            read_end: None,
            is_write_closed: false,
            needs_flush: false,
        };
        let write_waker = WriteWaker { is_blocked: AtomicBool::new(false), task: Mutex::default() };
        Self { state: RefCell::new(state), write_waker: Arc::new(write_waker) }
    }

    /// Calls `operation`, which writes. Returns `WouldBlock` if it is pending; the task that polls
    /// `poll_writable` is woken when it is to be tried again.
    fn attempt<T>(
        &self,
        operation: impl FnOnce(&mut State<S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        self.write_waker.is_blocked.store(true, Ordering::Release);
        let waker = Waker::from(self.write_waker.clone());
        let mut state = self.state.borrow_mut();
        let Poll::Ready(result) = operation(&mut state, &mut Context::from_waker(&waker)) else {
            return Err(ErrorKind::WouldBlock.into());
        };
        self.write_waker.is_blocked.store(false, Ordering::Release);
        state.is_write_closed |= result.is_err();
        result
    }
}

impl<S: AsyncRead + Unpin> State<S> {
    fn has_ahead(&self) -> bool {
        self.position < self.ahead.len() || self.read_end.is_some()
    }

    /// Reads ahead once.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let filled = self.ahead.len();
        self.ahead.resize(self.position + READ_AHEAD_BYTES, 0);
        let read = Pin::new(&mut self.stream).poll_read(cx, &mut self.ahead[filled..]);
        self.ahead.truncate(filled + if let Poll::Ready(Ok(count)) = read { count } else { 0 });
        if self.ahead.is_empty() {
            // A stream that is idle keeps no buffer.
            self.ahead = Vec::new();
        }
        match ready!(read) {
            Ok(0) => self.read_end = Some(ReadEnd::Eof),
            Ok(_) => {}
            Err(error) => self.read_end = Some(ReadEnd::Failed(error.kind())),
        }
        Poll::Ready(())
    }

    fn take_ahead(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let ahead = &self.ahead[self.position..];
        if ahead.is_empty() {
            return match self.read_end {
                Some(ReadEnd::Eof) => Ok(0),
                Some(ReadEnd::Failed(kind)) => Err(kind.into()),
                None => Err(ErrorKind::WouldBlock.into()),
            };
        }
        let count = ahead.len().min(buffer.len());
        buffer[..count].copy_from_slice(&ahead[..count]);
        self.position += count;
        if self.position == self.ahead.len() {
            (self.ahead, self.position) = (Vec::new(), 0);
        }
        Ok(count)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Duplex for FuturesDuplex<S> {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(task::poll_proceed(cx));
        let mut state = self.state.borrow_mut();
        if state.has_ahead() { Poll::Ready(()) } else { state.poll_fill(cx) }
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(task::poll_proceed(cx));
        // Before the check, so that a wake-up in between is not lost.
        // Bound to a name, so that the waker before is dropped after the lock has ended.
        let waker = Some(cx.waker().clone());
        let _before = std::mem::replace(&mut *lock(&self.write_waker.task), waker);
        match self.write_waker.is_blocked.load(Ordering::Acquire) {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
    }

    /// Reads ahead, since the stream has no other way to say that its peer has closed. What a peer
    /// sends beyond that hides the end.
    fn poll_read_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.borrow_mut();
        while state.read_end.is_none() && state.ahead.len() < state.position + READ_AHEAD_BYTES {
            ready!(state.poll_fill(cx));
        }
        if state.read_end.is_some() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn is_read_closed(&self) -> bool {
        self.state.borrow().read_end.is_some()
    }

    fn is_write_closed(&self) -> bool {
        let state = self.state.borrow();
        state.is_write_closed || matches!(state.read_end, Some(ReadEnd::Failed(_)))
    }

    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state.borrow_mut();
        if !state.has_ahead() {
            // The task that waits asks with its own waker afterwards.
            let _ = state.poll_fill(&mut Context::from_waker(Waker::noop()));
        }
        state.take_ahead(buffer)
    }

    fn try_write(&self, data: &[u8]) -> io::Result<usize> {
        self.attempt(|state, cx| {
            let written = ready!(Pin::new(&mut state.stream).poll_write(cx, data));
            state.needs_flush = true;
            Poll::Ready(written)
        })
    }

    fn try_flush(&self) -> io::Result<()> {
        if !self.state.borrow().needs_flush {
            return Ok(());
        }
        self.attempt(|state, cx| {
            let flushed = ready!(Pin::new(&mut state.stream).poll_flush(cx));
            state.needs_flush = false;
            Poll::Ready(flushed)
        })
    }

    fn poll_close(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.state.borrow_mut().stream).poll_close(cx)
    }

    /// A stream of this kind has no other end than being dropped.
    fn reset(&self) {}

    fn abort(&self) {
        let mut state = self.state.borrow_mut();
        state.read_end = Some(ReadEnd::Failed(ErrorKind::NotConnected));
        state.is_write_closed = true;
        drop(state);
        Wake::wake(self.write_waker.clone());
    }
}

impl<S> fmt::Debug for FuturesDuplex<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FuturesDuplex").finish_non_exhaustive()
    }
}
