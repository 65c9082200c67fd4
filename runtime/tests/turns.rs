//! How much runs in one turn of the loop.

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::task::Poll;

use brigade_runtime::task::{self, yield_now};
use brigade_runtime::time::sleep;
use brigade_runtime::{EventLoop, spawn};

/// A turn with this many polls starts no further batch.
const POLLS_BEFORE_IO: usize = 64;

/// Returns the polls that each of `tasks` tasks, which yield without end, has in one turn.
fn polls_in_one_turn(tasks: usize) -> usize {
    let mut event_loop = EventLoop::new().unwrap();
    let polls = Rc::new(Cell::new(0));
    for _ in 0..tasks {
        let polls = polls.clone();
        spawn(async move {
            loop {
                polls.update(|polls| polls + 1);
                yield_now().await;
            }
        })
        .detach();
    }
    event_loop.turn();
    let first = polls.get();
    event_loop.turn();
    assert_eq!(polls.get(), 2 * first, "all turns run as much");
    first / tasks
}

#[test]
fn a_turn_runs_batches_until_it_has_made_64_polls() {
    assert_eq!(polls_in_one_turn(1), POLLS_BEFORE_IO);
    assert_eq!(polls_in_one_turn(POLLS_BEFORE_IO / 2), 2);
    assert_eq!(polls_in_one_turn(POLLS_BEFORE_IO - 1), 2);
    assert_eq!(polls_in_one_turn(POLLS_BEFORE_IO), 1);
}

#[test]
fn the_debug_output_of_a_loop_counts_what_it_has() {
    let mut event_loop = EventLoop::new().unwrap();
    spawn(sleep(std::time::Duration::MAX)).detach();
    spawn(pending::<()>()).detach();
    event_loop.run_until_complete(yield_now());
    spawn(async {}).detach();
    let text = format!("{event_loop:?}");
    for field in ["tasks: 3", "ready: 1", "timers: 1"] {
        assert!(text.contains(field), "{field} in {text}");
    }
    spawn(async {}).detach();
    assert!(format!("{event_loop:?}").contains("ready: 2"));
}

#[test]
fn a_waker_that_outlives_its_task_wakes_no_later_task() {
    let mut event_loop = EventLoop::new().unwrap();
    let stolen = Rc::new(Cell::new(None));
    let place = stolen.clone();
    event_loop.run_until_complete(async move {
        let steal = poll_fn(move |cx| {
            place.set(Some(cx.waker().clone()));
            Poll::Ready(())
        });
        spawn(steal).await.unwrap();
        let polls = Rc::new(Cell::new(0));
        for _ in 0..10 {
            let polls = polls.clone();
            let count = poll_fn(move |_| {
                polls.update(|polls| polls + 1);
                Poll::<()>::Pending
            });
            spawn(count).detach();
        }
        yield_now().await;
        stolen.take().unwrap().wake();
        yield_now().await;
        assert_eq!(polls.get(), 10);
    });
}

#[test]
fn there_is_no_current_task_outside_of_tasks() {
    let mut event_loop = EventLoop::new().unwrap();
    assert!(task::current().is_none());
    let name = event_loop.run_until_complete(async {
        spawn(async {}).await.unwrap();
        task::current().unwrap().label.to_string()
    });
    assert!(name.contains("main"), "{name}");
    spawn(async {
        loop {
            yield_now().await;
        }
    })
    .detach();
    event_loop.turn();
    assert!(task::current().is_none());
}

#[test]
fn a_task_can_be_woken_by_its_id_whatever_it_waits_for() {
    let mut event_loop = EventLoop::new().unwrap();
    let polls = Rc::new(Cell::new(0));
    let count = polls.clone();
    let waiting = spawn(poll_fn(move |_| {
        count.update(|count| count + 1);
        if count.get() < 2 { Poll::Pending } else { Poll::Ready(()) }
    }));
    event_loop.run_until_complete(yield_now());
    assert_eq!(polls.get(), 1);
    let id = waiting.id();
    event_loop.run_until_complete(async move {
        task::wake(id);
        waiting.await.unwrap();
        task::wake(id);
    });
    assert_eq!(polls.get(), 2);
}
