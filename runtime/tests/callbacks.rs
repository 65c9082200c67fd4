//! Functions that the loop is to call.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use brigade_runtime::task::yield_now;
use brigade_runtime::time::{now, sleep};
use brigade_runtime::{call_at, call_later, call_soon, spawn};

use support::run_on_manual_clock;

mod support;

const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    fn note(&self, what: &'static str) -> impl FnOnce() + use<> {
        let (log, began) = (self.0.clone(), now());
        move || log.borrow_mut().push(format!("{what} at {}", (now() - began).as_secs()))
    }

    fn lines(&self) -> Vec<String> {
        self.0.borrow().clone()
    }
}

#[test]
fn call_soon_waits_its_turn_in_the_ready_queue() {
    run_on_manual_clock(async {
        let log = Log::default();
        let task = log.note("task");
        let handle = call_soon(log.note("first"));
        spawn(async move { task() }).detach();
        call_soon(log.note("second"));
        assert!(log.lines().is_empty() && handle.is_pending());
        yield_now().await;
        assert_eq!(log.lines(), ["first at 0", "task at 0", "second at 0"]);
        assert!(!handle.is_pending());
    });
}

#[test]
fn later_calls_come_in_the_order_of_their_deadlines_then_of_their_making() {
    run_on_manual_clock(async {
        let log = Log::default();
        call_later(2 * SECOND, log.note("late"));
        let handle = call_at(now() + SECOND, log.note("early"));
        assert_eq!(handle.deadline(), now() + SECOND);
        call_later(SECOND, log.note("early too"));
        call_later(Duration::ZERO, log.note("soon"));
        sleep(3 * SECOND).await;
        assert_eq!(log.lines(), ["soon at 0", "early at 1", "early too at 1", "late at 2"]);
    });
}

#[test]
fn a_cancelled_call_is_not_made_and_its_callback_is_dropped_at_once() {
    run_on_manual_clock(async {
        let (log, held) = (Log::default(), Rc::new(()));
        let (note, hold) = (log.note("never"), held.clone());
        let later = call_later(SECOND, move || {
            let _hold = hold;
            note();
        });
        let soon = call_soon(log.note("never either"));
        later.cancel();
        soon.cancel();
        assert!(!later.is_pending() && !soon.is_pending());
        assert_eq!(Rc::strong_count(&held), 1);
        sleep(2 * SECOND).await;
        assert!(log.lines().is_empty());
        later.cancel();
    });
}

#[test]
fn dropping_the_handle_leaves_the_call() {
    run_on_manual_clock(async {
        let log = Log::default();
        drop(call_later(SECOND, log.note("called")));
        sleep(2 * SECOND).await;
        assert_eq!(log.lines(), ["called at 1"]);
    });
}

#[test]
fn a_callback_may_set_the_next_one() {
    fn again(log: Log, times: u32) {
        if times > 0 {
            log.note("tick")();
            call_later(SECOND, move || again(log, times - 1));
        }
    }
    run_on_manual_clock(async {
        let (log, began) = (Log::default(), now());
        again(log.clone(), 3);
        sleep(5 * SECOND).await;
        assert_eq!(log.lines().len(), 3);
        assert_eq!(now() - began, 5 * SECOND);
    });
}
