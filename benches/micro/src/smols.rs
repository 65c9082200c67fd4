//! smol's local executor.

use std::rc::Rc;
use std::time::Duration;

use async_executor::LocalExecutor;

use crate::Runtime;

thread_local! {
    /// The executor of this thread. smol has no such variable of its own.
    static EXECUTOR: Rc<LocalExecutor<'static>> = Rc::default();
}

/// smol: `async_executor::LocalExecutor`, driven by `async_io::block_on`.
#[derive(Debug)]
pub struct Smol;

impl Runtime for Smol {
    const NAME: &'static str = "smol";

    fn run<F>(main: F) -> F::Output
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let executor = EXECUTOR.with(Rc::clone);
        // As a task: `block_on` schedules its own future differently.
        async_io::block_on(executor.run(executor.spawn(main)))
    }

    fn spawn<F>(future: F) -> impl Future<Output = F::Output> + 'static
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        EXECUTOR.with(|executor| executor.spawn(future))
    }

    fn yield_now() -> impl Future<Output = ()> {
        futures_lite::future::yield_now()
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        let timer = async_io::Timer::after(duration);
        async {
            timer.await;
        }
    }
}
