//! Channels between tasks of one thread. All run in brigade's loop, so that only the channels
//! differ.
#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "criterion's macros make functions without")]

use std::time::Instant;

use brigade_micro::{Brigade, Runtime, group, iterations};
use criterion::{Criterion, criterion_group, criterion_main};

/// The capacity of a channel.
const CAPACITY: usize = 64;

/// Measures the async closure `$work`, called once an iteration.
macro_rules! measure {
    ($group:expr, $name:literal, $work:expr) => {
        $group.bench_function($name, |bencher| {
            bencher.iter_custom(|requested| {
                let iterations = iterations(requested);
                Brigade::run(async move {
                    let begin = Instant::now();
                    for _ in 0..iterations {
                        $work.await;
                    }
                    begin.elapsed()
                })
            })
        });
    };
}

/// Measures sending values through `$channel`: a task sends them, the measurement receives them.
macro_rules! stream {
    ($group:expr, $name:literal, $channel:expr) => {
        $group.bench_function($name, |bencher| {
            bencher.iter_custom(|requested| {
                let iterations = iterations(requested);
                Brigade::run(async move {
                    #[allow(unused_mut, reason = "some ends receive by a shared reference")]
                    let (sender, mut receiver) = $channel;
                    let begin = Instant::now();
                    let task = brigade::spawn(async move {
                        for value in 0..iterations {
                            assert!(sender.send(value).await.is_ok());
                        }
                    });
                    for value in 0..iterations {
                        assert_eq!(received(receiver.recv().await), value);
                    }
                    assert!(task.await.is_ok());
                    begin.elapsed()
                })
            })
        });
    };
}

fn channels(criterion: &mut Criterion) {
    let mut ready = group(criterion, "oneshot: make, send, receive", 1);
    measure!(ready, "brigade", async {
        let (sender, receiver) = brigade::oneshot::channel();
        assert!(sender.send(1_u64).is_ok());
        assert!(receiver.await.is_ok());
    });
    measure!(ready, "tokio", async {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        assert!(sender.send(1_u64).is_ok());
        assert!(receiver.await.is_ok());
    });
    measure!(ready, "local-sync", async {
        let (sender, receiver) = local_sync::oneshot::channel();
        assert!(sender.send(1_u64).is_ok());
        assert!(receiver.await.is_ok());
    });
    ready.finish();
    waiting(criterion);
    let mut streams = group(criterion, "channel of 64: send and receive", 1);
    stream!(streams, "brigade", brigade::local::channel(CAPACITY));
    stream!(streams, "tokio", tokio::sync::mpsc::channel(CAPACITY));
    stream!(streams, "async-channel", async_channel::bounded(CAPACITY));
    stream!(streams, "local-sync", {
        let (sender, receiver) = local_sync::mpsc::bounded::channel(CAPACITY);
        (sender, Receiver(receiver))
    });
    streams.finish();
}

fn waiting(criterion: &mut Criterion) {
    let mut waiting = group(criterion, "oneshot to a task that waits", 1);
    measure!(waiting, "brigade", async {
        let (sender, receiver) = brigade::oneshot::channel();
        let task = brigade::spawn(receiver);
        brigade::task::yield_now().await;
        assert!(sender.send(1_u64).is_ok());
        assert!(task.await.is_ok());
    });
    measure!(waiting, "tokio", async {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let task = brigade::spawn(receiver);
        brigade::task::yield_now().await;
        assert!(sender.send(1_u64).is_ok());
        assert!(task.await.is_ok());
    });
    measure!(waiting, "local-sync", async {
        let (sender, receiver) = local_sync::oneshot::channel();
        let task = brigade::spawn(receiver);
        brigade::task::yield_now().await;
        assert!(sender.send(1_u64).is_ok());
        assert!(task.await.is_ok());
    });
    waiting.finish();
}

/// local-sync's receiver, with the method name of the others.
struct Receiver<T>(local_sync::mpsc::bounded::Rx<T>);

impl<T> Receiver<T> {
    async fn recv(&mut self) -> Option<T> {
        self.0.recv().await
    }
}

/// Returns the received value, whether the channel ends with `None` or with an error.
fn received<T>(outcome: impl IntoOutcome<T>) -> T {
    outcome.value().expect("the sender sends as many as are received")
}

trait IntoOutcome<T> {
    fn value(self) -> Option<T>;
}

impl<T> IntoOutcome<T> for Option<T> {
    fn value(self) -> Option<T> {
        self
    }
}

impl<T, E> IntoOutcome<T> for Result<T, E> {
    fn value(self) -> Option<T> {
        self.ok()
    }
}

criterion_group! { name = benches; config = brigade_micro::criterion(); targets = channels }
criterion_main!(benches);
