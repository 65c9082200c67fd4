//! Helpers that several tests use.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod child;
pub(crate) mod log;
pub(crate) mod server;

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
