//! A minimum average rate at which a peer has to send or to take bytes.

use std::time::{Duration, Instant};

/// How far a peer may fall behind its minimum rate.
const BEHIND_MAX: Duration = Duration::from_secs(30);

/// How far a peer has fallen behind a minimum rate: how long it was waited for, less the time that
/// its bytes have earned since. Bytes of a peer that is not behind earn nothing, so one that has
/// been fast cannot be as slow as it likes from then on.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Small, since every connection has one.
    behind_millis: u32,
}

impl Pace {
    /// Notes that the peer is waited for: it is behind from now on.
    pub(crate) fn begin(&mut self) {
        self.behind_millis = self.behind_millis.max(1);
    }

    /// Returns `true` if the peer is behind, so that its bytes have to be noted.
    pub(crate) const fn is_behind(&self) -> bool {
        self.behind_millis > 0
    }

    /// Notes that `bytes` have come or gone after the peer was waited for, for this long.
    pub(crate) fn note(&mut self, waited: Duration, bytes: usize, bytes_per_second_min: u32) {
        let waited = waited.as_millis().try_into().unwrap_or(u32::MAX);
        let millis = (1000 * bytes as u64).checked_div(bytes_per_second_min.into());
        let earned = millis.and_then(|millis| millis.try_into().ok()).unwrap_or(u32::MAX);
        self.behind_millis = self.behind_millis.saturating_add(waited).saturating_sub(earned);
    }

    /// Returns when a peer that is waited for `since` then will have fallen too far behind; `None`
    /// if it may take any time.
    pub(crate) fn latest(&self, since: Instant, bytes_per_second_min: u32) -> Option<Instant> {
        let behind = Duration::from_millis(self.behind_millis.into());
        let left = BEHIND_MAX.saturating_sub(behind);
        (bytes_per_second_min > 0).then(|| since.checked_add(left)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn left(pace: &Pace) -> u64 {
        let since = Instant::now();
        (pace.latest(since, 100).unwrap() - since).as_secs()
    }

    #[test]
    fn waiting_uses_up_the_time_that_bytes_earn() {
        let mut pace = Pace::default();
        assert_eq!(left(&pace), 30);
        pace.note(20 * SECOND, 500, 100);
        assert_eq!(left(&pace), 15);
        pace.note(SECOND, 0, 100);
        assert_eq!(left(&pace), 14);
        pace.note(40 * SECOND, 1000, 100);
        assert_eq!(left(&pace), 0);
    }

    #[test]
    fn bytes_earn_no_more_than_what_was_used_up() {
        let mut pace = Pace::default();
        pace.note(SECOND, usize::MAX / 1000, 1);
        assert_eq!(left(&pace), 30);
    }

    #[test]
    fn without_a_minimum_rate_any_time_may_pass() {
        let mut pace = Pace::default();
        pace.note(100 * SECOND, 1, 0);
        assert_eq!((left(&pace), pace.latest(Instant::now(), 0)), (30, None));
    }
}
