//! Limits how many lines of the log a peer can cause.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// The number of events of one kind that a thread logs within [`PERIOD`].
const EVENTS_MAX: u64 = 10;
const PERIOD: Duration = Duration::from_secs(1);

/// Counts the events of one kind on one thread. A peer can repeat a request that fails as often as
/// it likes, so most of many events are counted rather than logged.
#[derive(Debug)]
pub(crate) struct LogLimit {
    /// When the current period began.
    since: Cell<Option<Instant>>,
    /// The number of events in the current period.
    count: Cell<u64>,
}

/// Whether an event is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It is. Before it, this many events were left out.
    Logged {
        suppressed: u64,
    },
    LeftOut,
}

impl LogLimit {
    pub(crate) const fn new() -> Self {
        Self { since: Cell::new(None), count: Cell::new(0) }
    }

    /// Counts an event that happens `now`.
    pub(crate) fn admit(&self, now: Instant) -> Admission {
        let is_over = |since: Instant| now.saturating_duration_since(since) >= PERIOD;
        let mut suppressed = 0;
        if self.since.get().is_none_or(is_over) {
            self.since.set(Some(now));
            suppressed = self.count.replace(0).saturating_sub(EVENTS_MAX);
        }
        self.count.update(|count| count + 1);
        match self.count.get() <= EVENTS_MAX {
            true => Admission::Logged { suppressed },
            false => Admission::LeftOut,
        }
    }
}

/// Logs an event of the target `brigade::http` at the given level, or at the level `DEBUG` if there
/// are too many of its kind. The first event after that says how many were left out.
macro_rules! limited_log {
    ($level:ident, { $($fields:tt)* }, $message:literal) => {{
        use $crate::message::log_limit::{Admission, LogLimit};
        thread_local! {
            static LIMIT: LogLimit = const { LogLimit::new() };
        }
        let now = ::std::time::Instant::now();
        match LIMIT.try_with(|limit| limit.admit(now)).unwrap_or(Admission::LeftOut) {
            Admission::LeftOut => {
                tracing::debug!(target: "brigade::http", $($fields)*, $message);
            }
            Admission::Logged { suppressed } => {
                tracing::$level!(target: "brigade::http", $($fields)*, $message);
                if suppressed > 0 {
                    tracing::$level!(
                        target: "brigade::http",
                        suppressed,
                        "and {suppressed} more of this kind before"
                    );
                }
            }
        }
    }};
}
pub(crate) use limited_log;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_events_of_a_period_are_logged_and_the_others_are_counted() {
        let (limit, start) = (LogLimit::new(), Instant::now());
        let admitted = |at: Instant, count: usize| -> Vec<Admission> {
            (0..count).map(|_| limit.admit(at)).collect()
        };
        let first = Admission::Logged { suppressed: 0 };
        assert_eq!(admitted(start, 10), [first; 10]);
        assert_eq!(admitted(start + PERIOD / 2, 500), [Admission::LeftOut; 500]);
        assert_eq!(admitted(start + PERIOD, 1), [Admission::Logged { suppressed: 500 }]);
        assert_eq!(admitted(start + PERIOD, 9), [first; 9]);
        assert_eq!(admitted(start + PERIOD * 5, 1), [first]);
    }
}
