//! Futures for libraries that want them to be `Send`.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use send_wrapper::SendWrapper;

/// Makes a future `Send` and `Sync`, so that it can be awaited in one that must be, such as a
/// handler of axum. It does not move: it is to be polled and dropped on this thread.
///
/// Most futures of this crate are not `Send`, since they belong to the loop of their thread.
///
/// # Panics
/// The future panics if it is polled or dropped on another thread, for instance because it was
/// given to `tokio::spawn` on a runtime of several threads.
///
/// # Cancel safety
/// As that of the future.
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// use brigade_runtime::task::send;
/// use brigade_runtime::time::sleep;
///
/// fn is_send<F: Future + Send>(future: F) -> F {
///     future
/// }
///
/// let slept = is_send(async {
///     send(sleep(Duration::from_millis(1))).await;
///     "slept"
/// });
/// assert_eq!(brigade_runtime::run(async { slept.await }), "slept");
/// ```
///
/// A value of this crate that lives across an `await` has to be made within the wrapped future:
///
/// ```
/// use std::net::SocketAddr;
///
/// use brigade_runtime::net::TcpStream;
/// use brigade_runtime::task::send;
///
/// async fn fetch(address: SocketAddr) -> std::io::Result<Vec<u8>> {
///     let exchange = async {
///         let stream = TcpStream::connect_to(address).await?;
///         stream.write_all(b"hello").await?;
///         let mut response = vec![0; 5];
///         stream.read_exact(&mut response).await?;
///         Ok(response)
///     };
///     send(exchange).await
/// }
///
/// fn is_send(_: impl Send) {}
/// is_send(fetch("127.0.0.1:7".parse().unwrap()));
/// ```
pub fn send<F: Future>(future: F) -> SendFuture<F> {
    SendFuture { future: Box::pin(SendWrapper::new(future)) }
}

/// A future that is `Send`, created by [`send`].
#[must_use = "a future does nothing unless it is awaited"]
pub struct SendFuture<F> {
    future: Pin<Box<SendWrapper<F>>>,
}

impl<F: Future> Future for SendFuture<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        assert!(
            self.future.valid(),
            "a future made `Send` by `brigade::bridge::send` is polled on another thread than that \
             on which it was made; await it there, and hand only its result to the other thread"
        );
        self.future.as_mut().poll(cx)
    }
}

impl<F> fmt::Debug for SendFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendFuture")
    }
}

#[cfg(all(test, not(brigade_loom)))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::thread;

    use futures_util::FutureExt;

    use super::*;
    use crate::panic_message;

    #[test]
    fn a_future_polled_on_another_thread_panics_with_the_reason() {
        let mut future = send(std::future::ready(1));
        let (future, message) = thread::spawn(move || {
            let polled = catch_unwind(AssertUnwindSafe(|| (&mut future).now_or_never()));
            (future, panic_message(&*polled.unwrap_err()).to_owned())
        })
        .join()
        .unwrap();
        assert!(message.contains("polled on another thread"), "{message}");
        assert_eq!(future.now_or_never(), Some(1));
    }
}
