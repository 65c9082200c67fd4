//! The timeouts of a connection, with one timer for all of them.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use brigade_runtime::time::{self, Sleep, sleep_until};

/// The first of the early wake-ups comes after this time.
const EARLY_WAKE: Duration = Duration::from_secs(1);

/// What a connection waits for, since when, and the timer that ends the wait.
///
/// Moving the deadline to a later time, as each request does, costs nothing: the timer keeps its
/// time, and is set again if it fires before the deadline.
pub(crate) struct Deadline<W> {
    waiting: W,
    since: Instant,
    /// Fires at the deadline or before it.
    timer: Option<Sleep>,
}

impl<W: Copy + Default + PartialEq> Deadline<W> {
    /// Returns a deadline for a connection that waits for nothing yet.
    pub(crate) fn new() -> Self {
        Self { waiting: W::default(), since: time::now(), timer: None }
    }

    /// Returns what the connection waits for.
    pub(crate) const fn waiting(&self) -> W {
        self.waiting
    }

    /// Returns when the wait began.
    pub(crate) const fn since(&self) -> Instant {
        self.since
    }

    /// Records that the connection begins to wait for `waiting` now.
    pub(crate) fn start(&mut self, waiting: W) {
        self.waiting = waiting;
        self.since = time::now();
    }

    /// Returns how long it has waited.
    pub(crate) fn waited(&self) -> Duration {
        time::now().saturating_duration_since(self.since)
    }

    /// Records that what the connection waited for, or a part of it, has arrived.
    pub(crate) fn stop(&mut self) {
        self.waiting = W::default();
    }

    /// Ready when the connection has waited for `timeout`, or at `latest`, whichever is first.
    /// Registers the task to be woken then. A timeout beyond what the clock can represent never
    /// passes.
    pub(crate) fn poll_passed(
        &mut self,
        timeout: Option<Duration>,
        latest: Option<Instant>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let passes = timeout.and_then(|timeout| self.since.checked_add(timeout));
        let Some(deadline) = [passes, latest].into_iter().flatten().min() else {
            return Poll::Pending;
        };
        if time::now() >= deadline {
            return Poll::Ready(());
        }
        self.wake_by(deadline, cx);
        Poll::Pending
    }

    /// Does the same as [`poll_passed`](Self::poll_passed) for a wait that may have moved to
    /// another task since.
    pub(crate) fn poll_passed_anywhere(
        &mut self,
        timeout: Option<Duration>,
        latest: Option<Instant>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let passed = self.poll_passed(timeout, latest, cx);
        if passed.is_pending() {
            self.register(cx);
        }
        passed
    }

    /// Arranges for the task to be woken before the deadline: when it has waited for twice as long
    /// as it has now. For progress that the selector does not report.
    pub(crate) fn wake_early(&mut self, cx: &mut Context<'_>) {
        let now = time::now();
        let waited = now.saturating_duration_since(self.since);
        if let Some(early) = now.checked_add(waited.max(EARLY_WAKE)) {
            self.wake_by(early, cx);
        }
    }

    #[inline(always)]
    fn wake_by(&mut self, instant: Instant, cx: &mut Context<'_>) {
        match &mut self.timer {
            Some(timer) if timer.ends_by(instant) && !timer.is_elapsed() => return,
            Some(timer) => timer.reset(instant),
            None => self.timer = Some(sleep_until(instant)),
        }
        self.register(cx);
    }

    /// Registers the task of `cx` with the timer, in place of the task that was registered before.
    pub(crate) fn register(&mut self, cx: &mut Context<'_>) {
        if let Some(timer) = &mut self.timer {
            // The result does not matter: `poll_passed` compares the deadline with the clock.
            let _ = Pin::new(timer).poll(cx);
        }
    }
}
