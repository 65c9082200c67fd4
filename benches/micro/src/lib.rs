//! The runtimes behind one interface, so that each measurement is written once.
//!
//! A measurement runs inside the runtime and takes its own time, so neither creating nor dropping
//! the runtime counts.
#![forbid(unsafe_code)]

mod brigades;
mod monoios;
mod smols;
mod tokios;

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion};

pub use brigades::Brigade;
pub use monoios::Monoio;
pub use smols::Smol;
pub use tokios::Tokio;

/// A single-threaded runtime.
pub trait Runtime: 'static {
    /// The name in the results.
    const NAME: &'static str;

    /// Runs `main` on this thread.
    fn run<F>(main: F) -> F::Output
    where
        F: Future + 'static,
        F::Output: 'static;

    /// Spawns a task on the caller's runtime.
    fn spawn<F>(future: F) -> impl Future<Output = F::Output> + 'static
    where
        F: Future + 'static,
        F::Output: 'static;

    /// Lets other tasks run.
    fn yield_now() -> impl Future<Output = ()>;

    /// Waits for `duration`.
    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static;
}

/// Measures `$measurement::<R>` in each of the runtimes named. The measurement is an async function
/// from a number of iterations to the time that they took.
#[macro_export]
macro_rules! beside {
    ($group:expr, $measurement:ident, [$($runtime:ident),+]) => {
        $(
            $group.bench_function(<$crate::$runtime as $crate::Runtime>::NAME, |bencher| {
                bencher.iter_custom(|iterations| {
                    <$crate::$runtime as $crate::Runtime>::run(
                        $measurement::<$crate::$runtime>($crate::iterations(iterations)),
                    )
                });
            });
        )+
    };
}

/// Returns the number of iterations: `requested` by criterion, or MICRO_ITERATIONS if it is set.
/// instructions.sh sets it, to run a measurement once with few and once with many.
#[must_use]
pub fn iterations(requested: u64) -> u64 {
    let fixed = std::env::var("MICRO_ITERATIONS").ok();
    fixed.map_or(requested, |text| text.parse().expect("MICRO_ITERATIONS is a number"))
}

/// Returns criterion with short samples. There are many measurements, and on a noisy machine it is
/// better to run all of them again than to run each for longer.
#[must_use]
pub fn criterion() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500))
        .sample_size(30)
        .configure_from_args()
}

/// Returns a group of measurements whose iterations do the work `elements` times.
pub fn group<'a>(
    criterion: &'a mut Criterion,
    name: &str,
    elements: u64,
) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.throughput(criterion::Throughput::Elements(elements));
    group
}
