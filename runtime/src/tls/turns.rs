//! One step of a handshake in each turn of a loop.
//!
//! A step that signs takes a tenth of a millisecond or more. If hundreds of clients connect at the
//! same moment, their tasks would take such steps one after the other in one batch, and no other
//! task and no I/O would get its turn meanwhile. So a step needs a permit of its loop, which it
//! returns in the next turn. Tasks get permits in the order in which they began to wait.

use std::future::poll_fn;
use std::task::Poll;

use crate::budget;
use crate::local::{Semaphore, SemaphorePermit};

/// More units than a poll of a task has.
const UNITS_MAX: usize = 1024;

thread_local! {
    static STEP: Semaphore = Semaphore::new(1);
}

/// Waits until this loop may take a step of a handshake.
pub(super) async fn acquire_step() -> SemaphorePermit {
    STEP.with(Semaphore::clone).acquire().await
}

/// Returns `permit` after this turn of the loop.
pub(super) async fn release_in_next_turn(permit: SemaphorePermit) {
    let mut is_next = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut is_next, true) {
            return Poll::Ready(());
        }
        // A turn ends with the batch in which a task has spent its budget. Outside of tasks the
        // budget has no limit.
        for _ in 0..UNITS_MAX {
            if budget::poll_proceed(cx).is_pending() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
    drop(permit);
}
