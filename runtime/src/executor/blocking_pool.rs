//! A pool of threads for jobs that block. Knows nothing about loops.
//!
//! A job wakes one thread that waits, the one that has begun to wait last, so that the others can
//! end. If none waits, a thread is started. Either happens to one thread at a time: once it has
//! taken a job, it wakes or starts the next one if jobs are left. So many short jobs share few
//! threads, and a job never waits for others that block, until there are as many threads as the
//! pool may have.
//!
//! A thread counts as waiting before the result of its job is sent. So a task that receives the
//! result and submits the next job reuses the thread.

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

/// Work without its result. Returns what sends the result, if somebody waits for it, which does not
/// block.
pub(crate) type Job = Box<dyn FnOnce() -> Option<SendResult> + Send>;

pub(crate) type SendResult = Box<dyn FnOnce()>;

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
    waiting: VecDeque<Job>,
    threads: usize,
    /// A thread has been woken or started, and has not looked for a job yet.
    is_stirring: bool,
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
        self.shared.stir(state);
    }
}

impl Shared {
    /// Wakes or starts a thread if jobs wait for one and no other thread is on its way.
    fn stir(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        if state.waiting.is_empty() || state.is_stirring {
            return;
        }
        if let Some(thread) = state.idle.pop() {
            state.is_stirring = true;
            drop(state);
            thread.unpark();
        } else if state.threads < self.threads_max {
            state.is_stirring = true;
            state.threads += 1;
            drop(state);
            self.start();
        }
    }

    fn start(self: &Arc<Self>) {
        let shared = self.clone();
        let thread = thread::Builder::new().name(self.name.to_owned());
        if thread.spawn(move || shared.work()).is_ok() {
            return;
        }
        let mut state = lock(&self.state);
        state.threads -= 1;
        state.is_stirring = false;
        if state.threads == 0 {
            // No thread can be had: the jobs fail.
            let failed = std::mem::take(&mut state.waiting);
            drop(state);
            drop(failed);
        } else if !state.idle.is_empty() {
            // One that has become idle meanwhile takes the job.
            self.stir(state);
        }
    }

    /// Runs jobs until there are none for some time.
    fn work(self: Arc<Self>) {
        let this = thread::current();
        let mut was_stirred = true;
        loop {
            let mut state = lock(&self.state);
            let job = state.waiting.pop_front();
            if std::mem::take(&mut was_stirred) {
                state.is_stirring = false;
                self.stir(state);
            } else {
                drop(state);
            }
            // The job itself reports a panic of its work.
            let send = job.and_then(|job| catch_unwind(AssertUnwindSafe(job)).ok().flatten());
            let mut state = lock(&self.state);
            let waits = state.waiting.is_empty();
            if waits {
                state.idle.push(this.clone());
            }
            drop(state);
            if let Some(send) = send {
                let _ = catch_unwind(AssertUnwindSafe(send));
            }
            if waits {
                was_stirred = self.wait(&this);
                if !was_stirred {
                    return;
                }
            }
        }
    }

    /// Waits to be woken. Returns `false` if the thread has to end.
    fn wait(&self, this: &Thread) -> bool {
        let since = Instant::now();
        loop {
            let left = self.keep_alive.saturating_sub(since.elapsed());
            thread::park_timeout(left);
            let mut state = lock(&self.state);
            // A thread is removed from the list before it is woken.
            let place = state.idle.iter().position(|idle| idle.id() == this.id());
            match place {
                None => return true,
                Some(place) if left.is_zero() => {
                    state.idle.remove(place);
                    state.threads -= 1;
                    return false;
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

    fn job(work: impl FnOnce() + Send + 'static) -> Job {
        Box::new(|| {
            work();
            None
        })
    }

    /// Runs a job and waits for its end.
    fn run_one(pool: &BlockingPool) -> thread::ThreadId {
        let (sender, receiver) = mpsc::channel();
        pool.run(job(move || sender.send(thread::current().id()).unwrap()));
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
    fn a_thread_that_has_sent_a_result_takes_the_next_job() {
        let pool = BlockingPool::new("test", 10, LONG);
        for _ in 0..1000 {
            let (sender, receiver) = mpsc::channel();
            pool.run(Box::new(|| Some(Box::new(move || sender.send(()).unwrap()))));
            receiver.recv_timeout(LONG).unwrap();
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
            pool.run(job(move || {
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
            let other = pool.clone();
            other.run(job(move || sender.send(threads(&pool)).unwrap()));
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
        pool.run(job(|| std::panic::resume_unwind(Box::new("expected"))));
        run_one(&pool);
        assert_eq!(threads(&pool), 1);
    }
}
