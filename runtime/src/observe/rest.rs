//! The rest of the watchdog while every loop waits, so that an idle process never wakes.
//!
//! The watchdog announces its rest, and waits for one more interval between two checks. Only if no
//! loop has run until then, it waits without a timeout. A loop that starts to run looks for the
//! announcement, and wakes the watchdog if there is one. The interval is there because the loop
//! writes and reads without a fence: it is long enough for each side to see what the other one
//! wrote before it.

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Relaxed};
use std::thread::Thread;
use std::time::Duration;

use crossbeam_utils::CachePadded;

use crate::sync::lock;

static IS_RESTING: CachePadded<AtomicBool> = CachePadded::new(AtomicBool::new(false));
/// The watchdog's thread.
static WATCHDOG: Mutex<Option<Thread>> = Mutex::new(None);

/// Ends the rest of the watchdog. Called by a loop that starts to run, or that ends.
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

/// Waits on the watchdog's thread until the next check. `pause` is the time between two checks, and
/// `is_idle` says that no loop has run since the last one.
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
