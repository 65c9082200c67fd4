//! How long polls take, as far as they are sampled: counted by the loop, read by any thread.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// One poll in so many is sampled. To read the clock twice takes longer than a short poll does,
/// and 1 % of a keep-alive request.
pub(crate) const SAMPLED_ONE_IN: u64 = 64;

/// How many polls took how long. Polls are sampled, one in 64: the counts are those of the
/// sample, not of [`Snapshot::polls`](crate::Snapshot::polls). A loop in debug mode, which times
/// every poll, counts every poll.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PollTimes {
    /// The first tells how many polls took no longer than the first of [`PollTimes::BOUNDS`], each
    /// other one how many took longer than the bound before and no longer than its own, the last
    /// how many took longer than all bounds.
    pub counts: [u64; PollTimes::BOUNDS.len() + 1],
    /// How long they took together.
    pub sum: Duration,
}

impl PollTimes {
    /// Up to which time a poll is counted where: 1, 2 and 5 of each power of ten, from a
    /// microsecond to ten seconds.
    pub const BOUNDS: [Duration; 22] = bounds();

    /// How many polls were timed.
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

/// The same while the loop counts. It alone writes, with relaxed stores.
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

/// Whether the `nth` poll is to be timed. The multiples of the golden ratio, of which this takes
/// the first bits behind the point, lie evenly whatever multiple of `nth` is looked at: so no
/// pattern in the order of the tasks makes the sample pass over some of them.
pub(crate) fn is_sampled(nth: u64) -> bool {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    nth.wrapping_mul(GOLDEN) < u64::MAX / SAMPLED_ONE_IN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_go_from_a_microsecond_to_ten_seconds() {
        let bounds = PollTimes::BOUNDS.map(|bound| bound.as_micros());
        assert_eq!(bounds[..5], [1, 2, 5, 10, 20]);
        assert_eq!(bounds[21], 10_000_000);
        assert!(bounds.is_sorted());
    }

    #[test]
    fn a_poll_is_counted_up_to_and_with_its_bound() {
        let timer = PollTimer::default();
        let times = [0, 1_000, 1_001, 2_000, 9_999_999_999, 10_000_000_000, 10_000_000_001];
        times.iter().for_each(|nanos| timer.count(Duration::from_nanos(*nanos)));
        let told = timer.times();
        assert_eq!(told.counts[..2], [2, 2]);
        assert_eq!(told.counts[21..], [2, 1]);
        assert_eq!(told.count(), 7);
        assert_eq!(told.sum, Duration::from_nanos(times.iter().sum()));
    }

    #[test]
    fn one_poll_in_64_is_sampled_of_all_and_of_each_nth() {
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
