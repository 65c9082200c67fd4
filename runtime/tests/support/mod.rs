//! Helpers that several tests use.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod child;
pub(crate) mod log;
pub(crate) mod server;
pub(crate) mod service;

use brigade_runtime::EventLoop;

/// Runs `main` on a loop with a manual clock: when every task waits and no I/O is ready, the clock
/// jumps to the next deadline.
pub(crate) fn run_on_manual_clock<F>(main: F) -> F::Output
where
    F: Future + 'static,
    F::Output: 'static,
{
    EventLoop::builder().manual_clock(true).build().unwrap().run_until_complete(main)
}

/// Polls `future`, which has returned its output already.
pub(crate) async fn assert_polled_after_completion<F: Future + 'static>(future: F) {
    let error = brigade_runtime::spawn(async move { drop(future.await) }).await.unwrap_err();
    let payload = error.into_panic().expect("the future did not panic");
    let message = brigade_runtime::panic_message(&*payload);
    assert!(message.contains("after completion"), "{message}");
}
