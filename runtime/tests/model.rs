//! Random sequences of spawn, wake, finish, panic, abort, drop and timers, against a model that
//! says how often each task must have been polled and what has become of it.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use brigade_runtime::task::{self, JoinError, yield_now};
use brigade_runtime::time::{Sleep, now, sleep, sleep_until};
use brigade_runtime::{EventLoop, JoinHandle, spawn};
use proptest::prelude::*;

/// One thing that is done to the loop. The number picks a task among those spawned so far.
#[derive(Clone, Debug)]
enum Step {
    Spawn,
    /// So often before the task can run: it is polled once.
    Wake(usize, u32),
    /// From another thread, through the inbox.
    WakeFromThread(usize),
    Finish(usize),
    Panic(usize),
    Abort(usize),
    DropHandle(usize),
    TakeOutcome(usize),
    /// Wakes itself after so many seconds, unless it is told another time before.
    SetTimer(usize, u64),
    ClearTimer(usize),
    Advance(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let task = 0..64_usize;
    prop_oneof![
        4 => Just(Step::Spawn),
        3 => (task.clone(), 1..4_u32).prop_map(|(task, times)| Step::Wake(task, times)),
        1 => task.clone().prop_map(Step::WakeFromThread),
        2 => task.clone().prop_map(Step::Finish),
        1 => task.clone().prop_map(Step::Panic),
        2 => task.clone().prop_map(Step::Abort),
        2 => task.clone().prop_map(Step::DropHandle),
        2 => task.clone().prop_map(Step::TakeOutcome),
        3 => (task.clone(), 1..20_u64).prop_map(|(task, secs)| Step::SetTimer(task, secs)),
        1 => task.prop_map(Step::ClearTimer),
        2 => (1..10_u64).prop_map(Step::Advance),
    ]
}

/// What the future of a task is told to do when it is polled next, and what it tells.
#[derive(Default)]
struct Strings {
    order: Cell<Order>,
    polls: Cell<u32>,
    dropped: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy, Default)]
enum Order {
    #[default]
    Wait,
    Finish,
    Panic,
    SetTimer(std::time::Instant),
    ClearTimer,
}

/// A future on strings.
struct Puppet {
    strings: Rc<Strings>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Future for Puppet {
    type Output = u32;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u32> {
        let strings = self.strings.clone();
        strings.polls.update(|n| n + 1);
        strings.waker.replace(Some(cx.waker().clone()));
        match strings.order.take() {
            Order::Finish => return Poll::Ready(strings.polls.get()),
            Order::Panic => panic!("as told"),
            Order::SetTimer(deadline) => self.timer = Some(Box::pin(sleep_until(deadline))),
            Order::ClearTimer => self.timer = None,
            Order::Wait => {}
        }
        if self.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready()) {
            self.timer = None;
        }
        Poll::Pending
    }
}

impl Drop for Puppet {
    fn drop(&mut self) {
        self.strings.dropped.set(true);
    }
}

/// What must be true of one task.
struct Modelled {
    strings: Rc<Strings>,
    handle: Option<JoinHandle<u32>>,
    polls: u32,
    end: Option<End>,
    /// In seconds since the beginning.
    timer: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Finished,
    Panicked,
    Aborted,
}

impl Modelled {
    fn spawn() -> Self {
        let strings = Rc::new(Strings::default());
        let puppet = Puppet { strings: strings.clone(), timer: None };
        Self { strings, handle: Some(spawn(puppet)), polls: 1, end: None, timer: None }
    }

    fn order(&mut self, order: Order) {
        if self.end.is_none() {
            self.strings.order.set(order);
            self.wake(1);
        }
    }

    fn wake(&mut self, times: u32) {
        if let Some(waker) = &*self.strings.waker.borrow() {
            (0..times).for_each(|_| waker.wake_by_ref());
        }
        self.polls += u32::from(self.end.is_none());
    }

    fn wake_from_thread(&mut self) {
        let waker = self.strings.waker.borrow().clone();
        std::thread::spawn(|| waker.into_iter().for_each(Waker::wake)).join().unwrap();
        self.polls += u32::from(self.end.is_none());
    }

    fn finish(&mut self, order: Order, end: End) {
        self.order(order);
        self.end.get_or_insert(end);
        self.timer = None;
    }

    fn abort(&mut self) {
        if let Some(handle) = &self.handle {
            handle.abort();
            self.end.get_or_insert(End::Aborted);
            self.timer = None;
        }
    }

    async fn take_outcome(&mut self) {
        if let Some(end) = self.end
            && let Some(handle) = self.handle.take()
        {
            let outcome: Result<u32, JoinError> = handle.await;
            match (end, outcome) {
                (End::Finished, Ok(polls)) => assert_eq!(polls, self.polls),
                (End::Panicked, Err(error)) => assert!(error.is_panic()),
                (End::Aborted, Err(error)) => assert!(error.is_cancelled()),
                (end, outcome) => panic!("{end:?}, but {outcome:?}"),
            }
        }
    }

    fn pass(&mut self, now: u64) {
        if self.timer.is_some_and(|due| due <= now) {
            self.timer = None;
            self.polls += 1;
        }
    }

    fn check(&self) {
        assert_eq!(self.strings.polls.get(), self.polls);
        assert_eq!(self.strings.dropped.get(), self.end.is_some());
        if let Some(handle) = &self.handle {
            assert_eq!(handle.is_finished(), self.end.is_some());
            assert_eq!(handle.info().unwrap().polls, self.polls);
        }
    }
}

fn pick(tasks: &mut [Modelled], task: usize) -> &mut Modelled {
    let count = tasks.len();
    &mut tasks[task % count]
}

async fn drive(steps: Vec<Step>) {
    let (began, mut clock) = (now(), 0);
    let mut tasks: Vec<Modelled> = Vec::new();
    for step in steps {
        if tasks.is_empty() {
            tasks.push(Modelled::spawn());
            yield_now().await;
        }
        match step {
            Step::Spawn => tasks.push(Modelled::spawn()),
            Step::Wake(task, times) => pick(&mut tasks, task).wake(times),
            Step::WakeFromThread(task) => pick(&mut tasks, task).wake_from_thread(),
            Step::Finish(task) => pick(&mut tasks, task).finish(Order::Finish, End::Finished),
            Step::Panic(task) => pick(&mut tasks, task).finish(Order::Panic, End::Panicked),
            Step::Abort(task) => pick(&mut tasks, task).abort(),
            Step::DropHandle(task) => drop(pick(&mut tasks, task).handle.take()),
            Step::TakeOutcome(task) => pick(&mut tasks, task).take_outcome().await,
            Step::SetTimer(task, secs) => {
                let task = pick(&mut tasks, task);
                task.order(Order::SetTimer(began + Duration::from_secs(clock + secs)));
                task.timer = task.end.is_none().then_some(clock + secs);
            }
            Step::ClearTimer(task) => {
                pick(&mut tasks, task).order(Order::ClearTimer);
                pick(&mut tasks, task).timer = None;
            }
            Step::Advance(secs) => {
                sleep(Duration::from_secs(secs)).await;
                clock += secs;
                tasks.iter_mut().for_each(|task| task.pass(clock));
            }
        }
        // One turn for what is ready, one for what came through the inbox.
        yield_now().await;
        yield_now().await;
        tasks.iter().for_each(Modelled::check);
        let live = |task: &&Modelled| task.end.is_none() || task.handle.is_some();
        assert_eq!(task::all().len(), 1 + tasks.iter().filter(live).count(), "tasks in the table");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_loop_does_what_the_model_says(steps in prop::collection::vec(step(), 1..120)) {
        // Panics are part of the play: they are reported to nobody.
        let builder = EventLoop::builder().manual_clock(true).on_unhandled(|_| ());
        let mut event_loop = builder.build().unwrap();
        event_loop.run_until_complete(drive(steps));
    }
}
