//! Tasks: their order, their end, and the information about them.
#![expect(clippy::async_yields_async, reason = "the tests return handles from a run")]

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::future::pending;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use brigade_runtime::event_loop::BuildError;
use brigade_runtime::task::{self, TaskState, shield, yield_now};
use brigade_runtime::time::{sleep, timeout};
use brigade_runtime::{EventLoop, LoopHandle, oneshot, run, spawn};

use support::run_on_manual_clock;

mod support;

/// Sets its flag when dropped.
struct Flag(Rc<Cell<bool>>);

impl Flag {
    fn new() -> (Self, Rc<Cell<bool>>) {
        let flag = Rc::new(Cell::new(false));
        (Self(flag.clone()), flag)
    }
}

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

#[test]
fn a_task_is_not_polled_within_spawn() {
    run(async {
        let polled = Rc::new(Cell::new(false));
        let flag = polled.clone();
        let task = spawn(async move { flag.set(true) });
        assert!(!polled.get() && !task.is_finished());
        task.await.unwrap();
        assert!(polled.get());
    });
}

#[test]
fn tasks_run_in_the_order_in_which_they_became_ready() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let (main_log, mut event_loop) = (log.clone(), EventLoop::new().unwrap());
    event_loop.run_until_complete(async move {
        for name in ["A", "B", "C"] {
            let log = main_log.clone();
            spawn(async move {
                log.borrow_mut().push(format!("{name}1"));
                yield_now().await;
                log.borrow_mut().push(format!("{name}2"));
            })
            .detach();
        }
        yield_now().await;
        yield_now().await;
    });
    assert_eq!(*log.borrow(), ["A1", "B1", "C1", "A2", "B2", "C2"]);
}

#[test]
fn tasks_run_concurrently_and_return_their_outputs() {
    let outputs = run_on_manual_clock(async {
        let slow = spawn(async {
            sleep(Duration::from_millis(20)).await;
            "slow"
        });
        let quick = spawn(async { "quick" });
        (quick.await.unwrap(), slow.await.unwrap())
    });
    assert_eq!(outputs, ("quick", "slow"));
}

#[test]
fn a_panic_ends_only_its_task_and_is_returned_to_the_awaiter() {
    run(async {
        let error = spawn(async { panic!("boom") }).await.unwrap_err();
        assert!(error.is_panic() && !error.is_cancelled());
        assert!(error.to_string().contains("panicked: boom"), "{error}");
        let payload = error.into_panic().unwrap();
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"boom"));
        assert_eq!(spawn(async { 1 }).await.unwrap(), 1);
    });
}

#[test]
#[should_panic(expected = "boom")]
fn run_panics_with_the_panic_of_the_main_future() {
    run(async { panic!("boom") });
}

#[test]
fn a_detached_task_runs_on() {
    let done = run(async {
        let (sender, receiver) = oneshot::channel();
        drop(spawn(async {
            yield_now().await;
            sender.send("done").unwrap();
        }));
        receiver.await
    });
    assert_eq!(done, Ok("done"));
}

#[test]
fn abort_drops_the_future_at_its_await() {
    run(async {
        let (flag, dropped) = Flag::new();
        let task = spawn(async move {
            let _flag = flag;
            pending::<()>().await;
        });
        yield_now().await;
        task.abort();
        assert!(!dropped.get(), "the future was dropped within abort");
        let error = task.await.unwrap_err();
        assert!(error.is_cancelled() && !error.is_loop_ended());
        assert!(error.to_string().ends_with("was cancelled"), "{error}");
        assert!(dropped.get());
    });
}

#[test]
fn a_task_aborted_before_its_first_poll_is_never_polled() {
    run(async {
        let polled = Rc::new(Cell::new(false));
        let flag = polled.clone();
        let task = spawn(async move { flag.set(true) });
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(!polled.get());
    });
}

#[test]
fn abort_does_nothing_to_a_task_that_has_finished() {
    run(async {
        let task = spawn(async { 5 });
        yield_now().await;
        assert!(task.is_finished());
        task.abort();
        assert_eq!(task.await.unwrap(), 5);
    });
}

#[test]
fn a_task_that_aborts_itself_ends_at_its_next_await() {
    run(async {
        let (sender, receiver) = oneshot::channel::<task::JoinHandle<()>>();
        let steps = Rc::new(Cell::new(0));
        let count = steps.clone();
        let task = spawn(async move {
            let own_handle = receiver.await.unwrap();
            own_handle.abort();
            count.set(1);
            yield_now().await;
            count.set(2);
        });
        sender.send(task).unwrap();
        yield_now().await;
        yield_now().await;
        yield_now().await;
        assert_eq!(steps.get(), 1);
        assert_eq!(task::all().len(), 1, "only the main task is left");
    });
}

#[test]
fn a_destructor_of_a_cancelled_task_may_spawn() {
    struct SpawnOnDrop(Rc<Cell<bool>>);
    impl Drop for SpawnOnDrop {
        fn drop(&mut self) {
            let ran = self.0.clone();
            spawn(async move { ran.set(true) }).detach();
        }
    }
    run(async {
        let ran = Rc::new(Cell::new(false));
        let guard = SpawnOnDrop(ran.clone());
        let task = spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        });
        yield_now().await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        yield_now().await;
        assert!(ran.get());
    });
}

#[test]
fn a_task_that_is_always_ready_does_not_keep_timers_from_expiring() {
    run(async {
        let busy = spawn(async {
            loop {
                yield_now().await;
            }
        });
        sleep(Duration::from_millis(1)).await;
        busy.abort();
    });
}

#[test]
fn the_info_of_a_task_has_its_label_parent_state_and_times() {
    run_on_manual_clock(async {
        let line = line!() + 1;
        let task = task::Builder::new().name("child").spawn(async {
            sleep(Duration::from_secs(5)).await;
            let own = task::current().unwrap();
            assert_eq!((own.state, own.polls), (TaskState::Polling, 2));
            assert_eq!((own.age, own.since_poll), (Duration::from_secs(5), Some(Duration::ZERO)));
        });
        let info = task.info().unwrap();
        assert_eq!(info.label.id(), task.id());
        assert_eq!(info.label.name(), Some("child"));
        assert_eq!((info.label.site().file(), info.label.site().line()), (file!(), line));
        assert_eq!(info.parent, task::current().map(|main| main.label.id()));
        assert_eq!((info.state, info.polls, info.since_poll), (TaskState::Ready, 0, None));
        sleep(Duration::from_secs(2)).await;
        let info = task.info().unwrap();
        assert_eq!((info.state, info.polls), (TaskState::Waiting, 1));
        assert_eq!((info.age, info.since_poll), (Duration::from_secs(2), Some(info.age)));
        sleep(Duration::from_secs(4)).await;
        assert_eq!(task.info().unwrap().state, TaskState::Finished);
        assert!(format!("{}", info.label).contains("'child' (spawned at "));
        task.await.unwrap();
    });
}

#[test]
fn all_lists_the_tasks_of_the_loop_until_their_outcome_is_taken() {
    run(async {
        let name = |task: &task::TaskInfo| task.label.name().map(str::to_owned);
        let names = || task::all().iter().map(name).collect::<Vec<_>>();
        let some = |name: &str| Some(name.to_owned());
        let task = task::Builder::new().name("one").spawn(async {});
        assert_eq!(names(), [some("main"), some("one")]);
        yield_now().await;
        assert_eq!(names(), [some("main"), some("one")]);
        task.await.unwrap();
        assert_eq!(names(), [some("main")]);
    });
    assert!(task::all().is_empty() && task::current().is_none());
}

#[test]
fn a_shielded_future_finishes_although_its_awaiter_is_cancelled() {
    run_on_manual_clock(async {
        let saved = Rc::new(Cell::new(false));
        let flag = saved.clone();
        let save = async move {
            sleep(Duration::from_secs(10)).await;
            flag.set(true);
            "saved"
        };
        let awaiter = spawn(timeout(Duration::from_secs(1), shield(save)));
        assert!(awaiter.await.unwrap().is_err());
        sleep(Duration::from_secs(20)).await;
        assert!(saved.get());
        assert_eq!(shield(async { 3 }).await, 3);
        let error = spawn(async { shield(async { panic!("inner") }).await }).await.unwrap_err();
        assert!(error.to_string().contains("inner"), "{error}");
    });
}

#[test]
fn run_ends_when_no_task_is_left() {
    let mut event_loop = EventLoop::new().unwrap();
    let count = Rc::new(Cell::new(0));
    let counter = count.clone();
    event_loop
        .handle()
        .call_soon(|| {
            spawn(async { yield_now().await }).detach();
        })
        .unwrap();
    spawn(async move {
        for _ in 0..3 {
            yield_now().await;
            counter.update(|n| n + 1);
        }
    })
    .detach();
    event_loop.run();
    assert_eq!((count.get(), task::all().len()), (3, 0));
    event_loop.run();
}

#[test]
fn tasks_left_by_one_run_continue_in_the_next() {
    let mut event_loop = EventLoop::builder().manual_clock(true).build().unwrap();
    let task = event_loop.run_until_complete(async {
        spawn(async {
            sleep(Duration::from_secs(1)).await;
            "later"
        })
    });
    assert!(!task.is_finished());
    assert_eq!(event_loop.run_until_complete(task).unwrap(), "later");
}

#[test]
fn stop_ends_the_run_and_keeps_the_tasks() {
    let mut event_loop = EventLoop::builder().manual_clock(true).build().unwrap();
    let task = spawn(async {
        LoopHandle::current().stop();
        sleep(Duration::from_secs(1)).await;
        1
    });
    event_loop.run();
    assert!(!task.is_finished());
    event_loop.run();
    assert!(task.is_finished());
}

#[test]
fn the_main_future_of_a_stopped_run_does_not_end_the_next_run() {
    let mut event_loop = EventLoop::builder().manual_clock(true).build().unwrap();
    let stopped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        event_loop.run_until_complete(async {
            LoopHandle::current().stop();
            sleep(Duration::from_secs(1)).await;
        });
    }));
    assert!(stopped.is_err(), "a run that was stopped has no output to return");
    let task = spawn(sleep(Duration::from_secs(2)));
    event_loop.run();
    assert!(task.is_finished(), "the old main future ended this run");
}

#[test]
fn awaiting_a_task_after_the_end_of_its_loop_returns_an_error() {
    let mut event_loop = EventLoop::new().unwrap();
    let mut task = event_loop.run_until_complete(async { spawn(pending::<()>()) });
    drop(event_loop);
    assert!(task.is_finished());
    let outcome = std::pin::Pin::new(&mut task)
        .poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
    let std::task::Poll::Ready(Err(error)) = outcome else { panic!("{outcome:?}") };
    assert!(error.is_loop_ended() && error.is_cancelled(), "{error}");
}

#[test]
fn dropping_the_loop_runs_the_destructors_of_its_tasks() {
    let (flag, dropped) = Flag::new();
    run(async move {
        spawn(async move {
            let _flag = flag;
            pending::<()>().await;
        })
        .detach();
        yield_now().await;
    });
    assert!(dropped.get());
}

#[test]
fn making_a_second_loop_on_a_thread_is_an_error_with_a_reason() {
    let first = EventLoop::builder().name("first").build().unwrap();
    let error = EventLoop::new().unwrap_err().to_string();
    assert!(error.contains("already has an event loop ('first')"), "{error}");
    drop(first);
    assert_eq!(run(async { 1 }), 1, "a new loop may follow one that has ended");
}

#[test]
fn the_error_of_a_selector_is_the_source_and_the_io_error() {
    let refused = || BuildError::Selector(io::Error::from(io::ErrorKind::PermissionDenied));
    assert!(refused().source().unwrap().is::<io::Error>());
    assert_eq!(io::Error::from(refused()).kind(), io::ErrorKind::PermissionDenied);
    assert!(BuildError::ThreadEnds.source().is_none());
    assert_eq!(io::Error::from(BuildError::ThreadEnds).kind(), io::ErrorKind::Other);
}

#[test]
#[should_panic(expected = "there is no event loop on this thread")]
fn spawning_without_a_loop_panics_with_a_reason() {
    spawn(async {}).detach();
}
