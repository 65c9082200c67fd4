//! What the tests share.

use brigade_runtime::EventLoop;

/// Runs `main` on a loop whose clock jumps over every wait.
pub(crate) fn run_on_manual_clock<F>(main: F) -> F::Output
where
    F: Future + 'static,
    F::Output: 'static,
{
    EventLoop::builder().manual_clock(true).build().unwrap().run_until_complete(main)
}
