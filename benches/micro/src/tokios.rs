//! tokio's runtime of one thread, for tasks that are not `Send`.

use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};

use crate::Runtime;

/// tokio's `LocalRuntime`.
#[derive(Debug)]
pub struct Tokio;

impl Runtime for Tokio {
    const NAME: &'static str = "tokio";

    fn run<F>(main: F) -> F::Output
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let runtime =
            Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        let runtime = runtime.expect("the system gives a selector");
        // As a task: `block_on` schedules its own future differently.
        runtime.block_on(async {
            tokio::task::spawn_local(main).await.expect("no measurement panics")
        })
    }

    fn spawn<F>(future: F) -> impl Future<Output = F::Output> + 'static
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let task = tokio::task::spawn_local(future);
        async { task.await.expect("no task of a measurement panics") }
    }

    fn yield_now() -> impl Future<Output = ()> {
        tokio::task::yield_now()
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        tokio::time::sleep(duration)
    }
}
