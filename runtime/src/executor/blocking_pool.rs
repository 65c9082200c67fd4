//! A pool of threads for jobs that block. Knows nothing about loops.
//!
//! A job wakes one thread that waits, the one that has begun to wait last, so that the others can
//! end. If none waits, the pool grows, by one thread at a time: a new thread starts the next one if
//! jobs are still left when it has taken its own. So many short jobs share few threads, and a job
//! never waits for others that block, until there are as many threads as the pool may have.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crate::sync::lock;

/// Default of [`Builder::max_blocking_threads`](crate::event_loop::Builder::max_blocking_threads),
/// as in tokio. Such jobs may wait for each other, so there are many.
pub(crate) const THREADS_MAX: usize = 512;
/// Default of [`Builder::thread_keep_alive`](crate::event_loop::Builder::thread_keep_alive), as in
/// tokio.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Work without its result.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// A pool of threads. Clones are the same pool. It has no threads until there are jobs.
#[derive(Clone)]
pub(crate) struct BlockingPool {
    shared: Arc<Shared>,
}

struct Shared {
    /// The name of each thread.
    name: &'static str,
    threads_max: usize,
    /// A thread that has had no job for this long ends.
    keep_alive: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Never more than none while a thread is idle.
    waiting: VecDeque<Job>,
    threads: usize,
    /// A new thread has been started and has not taken a job yet.
    is_growing: bool,
    /// Threads that wait for a job, without those that have been woken.
    idle: Vec<Thread>,
}

impl BlockingPool {
    /// Returns a pool of at most `threads_max` threads, at least one.
    pub(crate) fn new(name: &'static str, threads_max: usize, keep_alive: Duration) -> Self {
        let (threads_max, state) = (threads_max.max(1), Mutex::default());
        Self { shared: Arc::new(Shared { name, threads_max, keep_alive, state }) }
    }

    /// Returns the pool of all loops whose options do not set one.
    pub(crate) fn of_process() -> Self {
        static POOL: LazyLock<BlockingPool> =
            LazyLock::new(|| BlockingPool::new("blocking", THREADS_MAX, KEEP_ALIVE));
        POOL.clone()
    }

    /// Returns another pool, with this maximum.
    pub(crate) fn with_threads_max(&self, threads_max: usize) -> Self {
        Self::new(self.shared.name, threads_max, self.shared.keep_alive)
    }

    /// Returns another pool, whose threads end after this time without a job.
    pub(crate) fn with_keep_alive(&self, keep_alive: Duration) -> Self {
        Self::new(self.shared.name, self.shared.threads_max, keep_alive)
    }

    /// Runs `job` on a thread of the pool. Drops it if the system provides none.
    pub(crate) fn run(&self, job: Job) {
        let mut state = lock(&self.shared.state);
        state.waiting.push_back(job);
        match state.idle.pop() {
            Some(thread) => {
                drop(state);
                thread.unpark();
            }
            None => self.shared.grow(state),
        }
    }
}

impl Shared {
    /// Starts a thread if jobs wait for one.
    fn grow(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        let is_wanted = !state.waiting.is_empty() && state.idle.is_empty();
        if !is_wanted || state.is_growing || state.threads >= self.threads_max {
            return;
        }
        state.threads += 1;
        state.is_growing = true;
        drop(state);
        let shared = self.clone();
        let spawned = thread::Builder::new().name(self.name.to_owned()).spawn(move || {
            shared.work();
        });
        if spawned.is_err() {
            let mut state = lock(&self.state);
            state.threads -= 1;
            state.is_growing = false;
            if state.threads == 0 {
                // No thread can be had: the jobs fail.
                let failed = std::mem::take(&mut state.waiting);
                drop(state);
                drop(failed);
            }
        }
    }

    /// Runs jobs until there are none for some time.
    fn work(self: Arc<Self>) {
        let mut is_new = true;
        let mut state = lock(&self.state);
        loop {
            let job = state.waiting.pop_front();
            if std::mem::take(&mut is_new) {
                state.is_growing = false;
                self.grow(state);
            } else {
                drop(state);
            }
            state = match job {
                Some(job) => {
                    // The job itself reports a panic of its work.
                    let _ = catch_unwind(AssertUnwindSafe(job));
                    lock(&self.state)
                }
                None => match self.wait() {
                    Some(state) => state,
                    None => return,
                },
            };
        }
    }

    /// Waits until there may be a job. Returns `None` if the thread has to end.
    fn wait(&self) -> Option<MutexGuard<'_, State>> {
        let mut state = lock(&self.state);
        if !state.waiting.is_empty() {
            return Some(state);
        }
        let this = thread::current();
        state.idle.push(this.clone());
        let since = Instant::now();
        loop {
            drop(state);
            let left = self.keep_alive.saturating_sub(since.elapsed());
            thread::park_timeout(left);
            state = lock(&self.state);
            // Whoever wakes a thread has removed it from the list.
            let place = state.idle.iter().position(|idle| idle.id() == this.id());
            match place {
                None => return Some(state),
                Some(place) if left.is_zero() => {
                    state.idle.remove(place);
                    state.threads -= 1;
                    return None;
                }
                // Woken for another reason (park).
                Some(_) => {}
            }
        }
    }
}

impl fmt::Debug for BlockingPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingPool").field("threads_max", &self.shared.threads_max).finish()
    }
}

#[cfg(all(test, not(brigade_loom)))]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    fn threads(pool: &BlockingPool) -> usize {
        lock(&pool.shared.state).threads
    }

    /// Runs a job and waits for its end.
    fn run_one(pool: &BlockingPool) -> thread::ThreadId {
        let (sender, receiver) = mpsc::channel();
        pool.run(Box::new(move || sender.send(thread::current().id()).unwrap()));
        receiver.recv_timeout(LONG).unwrap()
    }

    fn wait_until(condition: impl Fn() -> bool) {
        let began = Instant::now();
        while !condition() {
            assert!(began.elapsed() < LONG, "waited for too long");
            thread::yield_now();
        }
    }

    #[test]
    fn jobs_one_after_the_other_share_a_thread() {
        let pool = BlockingPool::new("test", 10, LONG);
        let first = run_one(&pool);
        for _ in 0..100 {
            wait_until(|| lock(&pool.shared.state).idle.len() == 1);
            assert_eq!(run_one(&pool), first);
        }
        assert_eq!(threads(&pool), 1);
    }

    #[test]
    fn a_job_does_not_wait_for_others_that_block() {
        let pool = BlockingPool::new("test", 100, LONG);
        let (open, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let (sender, receiver) = mpsc::channel();
        // Each but the last waits for the one after it.
        for n in 0..100 {
            let (sender, gate, open) = (sender.clone(), gate.clone(), open.clone());
            pool.run(Box::new(move || {
                match n {
                    99 => (0..99).for_each(|_| open.send(()).unwrap()),
                    _ => lock(&gate).recv_timeout(LONG).unwrap(),
                }
                sender.send(()).unwrap();
            }));
        }
        (0..100).for_each(|_| receiver.recv_timeout(LONG).unwrap());
        assert!(threads(&pool) <= 100);
    }

    #[test]
    fn there_are_never_more_threads_than_allowed() {
        let pool = BlockingPool::new("test", 3, LONG);
        let (sender, receiver) = mpsc::channel();
        for _ in 0..50 {
            let (pool, sender) = (pool.clone(), sender.clone());
            let job = pool.clone();
            job.run(Box::new(move || sender.send(threads(&pool)).unwrap()));
        }
        (0..50).for_each(|_| assert!(receiver.recv_timeout(LONG).unwrap() <= 3));
    }

    #[test]
    fn a_thread_without_jobs_ends() {
        let pool = BlockingPool::new("test", 3, Duration::ZERO);
        let first = run_one(&pool);
        wait_until(|| threads(&pool) == 0);
        assert_ne!(run_one(&pool), first);
    }

    #[test]
    fn a_panic_ends_no_thread() {
        let pool = BlockingPool::new("test", 1, LONG);
        pool.run(Box::new(|| std::panic::resume_unwind(Box::new("expected"))));
        run_one(&pool);
        assert_eq!(threads(&pool), 1);
    }
}
