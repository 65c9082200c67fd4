//! Tasks of one thread: spawned and joined, yielding, waking each other.
#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "criterion's macros make functions without")]

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use brigade_micro::{Runtime, beside, group};
use criterion::{Criterion, criterion_group, criterion_main};

/// The number of tasks, where there are many.
const MANY: u64 = 1000;

fn tasks(criterion: &mut Criterion) {
    let mut one = group(criterion, "spawn and join", 1);
    beside!(one, spawn_and_join, [Brigade, Tokio, Smol, Monoio]);
    one.finish();
    let mut many = group(criterion, "spawn 1,000, then join them", MANY);
    beside!(many, spawn_then_join, [Brigade, Tokio, Smol, Monoio]);
    many.finish();
    let mut yields = group(criterion, "yield, alone", 1);
    beside!(yields, yield_alone, [Brigade, Tokio, Smol, Monoio]);
    yields.finish();
    let mut crowd = group(criterion, "yield, in 1,000 tasks", MANY);
    beside!(crowd, yield_in_a_crowd, [Brigade, Tokio, Smol, Monoio]);
    crowd.finish();
    let mut wakes = group(criterion, "wake another task and wait for it to wake this one", 1);
    beside!(wakes, wake_each_other, [Brigade, Tokio, Smol, Monoio]);
    wakes.finish();
}

async fn spawn_and_join<R: Runtime>(iterations: u64) -> Duration {
    let begin = Instant::now();
    for iteration in 0..iterations {
        assert_eq!(R::spawn(async move { iteration }).await, iteration);
    }
    begin.elapsed()
}

async fn spawn_then_join<R: Runtime>(iterations: u64) -> Duration {
    let mut tasks = Vec::with_capacity(MANY as usize);
    let begin = Instant::now();
    for _ in 0..iterations {
        tasks.extend((0..MANY).map(|n| R::spawn(async move { n })));
        for task in tasks.drain(..) {
            assert!(task.await < MANY);
        }
    }
    begin.elapsed()
}

async fn yield_alone<R: Runtime>(iterations: u64) -> Duration {
    let begin = Instant::now();
    for _ in 0..iterations {
        R::yield_now().await;
    }
    begin.elapsed()
}

async fn yield_in_a_crowd<R: Runtime>(iterations: u64) -> Duration {
    let begin = Instant::now();
    let tasks: Vec<_> = (0..MANY)
        .map(|_| {
            R::spawn(async move {
                for _ in 0..iterations {
                    R::yield_now().await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await;
    }
    begin.elapsed()
}

async fn wake_each_other<R: Runtime>(iterations: u64) -> Duration {
    let (there, here) = (Rc::new(Signal::default()), Rc::new(Signal::default()));
    let other = {
        let (there, here) = (there.clone(), here.clone());
        R::spawn(async move {
            for _ in 0..iterations {
                there.wait().await;
                here.raise();
            }
        })
    };
    let begin = Instant::now();
    for _ in 0..iterations {
        there.raise();
        here.wait().await;
    }
    let took = begin.elapsed();
    other.await;
    took
}

/// A minimal notification, the same for all runtimes, so that only the runtimes differ.
#[derive(Default)]
struct Signal {
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    is_raised: bool,
    waiting: Option<Waker>,
}

impl Signal {
    fn raise(&self) {
        let waiting = {
            let mut state = self.state.borrow_mut();
            state.is_raised = true;
            state.waiting.take()
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    async fn wait(&self) {
        poll_fn(|cx| {
            let mut state = self.state.borrow_mut();
            if std::mem::take(&mut state.is_raised) {
                return Poll::Ready(());
            }
            state.waiting = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

criterion_group! { name = benches; config = brigade_micro::criterion(); targets = tasks }
criterion_main!(benches);
