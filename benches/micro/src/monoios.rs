//! monoio, over io_uring where the kernel offers it, else over epoll.

use std::time::Duration;

use monoio::{FusionDriver, RuntimeBuilder};

use crate::Runtime;

/// monoio's runtime with its timers.
#[derive(Debug)]
pub struct Monoio;

impl Runtime for Monoio {
    const NAME: &'static str = "monoio";

    fn run<F>(main: F) -> F::Output
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let runtime = RuntimeBuilder::<FusionDriver>::new().enable_timer().build();
        let mut runtime = runtime.expect("the system gives a driver");
        // As a task: `block_on` schedules its own future differently.
        runtime.block_on(async { monoio::spawn(main).await })
    }

    fn spawn<F>(future: F) -> impl Future<Output = F::Output> + 'static
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        monoio::spawn(future)
    }

    fn yield_now() -> impl Future<Output = ()> {
        // monoio has none; this one wakes its task and is pending once.
        futures_lite::future::yield_now()
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        monoio::time::sleep(duration)
    }
}
