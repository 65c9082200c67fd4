//! A histogram of how long polls take, from a sample. The loop counts; any thread reads.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// One poll in this many is timed. Reading the clock twice takes longer than a short poll, and 1 %
/// of the time of a keep-alive request.
pub(crate) const SAMPLED_ONE_IN: u64 = 64;

/// A histogram of how long polls take.
///
/// One poll in 64 is timed, so the counts are smaller than
/// [`Snapshot::polls`](crate::Snapshot::polls). In debug mode every poll is timed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PollTimes {
    /// The number of polls per bucket. The upper bound of each bucket, inclusive, is in
    /// [`PollTimes::BOUNDS`]; the last bucket has none.
    pub counts: [u64; PollTimes::BOUNDS.len() + 1],
    /// The total time of all timed polls.
    pub sum: Duration,
}

impl PollTimes {
    /// The inclusive upper bounds of the buckets but the last: 1, 2 and 5 times each power of ten,
    /// from one microsecond to ten seconds.
    pub const BOUNDS: [Duration; 22] = bounds();

    /// Returns the number of timed polls.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

const fn bounds() -> [Duration; 22] {
    let mut bounds = [Duration::ZERO; 22];
    let (mut index, mut power) = (0, 1);
    while index < bounds.len() {
        let digit = [1, 2, 5][index % 3];
        bounds[index] = Duration::from_micros(digit * power);
        if digit == 5 {
            power *= 10;
        }
        index += 1;
    }
    bounds
}

impl std::ops::AddAssign for PollTimes {
    fn add_assign(&mut self, other: Self) {
        self.counts.iter_mut().zip(other.counts).for_each(|(count, more)| *count += more);
        self.sum += other.sum;
    }
}

/// The counters of [`PollTimes`]. Only the loop writes, with relaxed stores.
#[derive(Debug, Default)]
pub(crate) struct PollTimer {
    counts: [AtomicU64; PollTimes::BOUNDS.len() + 1],
    nanos: AtomicU64,
}

impl PollTimer {
    pub(crate) fn count(&self, took: Duration) {
        let index = PollTimes::BOUNDS.partition_point(|bound| *bound < took);
        let add = |to: &AtomicU64, more| to.store(to.load(Relaxed).wrapping_add(more), Relaxed);
        add(&self.counts[index], 1);
        add(&self.nanos, took.as_nanos() as u64);
    }

    pub(crate) fn times(&self) -> PollTimes {
        PollTimes {
            counts: std::array::from_fn(|index| self.counts[index].load(Relaxed)),
            sum: Duration::from_nanos(self.nanos.load(Relaxed)),
        }
    }
}

/// Returns `true` if the `nth` poll is timed.
///
/// The fractional parts of the multiples of the golden ratio are spread evenly, even if only every
/// k-th multiple is taken. So tasks that are polled in a fixed order are all sampled.
pub(crate) fn is_sampled(nth: u64) -> bool {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    nth.wrapping_mul(GOLDEN) < u64::MAX / SAMPLED_ONE_IN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_reach_from_a_microsecond_to_ten_seconds() {
        let bounds = PollTimes::BOUNDS.map(|bound| bound.as_micros());
        assert_eq!(bounds[..5], [1, 2, 5, 10, 20]);
        assert_eq!(bounds[21], 10_000_000);
        assert!(bounds.is_sorted());
    }

    #[test]
    fn the_bound_of_a_bucket_is_inclusive() {
        let timer = PollTimer::default();
        let times = [0, 1_000, 1_001, 2_000, 9_999_999_999, 10_000_000_000, 10_000_000_001];
        times.iter().for_each(|nanos| timer.count(Duration::from_nanos(*nanos)));
        let counted = timer.times();
        assert_eq!(counted.counts[..2], [2, 2]);
        assert_eq!(counted.counts[21..], [2, 1]);
        assert_eq!(counted.count(), 7);
        assert_eq!(counted.sum, Duration::from_nanos(times.iter().sum()));
    }

    #[test]
    fn one_in_64_is_sampled_of_all_polls_and_of_every_nth_poll() {
        let sampled = |of: &mut dyn Iterator<Item = u64>| of.filter(|nth| is_sampled(*nth)).count();
        let all = sampled(&mut (0..64_000));
        assert!((990..=1_010).contains(&all), "{all}");
        for period in [2, 3, 7, 16, 61, 64, 100, 128, 1_000] {
            for first in [0, period / 2] {
                let some = sampled(&mut (first..).step_by(period as usize).take(64_000));
                assert!((950..=1_050).contains(&some), "{some} of every {period}th from {first}");
            }
        }
    }
}
