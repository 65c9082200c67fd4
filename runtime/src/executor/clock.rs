//! The loop's idea of now: read from the system when it is first asked for after a batch of tasks
//! or a wait, or moved by hand. Reading it costs as much as a poll of a small task, so a turn in
//! which nobody asks does not read it.
//!
//! Instants are kept as nanoseconds since the loop began ([`Tick`]), half the size of an
//! `Instant` and a plain number to compare. 64 bits of them last 584 years.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Nanoseconds since the loop's clock began.
pub(crate) type Tick = u64;

pub(crate) struct Clock {
    origin: Instant,
    now: Cell<Tick>,
    /// The same as an instant: asked for more often than it changes.
    instant: Cell<Instant>,
    /// Time has passed since the last reading: the next one who asks reads again.
    outdated: Cell<bool>,
    manual: bool,
}

impl Clock {
    /// A clock that begins now. A `manual` one stands still until [`Clock::advance_to`].
    pub(crate) fn new(manual: bool) -> Self {
        let origin = Instant::now();
        Self {
            origin,
            now: Cell::new(0),
            instant: Cell::new(origin),
            outdated: Cell::new(false),
            manual,
        }
    }

    pub(crate) fn is_manual(&self) -> bool {
        self.manual
    }

    /// The time, which stands still until the next [`Clock::outdate`].
    pub(crate) fn now(&self) -> Tick {
        self.freshen();
        self.now.get()
    }

    /// The same as an instant.
    pub(crate) fn now_instant(&self) -> Instant {
        self.freshen();
        self.instant.get()
    }

    /// The time when it was last asked for.
    pub(crate) fn last_read(&self) -> Tick {
        self.now.get()
    }

    /// Has the time read again when it is next asked for, unless this clock is moved by hand.
    pub(crate) fn outdate(&self) {
        self.outdated.set(!self.manual);
    }

    fn freshen(&self) {
        if self.outdated.replace(false) {
            let instant = Instant::now();
            self.instant.set(instant);
            self.now.set(self.tick(instant));
        }
    }

    /// Moves a manual clock forward to `tick`; it never goes back.
    pub(crate) fn advance_to(&self, tick: Tick) {
        debug_assert!(self.manual);
        self.now.set(self.now.get().max(tick));
        self.instant.set(self.instant_of(self.now.get()));
    }

    /// `instant` on this clock: 0 for what was before it began.
    pub(crate) fn tick(&self, instant: Instant) -> Tick {
        ticks(instant.saturating_duration_since(self.origin))
    }

    /// The instant of `tick`; the far future where the system cannot tell one so late.
    pub(crate) fn instant_of(&self, tick: Tick) -> Instant {
        const DECADES: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);
        self.origin.checked_add(Duration::from_nanos(tick)).unwrap_or_else(|| self.origin + DECADES)
    }

    /// The tick that lies `delay` after now, or the last one there is.
    pub(crate) fn after(&self, delay: Duration) -> Tick {
        self.now().saturating_add(ticks(delay))
    }
}

/// `duration` in nanoseconds, or as many as there are.
pub(crate) fn ticks(duration: Duration) -> Tick {
    u64::try_from(duration.as_nanos()).unwrap_or(Tick::MAX)
}
