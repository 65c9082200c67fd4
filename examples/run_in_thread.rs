//! Starts three threads with an event loop each, and awaits their results.
//!
//! ```text
//! cargo run --example run_in_thread
//! ```
//!
//! prints
//!
//! ```text
//! the loop of thread 'one' counted 6
//! the loop of thread 'two' counted 6
//! the loop of thread 'three' counted 6
//! the task runs on the loop's thread: true
//! this thread already has an event loop ('main'), and a thread has at most one: spawn a task on
//!      that loop, or start another thread with `run_in_thread`
//! ```

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use brigade::time::sleep;
use brigade::{EventLoop, LoopHandle, gather, run, run_in_thread, spawn};

/// Tasks of one loop never run at the same time, so they can share an `Rc<Cell<_>>`.
async fn count() -> (String, u32) {
    let total = Rc::new(Cell::new(0));
    let tasks = [1, 2, 3].map(|n| {
        let total = total.clone();
        spawn(async move {
            sleep(Duration::from_millis(10)).await;
            total.set(total.get() + n);
        })
    });
    for outcome in gather(tasks).await {
        outcome.expect("no panic");
    }
    (LoopHandle::current().name().to_owned(), total.get())
}

fn main() {
    run(async {
        let threads = ["one", "two", "three"]
            .map(|name| run_in_thread(name, count).expect("the system gives a thread"));
        for outcome in gather(threads).await {
            let (name, total) = outcome.expect("no panic");
            println!("the loop of thread '{name}' counted {total}");
        }
        // Spawns a task on another loop. Only the closure and its output cross threads.
        let thread = run_in_thread("four", || sleep(Duration::from_millis(50)));
        let thread = thread.expect("the system gives a thread");
        let remote = thread.loop_handle().spawn(|| async { LoopHandle::current().is_current() });
        println!("the task runs on the loop's thread: {}", remote.await.expect("no panic"));
        thread.await.expect("no panic");

        let second = EventLoop::new().expect_err("this thread has a loop");
        println!("{second}");
    });
}
