//! Timers: set and cancelled beside other timers, and fired.
#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "criterion's macros make functions without")]

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use brigade_micro::{Runtime, beside, group};
use criterion::{Criterion, criterion_group, criterion_main};

/// Long enough that no timer fires during a measurement.
const LATER: Duration = Duration::from_secs(600);
/// Timers to be fired are due after this plus [`SETTING_ONE`] for each, the time to set them all.
const SOON: Duration = Duration::from_millis(20);
const SETTING_ONE: Duration = Duration::from_micros(2);

fn timers(criterion: &mut Criterion) {
    let mut few = group(criterion, "set and cancel a timer beside 100", 1);
    beside!(few, cancel_beside_100, [Brigade, Tokio, Smol, Monoio]);
    few.finish();
    let mut many = group(criterion, "set and cancel a timer beside 100,000", 1);
    beside!(many, cancel_beside_100_000, [Brigade, Tokio, Smol, Monoio]);
    many.finish();
    let mut set = group(criterion, "set 100,000 timers", 100_000);
    set.sample_size(10);
    beside!(set, set_100_000, [Brigade, Tokio, Smol, Monoio]);
    set.finish();
    let mut few = group(criterion, "fire 100 timers", 100);
    few.sample_size(10);
    // Without smol, whose timers are fired by another thread than the one that sleeps.
    beside!(few, fire_100, [Brigade, Tokio, Monoio]);
    few.finish();
    let mut many = group(criterion, "fire 100,000 timers", 100_000);
    many.sample_size(10);
    beside!(many, fire_100_000, [Brigade, Tokio, Monoio]);
    many.finish();
}

async fn cancel_beside_100<R: Runtime>(iterations: u64) -> Duration {
    cancel_beside::<R>(100, iterations).await
}

async fn cancel_beside_100_000<R: Runtime>(iterations: u64) -> Duration {
    cancel_beside::<R>(100_000, iterations).await
}

async fn set_100_000<R: Runtime>(iterations: u64) -> Duration {
    let mut took = Duration::ZERO;
    for _ in 0..iterations {
        let begin = Instant::now();
        let timers = set::<R>(100_000, LATER).await;
        took += begin.elapsed();
        drop(timers);
    }
    took
}

async fn fire_100<R: Runtime>(iterations: u64) -> Duration {
    fire::<R>(100, iterations).await
}

async fn fire_100_000<R: Runtime>(iterations: u64) -> Duration {
    fire::<R>(100_000, iterations).await
}

async fn cancel_beside<R: Runtime>(others: usize, iterations: u64) -> Duration {
    let others = set::<R>(others, LATER).await;
    let mut delays = Delays::default();
    let begin = Instant::now();
    poll_fn(|cx| {
        for _ in 0..iterations {
            let mut timer = std::pin::pin!(R::sleep(LATER + delays.next(LATER)));
            assert!(timer.as_mut().poll(cx).is_pending());
        }
        Poll::Ready(())
    })
    .await;
    let took = begin.elapsed();
    drop(others);
    took
}

/// Blocks the thread until all timers are due, then measures the time until the task that awaits
/// the last one runs: that is the runtime firing the timers, with no waiting.
async fn fire<R: Runtime>(count: usize, iterations: u64) -> Duration {
    let soon = SOON + SETTING_ONE * count as u32;
    let mut took = Duration::ZERO;
    for _ in 0..iterations {
        let begun = Instant::now();
        let timers = set::<R>(count, soon).await;
        let last = set::<R>(1, 2 * soon).await;
        std::thread::sleep((begun + 5 * soon).saturating_duration_since(Instant::now()));
        let begin = Instant::now();
        for timer in last {
            timer.await;
        }
        took += begin.elapsed();
        drop(timers);
    }
    took
}

/// Sets timers that are due in `least` to twice as long, for this task.
async fn set<R: Runtime>(count: usize, least: Duration) -> Vec<Pin<Box<impl Future<Output = ()>>>> {
    let mut delays = Delays::default();
    let timers = (0..count).map(|_| Box::pin(R::sleep(least + delays.next(least))));
    let mut timers: Vec<_> = timers.collect();
    poll_fn(|cx| {
        for timer in &mut timers {
            assert!(timer.as_mut().poll(cx).is_pending());
        }
        Poll::Ready(())
    })
    .await;
    timers
}

/// Pseudo-random delays (xorshift), the same in each run.
struct Delays {
    state: u64,
}

impl Default for Delays {
    fn default() -> Self {
        Self { state: 0x9e37_79b9_7f4a_7c15 }
    }
}

impl Delays {
    /// Returns a delay below `most`.
    fn next(&mut self, most: Duration) -> Duration {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        Duration::from_nanos(self.state % most.as_nanos() as u64)
    }
}

criterion_group! { name = benches; config = brigade_micro::criterion(); targets = timers }
criterion_main!(benches);
