//! `select!`: the first of several futures.

use std::cell::{Cell, RefCell};
use std::future::{pending, ready};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use brigade_runtime::local::{channel, unbounded_channel};
use brigade_runtime::task::yield_now;
use brigade_runtime::time::{interval, now, sleep};
use brigade_runtime::{oneshot, run, select, spawn};
use futures_util::FutureExt;

use support::run_on_manual_clock;

mod support;

const SECOND: Duration = Duration::from_secs(1);

/// Pushes its name on a list when it is dropped.
struct Guard(&'static str, Rc<RefCell<Vec<&'static str>>>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.1.borrow_mut().push(self.0);
    }
}

#[test]
fn the_branch_of_the_future_that_is_ready_first_runs() {
    run_on_manual_clock(async {
        let after = async |seconds, name: &'static str| {
            sleep(seconds * SECOND).await;
            name
        };
        let first = select! {
            name = after(3, "three") => name.len(),
            name = after(1, "one") => name.len() * 10,
            () = sleep(2 * SECOND) => unreachable!(),
            () = pending() => unreachable!(),
        };
        assert_eq!(first, 30);
    });
}

#[test]
fn of_several_futures_that_are_ready_the_first_branch_wins() {
    run(async {
        for _ in 0..10 {
            let number = select! {
                () = pending() => 0,
                number = ready(1) => number,
                number = ready(2) => { number }
                number = async { 3 } => number
            };
            assert_eq!(number, 1);
        }
    });
}

#[test]
fn one_branch_is_enough_and_patterns_take_outputs_apart() {
    run(async {
        let sum = select! { (one, two) = ready((1, 2)) => one + two };
        assert_eq!(sum, 3);
        let sum = select! {
            Ok(one) | Err(one) = pending() => one,
            mut one = ready(1) => {
                one += 1;
                one
            },
        };
        assert_eq!(sum, 2);
    });
}

#[test]
fn the_other_futures_are_dropped_before_the_code_runs() {
    run(async {
        let log = Rc::new(RefCell::new(Vec::new()));
        let hold = |name| {
            let guard = Guard(name, log.clone());
            async move {
                let _guard = guard;
                pending::<()>().await;
            }
        };
        select! {
            () = hold("first") => unreachable!(),
            () = yield_now() => {
                assert_eq!(log.borrow().len(), 2);
                yield_now().await;
            }
            () = hold("second") => unreachable!(),
        }
        assert_eq!(*log.borrow(), ["first", "second"]);
    });
}

#[test]
fn the_code_may_use_what_the_futures_borrow_and_leave_the_loop() {
    async fn sum(mut parts: brigade_runtime::local::Receiver<&str>) -> Result<i32, String> {
        let mut sum = 0;
        loop {
            select! {
                part = parts.recv() => {
                    let Some(part) = part else { break };
                    if part == "skip" {
                        parts.recv().await;
                        continue;
                    }
                    sum += part.parse::<i32>().map_err(|error| error.to_string())?;
                }
                () = pending() => return Err("never".to_owned()),
            }
        }
        Ok(sum)
    }
    run(async {
        for (texts, expected) in [
            (["1", "skip", "x", "2"], Ok(3)),
            (["1", "x", "2", "3"], Err("invalid digit found in string".to_owned())),
        ] {
            let (sender, receiver) = channel(8);
            texts.into_iter().for_each(|text| sender.try_send(text).unwrap());
            drop(sender);
            assert_eq!(sum(receiver).await, expected);
        }
    });
}

#[test]
fn a_future_that_is_passed_by_reference_continues_in_the_next_turn() {
    run_on_manual_clock(async {
        let began = now();
        let mut timeout = pin!(sleep(5 * SECOND));
        let mut ticks = interval(2 * SECOND);
        let mut count = 0;
        loop {
            select! {
                () = &mut timeout => break,
                _ = ticks.tick() => count += 1,
            }
        }
        assert_eq!((count, now() - began), (3, 5 * SECOND));
    });
}

#[test]
fn a_branch_that_is_always_ready_does_not_starve_the_others() {
    run(async {
        let (flood, mut flooded) = unbounded_channel();
        (0..1000).for_each(|n| flood.try_send(n).unwrap());
        let (sender, mut receiver) = unbounded_channel();
        sender.try_send("now").unwrap();
        let mut before = 0;
        loop {
            select! {
                n = flooded.recv() => before = n.unwrap(),
                text = receiver.recv() => break assert_eq!(text, Some("now")),
            }
        }
        assert!(before < 200, "{before} values were received before");
    });
}

#[test]
fn a_task_that_is_aborted_in_a_select_drops_all_futures() {
    run(async {
        let log = Rc::new(RefCell::new(Vec::new()));
        let guards = ["first", "second"].map(|name| Guard(name, log.clone()));
        let (_sender, receiver) = oneshot::channel::<()>();
        let is_polled = Rc::new(Cell::new(false));
        let polled = is_polled.clone();
        let task = spawn(async move {
            let [first, second] = guards.map(|guard| async move {
                let _guard = guard;
                pending::<()>().await;
            });
            polled.set(true);
            select! {
                () = first => {}
                () = second => {}
                _ = receiver => {}
            }
        });
        yield_now().await;
        assert!(is_polled.get() && log.borrow().is_empty());
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(*log.borrow(), ["first", "second"]);
    });
}

#[test]
fn temporaries_of_the_futures_are_dropped_before_the_code_runs() {
    run(async {
        let log = Rc::new(RefCell::new(Vec::new()));
        let (waits, dropped) = (async |_: &Guard| (), ["temporary"]);
        select! {
            () = waits(&Guard("temporary", log.clone())) => assert_eq!(*log.borrow(), dropped),
            () = pending() => {}
        }
    });
}

#[test]
fn a_select_may_be_nested() {
    let number = async {
        select! {
            number = async { select! { () = pending() => 0, n = ready(7) => n } } => number,
            () = pending() => 1,
        }
    };
    assert_eq!(number.now_or_never(), Some(7));
}
