//! Random sequences of spawn, wake, finish, panic, abort, drop and timers, compared with a model
//! of how often each task is polled and what its outcome is.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use brigade_runtime::task::{self, JoinError, yield_now};
use brigade_runtime::time::{Sleep, now, sleep, sleep_until};
use brigade_runtime::{EventLoop, JoinHandle, spawn};
use proptest::prelude::*;

/// One step of a sequence. The first number selects one of the tasks spawned so far.
#[derive(Clone, Debug)]
enum Step {
    Spawn,
    /// Wakes the task several times before it can run, so that it is polled once.
    Wake(usize, u32),
    /// Wakes the task from another thread, through the inbox.
    WakeFromThread(usize),
    Finish(usize),
    Panic(usize),
    Abort(usize),
    DropHandle(usize),
    TakeOutcome(usize),
    /// Makes the task set a timer that wakes it after this many seconds.
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

/// What a task is to do when it is polled next, and what it has recorded.
#[derive(Default)]
struct Control {
    action: Cell<Action>,
    polls: Cell<u32>,
    dropped: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy, Default)]
enum Action {
    #[default]
    Wait,
    Finish,
    Panic,
    SetTimer(std::time::Instant),
    ClearTimer,
}

/// A future that does what its control says.
struct Controlled {
    control: Rc<Control>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Future for Controlled {
    type Output = u32;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u32> {
        let control = self.control.clone();
        control.polls.update(|n| n + 1);
        control.waker.replace(Some(cx.waker().clone()));
        match control.action.take() {
            Action::Finish => return Poll::Ready(control.polls.get()),
            Action::Panic => panic!("as the step says"),
            Action::SetTimer(deadline) => self.timer = Some(Box::pin(sleep_until(deadline))),
            Action::ClearTimer => self.timer = None,
            Action::Wait => {}
        }
        if self.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready()) {
            self.timer = None;
        }
        Poll::Pending
    }
}

impl Drop for Controlled {
    fn drop(&mut self) {
        self.control.dropped.set(true);
    }
}

/// The expected state of one task.
struct Modelled {
    control: Rc<Control>,
    handle: Option<JoinHandle<u32>>,
    polls: u32,
    end: Option<End>,
    /// The deadline, in seconds since the beginning.
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
        let control = Rc::new(Control::default());
        let future = Controlled { control: control.clone(), timer: None };
        Self { control, handle: Some(spawn(future)), polls: 1, end: None, timer: None }
    }

    fn act(&mut self, action: Action) {
        if self.end.is_none() {
            self.control.action.set(action);
            self.wake(1);
        }
    }

    fn wake(&mut self, times: u32) {
        if let Some(waker) = &*self.control.waker.borrow() {
            (0..times).for_each(|_| waker.wake_by_ref());
        }
        self.polls += u32::from(self.end.is_none());
    }

    fn wake_from_thread(&mut self) {
        let waker = self.control.waker.borrow().clone();
        std::thread::spawn(|| waker.into_iter().for_each(Waker::wake)).join().unwrap();
        self.polls += u32::from(self.end.is_none());
    }

    fn finish(&mut self, action: Action, end: End) {
        self.act(action);
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
                (end, outcome) => panic!("expected {end:?}, got {outcome:?}"),
            }
        }
    }

    /// Accounts for the poll that the timer causes if it is due.
    fn advance(&mut self, now: u64) {
        if self.timer.is_some_and(|due| due <= now) {
            self.timer = None;
            self.polls += 1;
        }
    }

    fn check(&self) {
        assert_eq!(self.control.polls.get(), self.polls);
        assert_eq!(self.control.dropped.get(), self.end.is_some());
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

/// Applies `steps` to the loop and to the model, and compares them after each.
async fn apply(steps: Vec<Step>) {
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
            Step::Finish(task) => pick(&mut tasks, task).finish(Action::Finish, End::Finished),
            Step::Panic(task) => pick(&mut tasks, task).finish(Action::Panic, End::Panicked),
            Step::Abort(task) => pick(&mut tasks, task).abort(),
            Step::DropHandle(task) => drop(pick(&mut tasks, task).handle.take()),
            Step::TakeOutcome(task) => pick(&mut tasks, task).take_outcome().await,
            Step::SetTimer(task, secs) => {
                let task = pick(&mut tasks, task);
                task.act(Action::SetTimer(began + Duration::from_secs(clock + secs)));
                task.timer = task.end.is_none().then_some(clock + secs);
            }
            Step::ClearTimer(task) => {
                pick(&mut tasks, task).act(Action::ClearTimer);
                pick(&mut tasks, task).timer = None;
            }
            Step::Advance(secs) => {
                sleep(Duration::from_secs(secs)).await;
                clock += secs;
                tasks.iter_mut().for_each(|task| task.advance(clock));
            }
        }
        // One turn for ready tasks, and one for wakes through the inbox.
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
    fn the_loop_behaves_like_the_model(steps in prop::collection::vec(step(), 1..120)) {
        // Panics are expected, so their reports are ignored.
        let builder = EventLoop::builder().manual_clock(true).on_unhandled(|_| ());
        let mut event_loop = builder.build().unwrap();
        event_loop.run_until_complete(apply(steps));
    }
}
