//! One step of a handshake in each turn of a loop.
//!
//! A step that signs takes a tenth of a millisecond or more. If hundreds of clients connect at the
//! same moment, their tasks would take such steps one after the other in one batch, and no other
//! task and no I/O would get its turn meanwhile. So after a step, the gate of the loop is closed. A
//! task opens it in the next turn, or lets one task pass in each turn while some wait.
//!
//! This is no lock: a task that may pass holds nothing. If it is not polled, the others pass.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use crate::budget;
use crate::task;

/// More units than a poll of a task has.
const UNITS_MAX: usize = 1024;

thread_local! {
    static GATE: Gate = const {
        Gate { is_closed: Cell::new(false), waiting: RefCell::new(VecDeque::new()) }
    };
}

/// Whether a step may be taken now.
struct Gate {
    /// A step was taken in this turn, or tasks wait.
    is_closed: Cell<bool>,
    /// The tasks that wait, in the order in which they began to.
    waiting: RefCell<VecDeque<Rc<Place>>>,
}

/// A place in the queue. The task that waits holds it too, unless it has given up.
#[derive(Default)]
struct Place {
    may_pass: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

/// Waits until this loop may take a step of a handshake.
///
/// # Cancel safety
/// If the future is dropped before it is ready, the task loses its place in the queue.
pub(super) async fn wait_for_step() {
    if !GATE.with(|gate| gate.is_closed.get()) {
        return;
    }
    let place = Rc::new(Place::default());
    GATE.with(|gate| gate.waiting.borrow_mut().push_back(place.clone()));
    poll_fn(|cx| {
        if place.may_pass.get() {
            return Poll::Ready(());
        }
        place.waker.set(Some(cx.waker().clone()));
        Poll::Pending
    })
    .await;
}

/// Closes the gate of this loop until the next turn, because a step was taken.
pub(super) fn note_step() {
    if !GATE.with(|gate| gate.is_closed.replace(true)) {
        task::Builder::new().name("TLS handshakes").spawn(open_in_turns(OpenOnDrop)).detach();
    }
}

/// Lets one task pass in each turn, until none waits.
async fn open_in_turns(_gate: OpenOnDrop) {
    loop {
        next_turn().await;
        if !GATE.with(Gate::let_one_pass) {
            return;
        }
    }
}

impl Gate {
    /// Lets the task pass that has waited longest. Returns `true` if one has waited.
    fn let_one_pass(&self) -> bool {
        let next = || self.waiting.borrow_mut().pop_front();
        while let Some(place) = next() {
            if Rc::strong_count(&place) > 1 {
                place.may_pass.set(true);
                if let Some(waker) = place.waker.take() {
                    waker.wake();
                }
                return true;
            }
        }
        false
    }
}

/// Opens the gate when dropped. The loop may end before the next turn, and another loop may follow
/// on this thread.
struct OpenOnDrop;

impl Drop for OpenOnDrop {
    fn drop(&mut self) {
        // If the thread ends, nothing waits.
        let _ = GATE.try_with(|gate| {
            gate.is_closed.set(false);
            while gate.let_one_pass() {}
        });
    }
}

/// Waits for the next turn of the loop. A turn ends with the batch in which a task has spent its
/// budget.
async fn next_turn() {
    let mut is_next = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut is_next, true) {
            return Poll::Ready(());
        }
        let spent = (0..UNITS_MAX).any(|_| budget::poll_proceed(cx).is_pending());
        debug_assert!(spent, "a task has a budget");
        Poll::Pending
    })
    .await;
}

#[cfg(all(test, not(brigade_loom)))]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::{run, spawn};

    #[test]
    fn tasks_pass_one_in_each_turn_in_their_order() {
        run(async {
            wait_for_step().await;
            note_step();
            let passed = Rc::new(RefCell::new(Vec::new()));
            let turn = Rc::new(Cell::new(0));
            let tasks: Vec<_> = (0..5)
                .map(|number| {
                    let (passed, turn) = (passed.clone(), turn.clone());
                    spawn(async move {
                        wait_for_step().await;
                        passed.borrow_mut().push((number, turn.get()));
                        note_step();
                    })
                })
                .collect();
            // Yields its own turn, too.
            while passed.borrow().len() < tasks.len() {
                next_turn().await;
                turn.set(turn.get() + 1);
            }
            let passed = passed.borrow();
            let numbers: Vec<_> = passed.iter().map(|(number, _)| *number).collect();
            assert_eq!(numbers, [0, 1, 2, 3, 4]);
            assert!(passed.windows(2).all(|pair| pair[0].1 < pair[1].1), "{passed:?}");
        });
    }

    #[test]
    fn a_task_that_is_not_polled_or_has_given_up_holds_no_other() {
        run(async {
            note_step();
            let mut given_up = Box::pin(wait_for_step());
            let mut not_polled = Box::pin(wait_for_step());
            assert!((&mut given_up).now_or_never().is_none());
            assert!((&mut not_polled).now_or_never().is_none());
            drop(given_up);
            wait_for_step().await;
            not_polled.await;
        });
    }

    #[test]
    fn the_next_loop_of_a_thread_finds_the_gate_open() {
        run(async { note_step() });
        run(async { assert!(wait_for_step().now_or_never().is_some()) });
    }
}
