//! brigade itself.

use std::time::Duration;

use crate::Runtime;

/// brigade's event loop.
#[derive(Debug)]
pub struct Brigade;

impl Runtime for Brigade {
    const NAME: &'static str = "brigade";

    fn run<F>(main: F) -> F::Output
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        brigade::run(main)
    }

    fn spawn<F>(future: F) -> impl Future<Output = F::Output> + 'static
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let task = brigade::spawn(future);
        async { task.await.expect("no task of a measurement panics") }
    }

    fn yield_now() -> impl Future<Output = ()> {
        brigade::task::yield_now()
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        brigade::time::sleep(duration)
    }
}
