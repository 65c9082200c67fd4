//! Scheduled calls: `call_soon`, `call_later` and `call_at`.

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
    /// Returns a callback that records `event` and the time in seconds.
    fn record(&self, event: &'static str) -> impl FnOnce() + use<> {
        let (log, began) = (self.0.clone(), now());
        move || log.borrow_mut().push(format!("{event} at {}", (now() - began).as_secs()))
    }

    fn lines(&self) -> Vec<String> {
        self.0.borrow().clone()
    }
}

#[test]
fn call_soon_runs_callbacks_and_tasks_in_the_order_of_the_ready_queue() {
    run_on_manual_clock(async {
        let log = Log::default();
        let task = log.record("task");
        let handle = call_soon(log.record("first"));
        spawn(async move { task() }).detach();
        call_soon(log.record("second"));
        assert!(log.lines().is_empty() && handle.is_pending());
        yield_now().await;
        assert_eq!(log.lines(), ["first at 0", "task at 0", "second at 0"]);
        assert!(!handle.is_pending());
    });
}

#[test]
fn callbacks_run_in_the_order_of_their_deadlines_and_then_of_scheduling() {
    run_on_manual_clock(async {
        let log = Log::default();
        call_later(2 * SECOND, log.record("late"));
        let handle = call_at(now() + SECOND, log.record("early"));
        assert_eq!(handle.deadline(), now() + SECOND);
        call_later(SECOND, log.record("early too"));
        call_later(Duration::ZERO, log.record("soon"));
        sleep(3 * SECOND).await;
        assert_eq!(log.lines(), ["soon at 0", "early at 1", "early too at 1", "late at 2"]);
    });
}

#[test]
fn a_cancelled_callback_is_dropped_at_once_and_never_called() {
    run_on_manual_clock(async {
        let (log, held) = (Log::default(), Rc::new(()));
        let (record, hold) = (log.record("never"), held.clone());
        let later = call_later(SECOND, move || {
            let _hold = hold;
            record();
        });
        let soon = call_soon(log.record("never either"));
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
fn dropping_the_handle_does_not_cancel_the_callback() {
    run_on_manual_clock(async {
        let log = Log::default();
        drop(call_later(SECOND, log.record("called")));
        sleep(2 * SECOND).await;
        assert_eq!(log.lines(), ["called at 1"]);
    });
}

#[test]
fn a_callback_can_schedule_another_one() {
    fn tick(log: Log, times: u32) {
        if times > 0 {
            log.record("tick")();
            call_later(SECOND, move || tick(log, times - 1));
        }
    }
    run_on_manual_clock(async {
        let (log, began) = (Log::default(), now());
        tick(log.clone(), 3);
        sleep(5 * SECOND).await;
        assert_eq!(log.lines().len(), 3);
        assert_eq!(now() - began, 5 * SECOND);
    });
}
