//! Tasks run in the order in which they became ready, each until it has to wait.
//!
//! ```text
//! cargo run --example ready_queue
//! ```
//!
//! prints
//!
//! ```text
//! three tasks are spawned; none has run yet
//! A, step 1
//! B, step 1
//! C, step 1
//! A, step 2
//! A, step 3
//! B, step 2
//! B, step 3
//! C, step 2
//! C, step 3
//! all are done
//! ```

use brigade::task::yield_now;
use brigade::{gather_all, run, spawn};

async fn steps(name: &str) {
    println!("{name}, step 1");
    // Moves this task behind the others in the ready queue.
    yield_now().await;
    println!("{name}, step 2");
    // Ready at once, so the task keeps running.
    std::future::ready(()).await;
    println!("{name}, step 3");
}

fn main() {
    run(async {
        let tasks: Vec<_> = ["A", "B", "C"].into_iter().map(|name| spawn(steps(name))).collect();
        println!("three tasks are spawned; none has run yet");
        for outcome in gather_all(tasks).await {
            outcome.expect("none of them panics");
        }
        println!("all are done");
    });
}
