//! Limits on how long to wait for a future.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use pin_project_lite::pin_project;

use crate::time::sleep::{Sleep, sleep, sleep_until};

/// Awaits `future` for at most `duration`.
///
/// Returns the future's output if it is ready in time, even in the same poll in which the time
/// elapses. Otherwise the future is cancelled: it is dropped together with the [`Timeout`].
///
/// # Errors
/// [`Elapsed`] if the time elapses first.
///
/// # Panics
/// If there is no event loop on this thread.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use brigade_runtime::time::{sleep, timeout};
///
/// brigade_runtime::run(async {
///     let slow = sleep(Duration::from_secs(3600));
///     assert!(timeout(Duration::from_millis(1), slow).await.is_err());
/// });
/// ```
#[track_caller]
pub fn timeout<F: IntoFuture>(duration: Duration, future: F) -> Timeout<F::IntoFuture> {
    Timeout { future: future.into_future(), sleep: sleep(duration) }
}

/// Awaits `future` until `deadline` at the latest, like [`timeout`].
///
/// # Errors
/// [`Elapsed`] if the deadline passes first.
///
/// # Panics
/// If there is no event loop on this thread.
#[track_caller]
pub fn timeout_at<F: IntoFuture>(deadline: Instant, future: F) -> Timeout<F::IntoFuture> {
    Timeout { future: future.into_future(), sleep: sleep_until(deadline) }
}

/// The error of [`timeout`]: the time elapsed before the future was ready. Converts into an
/// [`io::Error`](std::io::Error) of the kind `TimedOut`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the deadline has elapsed")
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for std::io::Error {
    fn from(elapsed: Elapsed) -> Self {
        Self::new(std::io::ErrorKind::TimedOut, elapsed)
    }
}

pin_project! {
    /// A future with a deadline, created by [`timeout`].
    #[derive(Debug)]
    #[must_use = "a timeout does nothing unless it is awaited"]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        #[pin]
        sleep: Sleep,
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        this.sleep.poll(cx).map(|()| Err(Elapsed))
    }
}
