//! Threads for name lookups, which may take seconds: of their own, so that work on the blocking
//! pool does not delay them, nor they that work.

use std::sync::LazyLock;

use crate::executor::blocking_pool::{BlockingPool, KEEP_ALIVE};
use crate::executor::core::Core;
use crate::threads::blocking::{BlockingHandle, spawn_on};

/// Lookups beyond this many wait for a thread.
const THREADS_MAX: usize = 64;

static LOOKUPS: LazyLock<BlockingPool> =
    LazyLock::new(|| BlockingPool::new("lookup", THREADS_MAX, KEEP_ALIVE));

/// Runs `work`, a name lookup, on a thread for lookups. Otherwise the same as
/// [`spawn_blocking`](crate::spawn_blocking).
#[track_caller]
pub(crate) fn spawn_lookup<F, T>(work: F) -> BlockingHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    spawn_on(&LOOKUPS, &Core::current(), work)
}
