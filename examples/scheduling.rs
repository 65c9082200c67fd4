//! Tasks that sleep for different times. The shortest sleep ends first, even if its task was
//! spawned last.
//!
//! ```text
//! cargo run --example scheduling
//! ```
//!
//! prints
//!
//! ```text
//! Slow begins
//! Medium begins
//! Fast begins
//! Fast ends after 30 ms
//! Medium ends after 60 ms
//! Slow ends after 94 ms
//! ["Slow", "Medium", "Fast"] after 94 ms, not 180
//! ```

use std::time::Duration;

use brigade::time::{now, sleep};
use brigade::{gather, run, spawn};

async fn work(name: &'static str, time: Duration) -> &'static str {
    let began = now();
    println!("{name} begins");
    sleep(time).await;
    println!("{name} ends after {} ms", (now() - began).as_millis());
    name
}

fn main() {
    run(async {
        let began = now();
        let slow = spawn(work("Slow", Duration::from_millis(90)));
        let medium = spawn(work("Medium", Duration::from_millis(60)));
        let fast = spawn(work("Fast", Duration::from_millis(30)));
        let names = gather([slow, medium, fast]).await.map(|outcome| outcome.expect("no panic"));
        println!("{names:?} after {} ms, not 180", (now() - began).as_millis());
    });
}
