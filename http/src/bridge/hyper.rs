//! What hyper needs of a runtime: streams, an executor and timers.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use brigade_runtime::net::SendIo;
use brigade_runtime::spawn;
use brigade_runtime::time::{self, sleep_until};
use futures_io::{AsyncRead, AsyncWrite};
use hyper::rt::{Executor, Read, ReadBufCursor, Sleep, Timer, Write};
use send_wrapper::SendWrapper;

/// The bytes of one read. Only unsafe code could let a stream write into hyper's buffer, so they
/// are copied from one that all streams of a thread share.
const READ_BYTES_MAX: usize = 16 * 1024;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A stream of ours, or any that reads and writes by `futures-io`, as hyper reads and writes. It is
/// `Send`, as hyper's upgrades want it.
///
/// # Panics
/// If it is used or dropped on another thread than that on which it was made.
///
/// # Examples
/// An HTTP/1 server of hyper on our loop:
///
/// ```
/// use std::convert::Infallible;
///
/// use brigade_http::bridge::{HyperIo, HyperTimer};
/// use brigade_runtime::{net::TcpListener, spawn};
/// use hyper::server::conn::http1;
/// use hyper::service::service_fn;
/// use hyper::{Request, Response, body::Incoming};
///
/// async fn serve(listener: TcpListener) -> std::io::Result<()> {
///     loop {
///         let (stream, _) = listener.accept().await?;
///         let connection = http1::Builder::new().timer(HyperTimer).serve_connection(
///             HyperIo::new(stream),
///             service_fn(async |_: Request<Incoming>| {
///                 Ok::<_, Infallible>(Response::new(String::from("hello")))
///             }),
///         );
///         spawn(async move { drop(connection.await) }).detach();
///     }
/// }
/// ```
#[derive(Debug)]
pub struct HyperIo<S> {
    stream: SendIo<S>,
}

impl<S> HyperIo<S> {
    /// Creates a stream for hyper.
    #[must_use]
    pub fn new(stream: S) -> Self {
        Self { stream: SendIo::new(stream) }
    }

    /// Returns the stream.
    ///
    /// # Panics
    /// On another thread than that on which it was made.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.stream.into_inner()
    }
}

impl<S: AsyncRead + Unpin> Read for HyperIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut target: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // A stream that reads another one of hyper's within its own read gets a buffer of its own.
        let mut buffer = BUFFER.try_with(RefCell::take).unwrap_or_default();
        buffer.resize(READ_BYTES_MAX, 0);
        let room = target.remaining().min(buffer.len());
        let read = Pin::new(&mut self.stream).poll_read(cx, &mut buffer[..room]);
        if let Poll::Ready(Ok(read)) = read {
            target.put_slice(&buffer[..read]);
        }
        // Without one the next read makes it anew.
        let _ = BUFFER.try_with(|shared| shared.replace(buffer));
        ready!(read)?;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Write for HyperIo<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

/// Spawns hyper's tasks on the event loop of this thread. They need not be `Send`.
///
/// # Panics
/// If it is used outside of an event loop.
#[derive(Clone, Copy, Debug, Default)]
pub struct HyperExecutor;

impl<F> Executor<F> for HyperExecutor
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        spawn(future).detach();
    }
}

/// The timers of the event loop of this thread, for hyper's timeouts.
///
/// # Panics
/// If a timer is made outside of an event loop, or used on another thread than that on which it
/// was made.
#[derive(Clone, Copy, Debug, Default)]
pub struct HyperTimer;

impl Timer for HyperTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(LoopSleep { sleep: SendWrapper::new(time::sleep(duration)) })
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(LoopSleep { sleep: SendWrapper::new(sleep_until(deadline)) })
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<LoopSleep>() {
            Some(mut ours) => ours.sleep.reset(deadline),
            None => *sleep = self.sleep_until(deadline),
        }
    }

    fn now(&self) -> Instant {
        time::now()
    }
}

/// A sleep that is `Send` and `Sync`, as hyper wants it.
struct LoopSleep {
    sleep: SendWrapper<time::Sleep>,
}

impl Sleep for LoopSleep {}

impl Future for LoopSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut *self.sleep).poll(cx)
    }
}
