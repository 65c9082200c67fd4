//! Lets the watchdog's thread sleep while every loop waits, so that an idle process never wakes.
//!
//! The watchdog first sets `IS_RESTING` and waits for one more interval. If no loop has run by
//! then, it waits without a timeout. A loop that starts to run wakes the watchdog if `IS_RESTING`
//! is set. The extra interval is needed because the loop writes its vitals and reads `IS_RESTING`
//! without a fence between them. It is long enough for each side to see what the other has written.

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Relaxed};
use std::thread::Thread;
use std::time::Duration;

use crossbeam_utils::CachePadded;

use crate::sync::lock;

/// The watchdog sleeps until a loop runs, or will do so after one more interval.
static IS_RESTING: CachePadded<AtomicBool> = CachePadded::new(AtomicBool::new(false));
/// The watchdog's thread.
static WATCHDOG: Mutex<Option<Thread>> = Mutex::new(None);

/// Wakes the watchdog if it is resting. Called by a loop that starts to run, or that ends.
#[inline]
pub(crate) fn end() {
    if IS_RESTING.load(Relaxed) {
        wake();
    }
}

#[cold]
fn wake() {
    if IS_RESTING.swap(false, AcqRel) {
        let watchdog = lock(&WATCHDOG).clone();
        watchdog.into_iter().for_each(|watchdog| watchdog.unpark());
    }
}

/// Blocks the watchdog's thread until the next check. `pause` is the time between two checks, and
/// `is_idle` says that no loop has run since the last check.
pub(crate) fn wait(pause: Duration, is_idle: bool) {
    let is_announced = IS_RESTING.load(Relaxed);
    if is_idle && is_announced {
        std::thread::park();
        return;
    }
    if is_idle != is_announced {
        *lock(&WATCHDOG) = Some(std::thread::current());
        IS_RESTING.store(is_idle, Relaxed);
    }
    std::thread::park_timeout(pause);
}
