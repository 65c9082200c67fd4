//! Work that blocks, on the threads of a pool.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use brigade_runtime::event_loop::Builder;
use brigade_runtime::{EventLoop, EventLoopGroup, gather_all, spawn_blocking, spawn_file_read};

/// Longer than any of this takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Counts the pieces of work that run at the same time.
#[derive(Clone, Default)]
struct AtOnce {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl AtOnce {
    fn work(&self) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        std::thread::yield_now();
        self.now.fetch_sub(1, Ordering::SeqCst);
    }

    async fn run(self, pieces: usize) {
        let piece = |_| {
            let this = self.clone();
            spawn_blocking(move || this.work())
        };
        for result in gather_all((0..pieces).map(piece)).await {
            result.unwrap();
        }
    }
}

fn builder() -> Builder {
    EventLoop::builder().max_blocking_threads(2).thread_keep_alive(Duration::from_millis(1))
}

#[test]
fn the_threads_for_work_that_blocks_are_limited() {
    let at_once = AtOnce::default();
    builder().build().unwrap().run_until_complete(at_once.clone().run(100));
    assert!(at_once.most.load(Ordering::SeqCst) <= 2);
}

#[test]
fn the_loops_of_a_group_share_the_threads() {
    let at_once = AtOnce::default();
    let each = vec![at_once.clone(); 3];
    let group = EventLoopGroup::builder().loops(3).pin(false).event_loop(builder());
    let group = group.start(each, |_, at_once: AtOnce| at_once.run(100)).unwrap();
    group.join().into_iter().for_each(|ended| ended.unwrap());
    assert!(at_once.most.load(Ordering::SeqCst) <= 2);
}

#[test]
fn a_full_pool_does_not_delay_the_reads_of_files() {
    let mut event_loop = EventLoop::builder().max_blocking_threads(1).build().unwrap();
    event_loop.run_until_complete(async {
        let (open, gate) = mpsc::channel::<()>();
        let blocked = spawn_blocking(move || gate.recv_timeout(PATIENCE).is_ok());
        assert_eq!(spawn_file_read(|| 7).await.unwrap(), 7);
        open.send(()).unwrap();
        assert!(blocked.await.unwrap());
    });
}

#[test]
fn work_that_waits_for_later_work_does_not_block_for_ever() {
    brigade_runtime::run(async {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..50).map(|_| mpsc::channel::<()>()).unzip();
        let waiting: Vec<_> = receivers
            .into_iter()
            .map(|receiver| spawn_blocking(move || receiver.recv_timeout(PATIENCE).is_ok()))
            .collect();
        spawn_blocking(move || senders.iter().for_each(|sender| sender.send(()).unwrap()))
            .await
            .unwrap();
        for waiting in waiting {
            assert!(waiting.await.unwrap());
        }
    });
}
