//! A million wakes and completions from eight threads to two loops, none of which is lost.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use brigade_runtime::{gather_all, oneshot, run_in_thread, spawn};

const LOOPS: u64 = 2;
const THREADS: u64 = 8;
/// Completions and plain wakes, half of each.
const EVENTS: u64 = 1_000_000;
/// The completions, and the wakes, of each pair of a thread and a loop.
const SHARE: u64 = EVENTS / 2 / THREADS / LOOPS;
/// The test takes a few seconds on a slow machine. After a lost wake it would never end.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Tasks per loop and thread that wait for completions.
const TASKS: u64 = 10;

/// A counter that a thread increments, with the waker of the task that waits for it.
#[derive(Default)]
struct Counter {
    count: AtomicU64,
    waker: Mutex<Option<Waker>>,
}

impl Counter {
    fn increment(&self) {
        self.count.fetch_add(1, Ordering::Release);
        let waker = self.waker.lock().unwrap().clone();
        waker.into_iter().for_each(Waker::wake);
    }

    /// Waits until the count is `target`. Never ends if a wake was lost.
    async fn reached(&self, target: u64) {
        poll_fn(|cx| {
            let mut waker = self.waker.lock().unwrap();
            if waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
                *waker = Some(cx.waker().clone());
            }
            drop(waker);
            if self.count.load(Ordering::Acquire) < target {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
    }
}

/// Starts a thread that completes the senders it receives, and increments a counter before each.
fn start_thread(counters: Vec<Arc<Counter>>) -> mpsc::Sender<oneshot::SyncSender<u64>> {
    let (sender, senders) = mpsc::channel::<oneshot::SyncSender<u64>>();
    std::thread::spawn(move || {
        for (number, sender) in senders.into_iter().enumerate() {
            let number = number as u64;
            counters[(number % LOOPS) as usize].increment();
            sender.send(number).unwrap();
        }
    });
    sender
}

/// Spawns the tasks of one loop that wait for completions. Returns the number of completions.
async fn await_completions(threads: Vec<mpsc::Sender<oneshot::SyncSender<u64>>>) -> u64 {
    let senders = threads.iter().flat_map(|thread| (0..TASKS).map(move |_| thread.clone()));
    let tasks = senders.map(|thread| {
        spawn(async move {
            let mut completed = 0;
            for _ in 0..SHARE / TASKS {
                let (sender, receiver) = oneshot::sync_channel();
                thread.send(sender).unwrap();
                receiver.await.unwrap();
                completed += 1;
            }
            completed
        })
    });
    let tasks: Vec<_> = tasks.collect();
    gather_all(tasks).await.into_iter().map(|completed| completed.unwrap()).sum()
}

#[test]
fn no_wake_or_completion_from_eight_threads_to_two_loops_is_lost() {
    let began = Instant::now();
    let counters: Vec<Vec<_>> =
        (0..THREADS).map(|_| (0..LOOPS).map(|_| Arc::new(Counter::default())).collect()).collect();
    let threads: Vec<_> = counters.iter().cloned().map(start_thread).collect();
    let (done, is_done) = mpsc::channel();
    for number in 0..LOOPS as usize {
        let threads = threads.clone();
        let counters: Vec<_> = counters.iter().map(|counters| counters[number].clone()).collect();
        let done = done.clone();
        let name = format!("stress-{number}");
        let thread = run_in_thread(name, move || async move {
            let reached =
                counters.into_iter().map(|counter| async move { counter.reached(SHARE).await });
            let counting: Vec<_> = reached.map(spawn).collect();
            let completed = await_completions(threads).await;
            for outcome in gather_all(counting).await {
                outcome.unwrap();
            }
            done.send(completed).unwrap();
        });
        drop(thread.unwrap());
    }
    drop(threads);
    let completed: u64 = (0..LOOPS)
        .map(|_| is_done.recv_timeout(TIMEOUT).expect("a wake or a completion was lost"))
        .sum();
    assert_eq!(completed, EVENTS / 2);
    println!("{EVENTS} wakes and completions in {:.1?}", began.elapsed());
}
