//! Across threads: a task woken by another thread, a task on another thread's loop.
#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "criterion's macros make functions without")]

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::mpsc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use brigade_micro::{Brigade, Monoio, Runtime, Smol, Tokio, beside, group};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};

fn threads(criterion: &mut Criterion) {
    let mut parked = group(criterion, "wake from another thread, the loop waiting", 1);
    beside!(parked, woken_from_a_wait, [Brigade, Tokio, Smol, Monoio]);
    parked.finish();
    let mut called = group(criterion, "call a waker on another thread, the loop busy", 1);
    call_wakers::<Brigade>(&mut called);
    call_wakers::<Tokio>(&mut called);
    call_wakers::<Smol>(&mut called);
    call_wakers::<Monoio>(&mut called);
    called.finish();
    let mut trips = group(criterion, "run a task on another thread's loop and await it", 1);
    trips.bench_function(Brigade::NAME, |b| b.iter_custom(brigade_round_trips));
    trips.bench_function(Tokio::NAME, |b| b.iter_custom(tokio_round_trips));
    trips.bench_function(Smol::NAME, |b| b.iter_custom(smol_round_trips));
    trips.finish();
}

/// Starts a thread that wakes every waker it receives.
fn waking_thread() -> mpsc::Sender<Waker> {
    let (sender, receiver) = mpsc::channel::<Waker>();
    std::thread::spawn(move || receiver.into_iter().for_each(Waker::wake));
    sender
}

#[expect(clippy::extra_unused_type_parameters, reason = "`beside!` names the runtime")]
async fn woken_from_a_wait<R: Runtime>(iterations: u64) -> Duration {
    let thread = waking_thread();
    let begin = Instant::now();
    for _ in 0..iterations {
        let mut is_sent = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut is_sent, true) {
                return Poll::Ready(());
            }
            thread.send(cx.waker().clone()).expect("the thread receives wakers");
            Poll::Pending
        })
        .await;
    }
    begin.elapsed()
}

/// Measures the cost for the thread that calls the waker, while the loop is within a poll.
fn call_wakers<R: Runtime>(group: &mut BenchmarkGroup<'_, WallTime>) {
    group.bench_function(R::NAME, |bencher| {
        bencher.iter_custom(|iterations| {
            R::run(poll_fn(move |cx| {
                let waker = cx.waker().clone();
                let thread = std::thread::spawn(move || {
                    let begin = Instant::now();
                    (0..iterations).for_each(|_| waker.wake_by_ref());
                    begin.elapsed()
                });
                Poll::Ready(thread.join().expect("waking does not panic"))
            }))
        });
    });
}

fn brigade_round_trips(iterations: u64) -> Duration {
    let other = brigade::run_in_thread("other", std::future::pending::<()>);
    let other = other.expect("a loop starts");
    let handle = other.loop_handle().clone();
    let took = Brigade::run(async move {
        let begin = Instant::now();
        for n in 0..iterations {
            let trip = handle.spawn(move || async move { n });
            assert_eq!(trip.await.expect("the other loop runs"), n);
        }
        let took = begin.elapsed();
        handle.stop();
        took
    });
    drop(other);
    took
}

fn tokio_round_trips(iterations: u64) -> Duration {
    let other = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let other = other.expect("the system gives a selector");
    let handle = other.handle().clone();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let thread = std::thread::spawn(move || other.block_on(stopped));
    let took = Tokio::run(async move {
        let begin = Instant::now();
        for n in 0..iterations {
            let trip = handle.spawn(async move { n });
            assert_eq!(trip.await.expect("the other loop runs"), n);
        }
        begin.elapsed()
    });
    drop(stop);
    let stopped = thread.join().expect("the other loop does not panic");
    assert!(stopped.is_err(), "the sender was dropped");
    took
}

fn smol_round_trips(iterations: u64) -> Duration {
    let executor = Arc::new(async_executor::Executor::new());
    let (stop, stopped) = async_channel::bounded::<()>(1);
    let thread = {
        let executor = executor.clone();
        std::thread::spawn(move || async_io::block_on(executor.run(stopped.recv())))
    };
    let took = Smol::run(async move {
        let begin = Instant::now();
        for n in 0..iterations {
            assert_eq!(executor.spawn(async move { n }).await, n);
        }
        begin.elapsed()
    });
    drop(stop);
    let stopped = thread.join().expect("the other loop does not panic");
    assert!(stopped.is_err(), "the sender was dropped");
    took
}

criterion_group! { name = benches; config = brigade_micro::criterion(); targets = threads }
criterion_main!(benches);
