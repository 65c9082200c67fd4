//! A million wakes and completions from eight threads into two loops: none is lost.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use brigade_runtime::{gather_all, oneshot, run_in_thread, spawn};

const LOOPS: u64 = 2;
const THREADS: u64 = 8;
/// Completions and bare wakes, half of each.
const EVENTS: u64 = 1_000_000;
/// Each pair of a thread and a loop has its share of both.
const SHARE: u64 = EVENTS / 2 / THREADS / LOOPS;
/// On a slow machine it takes a few seconds; a lost wake would take for ever.
const PATIENCE: Duration = Duration::from_secs(120);
/// Tasks of one loop that one thread completes futures for.
const TASKS: u64 = 10;

/// A counter that a thread raises, and whom it wakes after each step.
#[derive(Default)]
struct Bell {
    rung: AtomicU64,
    waker: Mutex<Option<Waker>>,
}

impl Bell {
    fn ring(&self) {
        self.rung.fetch_add(1, Ordering::Release);
        let waker = self.waker.lock().unwrap().clone();
        waker.into_iter().for_each(Waker::wake);
    }

    /// Ready when it has rung `times`. Says that a wake was lost by never being so.
    async fn rung(&self, times: u64) {
        poll_fn(|cx| {
            let mut waker = self.waker.lock().unwrap();
            if waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
                *waker = Some(cx.waker().clone());
            }
            drop(waker);
            if self.rung.load(Ordering::Acquire) < times { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }
}

/// A thread that completes what it is sent, and rings the bells between.
fn helper(bells: Vec<Arc<Bell>>) -> mpsc::Sender<oneshot::SyncSender<u64>> {
    let (sender, senders) = mpsc::channel::<oneshot::SyncSender<u64>>();
    std::thread::spawn(move || {
        for (number, sender) in senders.into_iter().enumerate() {
            let number = number as u64;
            let bell = &bells[(number % LOOPS) as usize];
            bell.ring();
            sender.send(number).unwrap();
        }
    });
    sender
}

/// One loop: for each helper some tasks that wait for completions, and one that counts wakes.
/// Returns how many completions came.
async fn take_part(helpers: Vec<mpsc::Sender<oneshot::SyncSender<u64>>>) -> u64 {
    let waiting = helpers.iter().flat_map(|helper| (0..TASKS).map(move |_| helper.clone()));
    let tasks = waiting.map(|helper| {
        spawn(async move {
            let mut completed = 0;
            for _ in 0..SHARE / TASKS {
                let (sender, receiver) = oneshot::sync_channel();
                helper.send(sender).unwrap();
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
fn eight_threads_wake_and_complete_into_two_loops_and_nothing_is_lost() {
    let began = Instant::now();
    let bells: Vec<Vec<_>> =
        (0..THREADS).map(|_| (0..LOOPS).map(|_| Arc::new(Bell::default())).collect()).collect();
    let helpers: Vec<_> = bells.iter().cloned().map(helper).collect();
    let (done, is_done) = mpsc::channel();
    for number in 0..LOOPS as usize {
        let helpers = helpers.clone();
        let bells: Vec<_> = bells.iter().map(|bells| bells[number].clone()).collect();
        let done = done.clone();
        let name = format!("stress-{number}");
        let thread = run_in_thread(name, move || async move {
            let rung = bells.into_iter().map(|bell| async move { bell.rung(SHARE).await });
            let counting: Vec<_> = rung.map(spawn).collect();
            let completed = take_part(helpers).await;
            for bell in gather_all(counting).await {
                bell.unwrap();
            }
            done.send(completed).unwrap();
        });
        drop(thread.unwrap());
    }
    drop(helpers);
    let completed: u64 = (0..LOOPS)
        .map(|_| is_done.recv_timeout(PATIENCE).expect("a wake or a completion was lost"))
        .sum();
    assert_eq!(completed, EVENTS / 2);
    println!("{EVENTS} wakes and completions in {:.1?}", began.elapsed());
}
