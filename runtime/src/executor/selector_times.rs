//! When the loop polled its selector, from which follows how long a task can have been ready.

use std::cell::Cell;

use crate::executor::clock::Tick;

/// The times of the last two polls of the selector, by the loop's clock.
#[derive(Default)]
pub(crate) struct SelectorTimes {
    /// When the last poll but one returned.
    previous_end: Cell<Tick>,
    /// When the last poll began.
    begin: Cell<Tick>,
    /// When the last poll returned.
    end: Cell<Tick>,
}

impl SelectorTimes {
    /// Records that a poll begins. Returns the time since the one before it returned.
    pub(crate) fn begin(&self, now: Tick) -> Tick {
        let previous_end = self.end.get();
        self.previous_end.set(previous_end);
        self.begin.set(now);
        now - previous_end
    }

    /// Records that the poll has returned.
    pub(crate) fn end(&self, now: Tick) {
        self.end.set(now);
    }

    /// Returns the earliest time at which what the last poll returned can have become ready.
    ///
    /// If the poll lasted longer than the loop was away from the selector before it, that is the
    /// end of the poll: the event that ended the wait has just arrived. Otherwise it is the end
    /// of the poll before.
    pub(crate) fn ready_since(&self) -> Tick {
        let (previous_end, begin, end) =
            (self.previous_end.get(), self.begin.get(), self.end.get());
        if end - begin > begin - previous_end { end } else { previous_end }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_wait_is_new_unless_the_loop_was_away_for_longer_before_it() {
        // The times at which a poll begins and returns, after one that returned at 100.
        for (begin, end, since) in
            [(101, 103, 103), (103, 104, 100), (102, 104, 100), (100, 101, 101), (100, 100, 100)]
        {
            let times = SelectorTimes::default();
            assert_eq!(times.begin(40), 40);
            times.end(100);
            assert_eq!(times.begin(begin), begin - 100);
            times.end(end);
            assert_eq!(times.ready_since(), since, "{begin} to {end}");
        }
    }
}
