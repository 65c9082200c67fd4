//! Threads for name lookups, which may take seconds: of their own, so that work on the blocking
//! pool does not delay them, nor they that work.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::sync::lock;
use crate::threads::blocking::{BlockingHandle, Job, spawn_on};

/// Lookups beyond this many wait for a thread.
const THREADS_MAX: usize = 64;
/// A thread that has had no lookup for this long ends.
const IDLE_MAX: Duration = Duration::from_secs(10);

static LOOKUPS: Mutex<Lookups> =
    Mutex::new(Lookups { waiting: VecDeque::new(), threads: 0, idle: 0 });
static HAS_MORE: Condvar = Condvar::new();

struct Lookups {
    waiting: VecDeque<Job>,
    threads: usize,
    /// Threads that wait for a lookup.
    idle: usize,
}

/// Runs `work`, a name lookup, on a thread for lookups. Otherwise the same as
/// [`spawn_blocking`](crate::spawn_blocking).
#[track_caller]
pub(crate) fn spawn_lookup<F, T>(work: F) -> BlockingHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    spawn_on(start, work)
}

fn start(job: Job) {
    let mut lookups = lock(&LOOKUPS);
    lookups.waiting.push_back(job);
    if lookups.waiting.len() > lookups.idle && lookups.threads < THREADS_MAX {
        lookups.threads += 1;
        let spawned = thread::Builder::new().name("lookup".to_owned()).spawn(run);
        if spawned.is_err() {
            lookups.threads -= 1;
        }
    }
    if lookups.threads == 0 {
        // No thread can be had. The lookup fails.
        let failed = lookups.waiting.pop_back();
        drop(lookups);
        drop(failed);
        return;
    }
    drop(lookups);
    HAS_MORE.notify_one();
}

/// Runs lookups until there are none for some time.
fn run() {
    let mut lookups = lock(&LOOKUPS);
    loop {
        if let Some(job) = lookups.waiting.pop_front() {
            drop(lookups);
            job();
            lookups = lock(&LOOKUPS);
            continue;
        }
        lookups.idle += 1;
        let is_empty = |lookups: &mut Lookups| lookups.waiting.is_empty();
        let waited = HAS_MORE.wait_timeout_while(lookups, IDLE_MAX, is_empty);
        lookups = waited.unwrap_or_else(PoisonError::into_inner).0;
        lookups.idle -= 1;
        if lookups.waiting.is_empty() {
            lookups.threads -= 1;
            return;
        }
    }
}
