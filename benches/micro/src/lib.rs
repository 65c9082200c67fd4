//! The runtimes behind one interface, so that each measurement is written once.
//!
//! A measurement runs inside the runtime and takes its own time, so that neither the making of
//! the runtime nor its end counts.
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
    /// What it is called in the results.
    const NAME: &'static str;

    /// Runs `main` on this thread.
    fn run<F>(main: F) -> F::Output
    where
        F: Future + 'static,
        F::Output: 'static;

    /// Starts a task on the runtime that the caller runs on.
    fn spawn<F>(future: F) -> impl Future<Output = F::Output> + 'static
    where
        F: Future + 'static,
        F::Output: 'static;

    /// Lets other tasks run.
    fn yield_now() -> impl Future<Output = ()>;

    /// Waits for `duration`.
    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static;
}

/// Measures `$measurement::<R>`, an async function from a number of iterations to the time they
/// took, in each of the runtimes named.
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

/// As many iterations as criterion asks for, or as MICRO_ITERATIONS says: for instructions.sh,
/// which runs a measurement once with few and once with many.
#[must_use]
pub fn iterations(asked: u64) -> u64 {
    let told = std::env::var("MICRO_ITERATIONS").ok();
    told.map_or(asked, |told| told.parse().expect("MICRO_ITERATIONS is a number"))
}

/// Short samples: there are many measurements, and a noisy machine is better met by running all
/// of them again than by staying long with one.
#[must_use]
pub fn criterion() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500))
        .sample_size(30)
        .configure_from_args()
}

/// A group whose measurements are of work that is done `elements` times in an iteration.
pub fn group<'a>(
    criterion: &'a mut Criterion,
    name: &str,
    elements: u64,
) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.throughput(criterion::Throughput::Elements(elements));
    group
}
