//! Helpers for several tests.

use brigade_runtime::EventLoop;

/// Runs `main` on a loop with a manual clock.
pub(crate) fn run_on_manual_clock<F>(main: F) -> F::Output
where
    F: Future + 'static,
    F::Output: 'static,
{
    EventLoop::builder().manual_clock(true).build().unwrap().run_until_complete(main)
}
