//! Code that computes blocks its event loop, unless it runs on the blocking pool.
//!
//! ```text
//! cargo run --example cpu_or_io
//! ```
//!
//! prints
//!
//! ```text
//! waiting for I/O: other tasks ran: true
//! computing on the loop: other tasks ran: false
//! computing on the pool: other tasks ran: true
//! ```

use std::cell::Cell;
use std::hint::black_box;
use std::rc::Rc;
use std::time::{Duration, Instant};

use brigade::time::{interval, sleep};
use brigade::{run, spawn, spawn_blocking};

const WORK: Duration = Duration::from_millis(100);

/// Computes for as long as [`WORK`], without awaiting.
fn compute() {
    let began = Instant::now();
    while began.elapsed() < WORK {
        black_box((0..10_000_u64).sum::<u64>());
    }
}

fn main() {
    run(async {
        let ticks = Rc::new(Cell::new(0));
        let counter = ticks.clone();
        let ticker = spawn(async move {
            let mut interval = interval(Duration::from_millis(1));
            loop {
                interval.tick().await;
                counter.set(counter.get() + 1);
            }
        });

        sleep(WORK).await;
        println!("waiting for I/O: other tasks ran: {}", ticks.replace(0) > 0);

        compute();
        println!("computing on the loop: other tasks ran: {}", ticks.replace(0) > 0);

        spawn_blocking(compute).await.expect("it does not panic");
        println!("computing on the pool: other tasks ran: {}", ticks.replace(0) > 0);
        ticker.abort();
    });
}
