//! Debug mode reports a task that blocks the loop, a panic, and a task that never finishes. With
//! `BRIGADE_DEBUG=1` in the environment it is on in every program that does not set it itself.
//!
//! ```text
//! cargo run --example debugging
//! ```
//!
//! prints (and the panic's message on stderr)
//!
//! ```text
//! -- a task blocks the loop
//!  WARN brigade: task #1.0 'grinder' (spawned at examples/debugging.rs:38:60) blocked its event
//!      loop for 100.5ms in one poll
//! -- a task panics, and nobody awaits it
//! ERROR brigade: task panicked and its outcome was not awaited: task #1.1 (spawned at
//!      examples/debugging.rs:45:9): burnt
//! -- a task is forgotten
//! task #0.0 'main' (spawned at examples/debugging.rs:36:16) is Polling after 6 polls
//! task #1.2 'forgotten' (spawned at examples/debugging.rs:50:48) is Waiting after 1 polls
//! -- the loop ends
//!  WARN brigade: task #1.2 'forgotten' (spawned at examples/debugging.rs:50:48) was dropped
//!      while pending, because its event loop ended: age 19.9µs, polls 1
//! ```

use std::future::pending;
use std::time::Duration;

use brigade::task::{self, yield_now};
use brigade::{EventLoop, spawn};

fn main() {
    tracing_subscriber::fmt().without_time().with_ansi(false).init();
    let threshold = Duration::from_millis(50);
    let builder = EventLoop::builder().debug(true).slow_poll_threshold(threshold);
    let mut event_loop = builder.build().expect("this thread has no loop yet");
    event_loop.run_until_complete(async move {
        println!("-- a task blocks the loop");
        let grinder = task::Builder::new().name("grinder").spawn(async move {
            std::thread::sleep(2 * threshold);
        });
        grinder.await.expect("no panic");
        yield_now().await;

        println!("-- a task panics, and nobody awaits it");
        spawn(async { panic!("burnt") }).detach();
        yield_now().await;
        yield_now().await;

        println!("-- a task is forgotten");
        task::Builder::new().name("forgotten").spawn(pending::<()>()).detach();
        yield_now().await;
        for task in task::all() {
            println!("{} is {:?} after {} polls", task.label, task.state, task.polls);
        }
        println!("-- the loop ends");
    });
}
