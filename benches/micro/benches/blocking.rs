//! Work that blocks, on threads: how long it takes from a task to a thread and back.
#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "criterion's macros make functions without")]

use std::time::Instant;

use brigade_micro::{Brigade, Runtime, Smol, Tokio, group};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};

/// Pieces of work at once.
const AT_ONCE: u64 = 64;

/// A runtime that runs work on threads.
trait Blocking: Runtime {
    fn spawn_blocking(number: u64) -> impl Future<Output = u64> + 'static;
}

impl Blocking for Brigade {
    async fn spawn_blocking(number: u64) -> u64 {
        brigade::spawn_blocking(move || number).await.expect("the work does not panic")
    }
}

impl Blocking for Tokio {
    async fn spawn_blocking(number: u64) -> u64 {
        tokio::task::spawn_blocking(move || number).await.expect("the work does not panic")
    }
}

/// smol: the `blocking` crate.
impl Blocking for Smol {
    fn spawn_blocking(number: u64) -> impl Future<Output = u64> + 'static {
        blocking::unblock(move || number)
    }
}

fn threads(criterion: &mut Criterion) {
    let mut one = group(criterion, "spawn_blocking and await", 1);
    one_by_one::<Brigade>(&mut one);
    one_by_one::<Tokio>(&mut one);
    one_by_one::<Smol>(&mut one);
    one.finish();
    let mut many = group(criterion, "spawn_blocking, 64 tasks at once", AT_ONCE);
    at_once::<Brigade>(&mut many);
    at_once::<Tokio>(&mut many);
    at_once::<Smol>(&mut many);
    many.finish();
}

fn one_by_one<R: Blocking>(group: &mut BenchmarkGroup<'_, WallTime>) {
    group.bench_function(R::NAME, |bencher| {
        bencher.iter_custom(|iterations| {
            R::run(async move {
                let begin = Instant::now();
                for number in 0..brigade_micro::iterations(iterations) {
                    assert_eq!(R::spawn_blocking(number).await, number);
                }
                begin.elapsed()
            })
        });
    });
}

/// Each of the tasks awaits its work and ends.
fn at_once<R: Blocking>(group: &mut BenchmarkGroup<'_, WallTime>) {
    group.bench_function(R::NAME, |bencher| {
        bencher.iter_custom(|iterations| {
            R::run(async move {
                let begin = Instant::now();
                for _ in 0..brigade_micro::iterations(iterations) {
                    let tasks: Vec<_> =
                        (0..AT_ONCE).map(|number| R::spawn(R::spawn_blocking(number))).collect();
                    for task in tasks {
                        task.await;
                    }
                }
                begin.elapsed()
            })
        });
    });
}

criterion_group! { name = benches; config = brigade_micro::criterion(); targets = threads }
criterion_main!(benches);
