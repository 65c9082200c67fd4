//! The thread that reports stalled loops.
//!
//! There is one watchdog for all loops of the process. It starts with the first loop that is
//! watched, and ends when no such loop is left. While every loop waits, so does the watchdog.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::observe::rest;
use crate::observe::shared::Shared;
use crate::observe::unhandled::{Stall, Unhandled};
use crate::observe::vitals::StallDetector;
use crate::sync::lock;

static WATCHDOG: Mutex<Watchdog> = Mutex::new(Watchdog { is_running: false, loops: Vec::new() });

/// How often a loop is checked in a time as long as its threshold.
const CHECKS_PER_THRESHOLD: u32 = 4;

struct Watchdog {
    is_running: bool,
    loops: Vec<Watched>,
}

/// A loop that is watched.
struct Watched {
    shared: Arc<Shared>,
    threshold: Duration,
    detector: StallDetector,
    /// The stall that was reported, until the loop turns again.
    reported: Option<Stall>,
}

/// Watches a loop until it ends, if it has a stall threshold.
pub(crate) fn watch(shared: &Arc<Shared>) {
    let Some(threshold) = shared.stall_threshold else { return };
    let detector = StallDetector::new(shared.vitals.progress(), Instant::now());
    let watched = Watched { shared: shared.clone(), threshold, detector, reported: None };
    let mut watchdog = lock(&WATCHDOG);
    watchdog.loops.push(watched);
    if !watchdog.is_running {
        let thread = std::thread::Builder::new().name("brigade-watchdog".to_owned()).spawn(run);
        watchdog.is_running = thread.is_ok();
        if let Err(error) = thread {
            tracing::warn!(
                target: "brigade", %error, "cannot start the watchdog; stalls are not reported"
            );
        }
    }
}

fn run() {
    while let Some(Checked { reports, pause, is_idle }) = check_all() {
        for (shared, unhandled) in reports {
            shared.report(&unhandled);
        }
        rest::wait(pause, is_idle);
    }
}

/// The outcome of a check of all loops.
struct Checked {
    /// The reports to send.
    reports: Vec<(Arc<Shared>, Unhandled)>,
    /// How long to wait before the next check.
    pause: Duration,
    /// No loop has run since the last check.
    is_idle: bool,
}

/// Checks each loop. Returns `None`, which ends the thread, once no loop is left.
fn check_all() -> Option<Checked> {
    let mut watchdog = lock(&WATCHDOG);
    let now = Instant::now();
    let (mut reports, mut is_idle) = (Vec::new(), true);
    for watched in &mut watchdog.loops {
        is_idle &= watched.detector.is_idle(watched.shared.vitals.progress());
        let report = watched.check(now);
        reports.extend(report.map(|unhandled| (watched.shared.clone(), unhandled)));
    }
    watchdog.loops.retain(|watched| !watched.shared.vitals.has_ended());
    let shortest = watchdog.loops.iter().map(|watched| watched.threshold).min();
    if shortest.is_none() && reports.is_empty() {
        // Set while the lock is held, so that the next loop starts another thread.
        watchdog.is_running = false;
        return None;
    }
    Some(Checked { reports, pause: shortest.unwrap_or_default() / CHECKS_PER_THRESHOLD, is_idle })
}

impl Watched {
    /// Returns the report to send, if there is one.
    fn check(&mut self, now: Instant) -> Option<Unhandled> {
        let vitals = &self.shared.vitals;
        let since = self.detector.since();
        let stuck_for = self.detector.observe(vitals.progress(), now);
        if stuck_for.is_zero() {
            let lasted = now.saturating_duration_since(since);
            let stall = self.reported.take()?;
            return Some(Unhandled::Recovered(Stall { lasted, ..stall }));
        }
        if stuck_for < self.threshold || self.reported.is_some() {
            return None;
        }
        let poll = vitals.current_poll();
        let stall = Stall {
            event_loop: self.shared.name.clone(),
            task: poll.and_then(|poll| self.shared.label_of(poll)),
            note: poll.and_then(|poll| poll.note),
            lasted: stuck_for,
        };
        self.shared.stalls.fetch_add(1, Relaxed);
        self.reported = Some(stall.clone());
        Some(Unhandled::Stalled(stall))
    }
}
