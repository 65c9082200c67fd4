//! The loop's time. It is read from the system when it is first needed after a batch of tasks or
//! a wait, or moved by hand. Reading it costs as much as a poll of a small task, so a turn that
//! does not need the time does not read it.
//!
//! Instants are kept as nanoseconds since the loop was made ([`Tick`]): half the size of an
//! `Instant`, and a plain number to compare. 64 bits are enough for 584 years.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Nanoseconds since the loop's clock was made.
pub(crate) type Tick = u64;

pub(crate) struct Clock {
    origin: Instant,
    now: Cell<Tick>,
    /// The same time as an `Instant`, which is needed more often than it changes.
    instant: Cell<Instant>,
    /// Time has passed since the last reading, so the next use reads the clock again.
    is_stale: Cell<bool>,
    is_manual: bool,
}

impl Clock {
    /// A clock that begins now. A manual one stands still until [`Clock::advance_to`].
    pub(crate) fn new(is_manual: bool) -> Self {
        let origin = Instant::now();
        Self {
            origin,
            now: Cell::new(0),
            instant: Cell::new(origin),
            is_stale: Cell::new(false),
            is_manual,
        }
    }

    pub(crate) fn is_manual(&self) -> bool {
        self.is_manual
    }

    /// Returns the time, which stands still until the next [`Clock::invalidate`].
    pub(crate) fn now(&self) -> Tick {
        self.refresh();
        self.now.get()
    }

    /// Returns the same as [`Clock::now`], as an `Instant`.
    pub(crate) fn now_instant(&self) -> Instant {
        self.refresh();
        self.instant.get()
    }

    /// Returns the time of the last reading.
    pub(crate) fn last_read(&self) -> Tick {
        self.now.get()
    }

    /// Makes the next use read the time again, unless the clock is manual.
    pub(super) fn invalidate(&self) {
        self.is_stale.set(!self.is_manual);
    }

    fn refresh(&self) {
        if self.is_stale.replace(false) {
            let instant = Instant::now();
            self.instant.set(instant);
            self.now.set(self.tick(instant));
        }
    }

    /// Moves a manual clock forward to `tick`. It never moves back.
    pub(super) fn advance_to(&self, tick: Tick) {
        debug_assert!(self.is_manual);
        self.now.set(self.now.get().max(tick));
        self.instant.set(self.instant_of(self.now.get()));
    }

    /// Converts `instant`. Instants before the clock began become 0.
    pub(crate) fn tick(&self, instant: Instant) -> Tick {
        ticks(instant.saturating_duration_since(self.origin))
    }

    /// Converts `tick`. Where `Instant` cannot represent it, returns an instant decades away.
    pub(crate) fn instant_of(&self, tick: Tick) -> Instant {
        const DECADES: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);
        self.origin.checked_add(Duration::from_nanos(tick)).unwrap_or_else(|| self.origin + DECADES)
    }

    /// Returns the tick that is `delay` after now, or the last one.
    pub(crate) fn after(&self, delay: Duration) -> Tick {
        self.now().saturating_add(ticks(delay))
    }
}

/// Converts a duration to nanoseconds, saturating.
fn ticks(duration: Duration) -> Tick {
    u64::try_from(duration.as_nanos()).unwrap_or(Tick::MAX)
}
