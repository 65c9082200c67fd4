//! Chooses the loop that gets the next connection, from what is known of each loop.

use std::time::{Duration, Instant};

use crate::observe::vitals::{Progress, StallDetector};

/// A loop that makes no progress for this long counts as stalled. Shorter polls are normal.
pub(crate) const STALLED_AFTER: Duration = Duration::from_millis(2);

/// A loop that makes no progress for this long also loses the connections that it has begun with
/// and not claimed. To move one of these costs more than to move one that waits in the queue, and a
/// thread that only waits for its core rarely waits longer.
pub(crate) const LONG_STALLED_AFTER: Duration = Duration::from_millis(10);

/// After a stall, a loop is suspect for a fourth of the time that the stall lasted, but no longer
/// than this. That covers the gap between two calls that block, and is short enough that the loop
/// still gets its share of connections.
const SUSPECT_FOR_MAX: Duration = Duration::from_millis(25);
const SUSPECT_SHARE: u32 = 4;

/// A loop that may get the next connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) health: Health,
    /// Its open connections.
    pub(crate) open: usize,
    /// Its queue is full.
    pub(crate) is_full: bool,
}

/// Whether a loop is likely to start a connection at once, from the best to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Health {
    /// It turns.
    Turning,
    /// It turns, but was stalled a short time ago, and may stall again before it starts the
    /// connection.
    Suspect,
    /// It does not turn, or does not take connections yet.
    Stalled,
    /// As before, for so long that it loses what it has begun with.
    LongStalled,
    /// It takes no more connections.
    Gone,
}

/// A suspect loop counts as if it had a fourth more connections than it has, and 16 on top of that:
/// other loops get its share, up to a point. If it were passed over altogether, the others would be
/// overloaded whenever many loops stall now and then (`simulation`).
const SUSPECT_ONE_IN: usize = 4;
const SUSPECT_EXTRA: usize = 16;

/// Chooses the loop with the fewest connections among those that turn. Equally good loops take
/// turns: `rotation` is the number of connections that were placed before.
///
/// A stalled loop is chosen only if no loop turns. Returns `None` if there is no room: while loops
/// that turn are full, connections wait for these and not for a stalled loop.
pub(crate) fn choose(candidates: &[Candidate], rotation: usize) -> Option<usize> {
    let turns = |loop_: &Candidate| loop_.health <= Health::Suspect;
    let worst = if candidates.iter().any(turns) { Health::Suspect } else { Health::LongStalled };
    let eligible = || {
        let all = candidates.iter().enumerate();
        all.filter(|(_, loop_)| !loop_.is_full && loop_.health <= worst)
    };
    let weight = |loop_: &Candidate| match loop_.health {
        Health::Suspect => loop_.open + loop_.open / SUSPECT_ONE_IN + SUSPECT_EXTRA,
        _ => loop_.open,
    };
    let best = eligible().map(|(_, loop_)| weight(loop_)).min()?;
    let tied = || eligible().filter(|(_, loop_)| weight(loop_) == best);
    let turn = rotation % tied().count();
    tied().nth(turn).map(|(index, _)| index)
}

/// Follows the health of one loop from outside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Observer {
    stalls: StallDetector,
    suspect_until: Instant,
}

impl Observer {
    pub(crate) fn new(progress: Progress, now: Instant) -> Self {
        Self { stalls: StallDetector::new(progress, now), suspect_until: now }
    }

    /// Takes the loop's current progress, and returns its health.
    pub(crate) fn look(&mut self, progress: Progress, now: Instant) -> Health {
        let stuck_for = self.stalls.observe(progress, now);
        if stuck_for >= STALLED_AFTER {
            // A loop that is blocked again and again turns for a moment in between. A connection
            // that it gets in that moment would wait until the next one.
            self.suspect_until =
                self.suspect_until.max(now + (stuck_for / SUSPECT_SHARE).min(SUSPECT_FOR_MAX));
            let is_long = stuck_for >= LONG_STALLED_AFTER;
            return if is_long { Health::LongStalled } else { Health::Stalled };
        }
        if now < self.suspect_until { Health::Suspect } else { Health::Turning }
    }
}

#[cfg(test)]
mod simulation;

#[cfg(test)]
mod tests {
    use super::*;

    fn loops(open: &[usize]) -> Vec<Candidate> {
        let turning =
            |open: &usize| Candidate { health: Health::Turning, open: *open, is_full: false };
        open.iter().map(turning).collect()
    }

    #[test]
    fn the_loop_with_the_fewest_connections_is_chosen() {
        let loops = loops(&[3, 1, 2]);
        assert_eq!(choose(&loops, 0), Some(1));
        assert_eq!(choose(&loops, 1), Some(1));
    }

    #[test]
    fn ties_take_turns() {
        let loops = loops(&[5, 2, 2, 2]);
        let chosen: Vec<_> = (0..6).map(|rotation| choose(&loops, rotation).unwrap()).collect();
        assert_eq!(chosen, [1, 2, 3, 1, 2, 3]);
    }

    #[test]
    fn a_full_loop_is_passed_over_and_all_full_is_no_choice() {
        let mut loops = loops(&[0, 7]);
        loops[0].is_full = true;
        assert_eq!(choose(&loops, 0), Some(1));
        loops[1].is_full = true;
        assert_eq!(choose(&loops, 0), None);
    }

    #[test]
    fn a_stalled_loop_is_chosen_only_when_no_loop_turns() {
        let mut loops = loops(&[0, 0, 9]);
        (loops[0].health, loops[1].health) = (Health::Stalled, Health::Suspect);
        loops[2].open = 15;
        assert_eq!(choose(&loops, 0), Some(2));
        loops[2].is_full = true;
        assert_eq!(choose(&loops, 0), Some(1), "a suspect one turns");
        loops[1].is_full = true;
        assert_eq!(choose(&loops, 0), None, "those that turn will have room again");
        for health in [Health::Stalled, Health::LongStalled] {
            loops.iter_mut().for_each(|loop_| loop_.health = health);
            assert_eq!(choose(&loops, 0), Some(0));
        }
    }

    #[test]
    fn a_suspect_loop_is_chosen_when_the_others_have_taken_its_share_and_more() {
        let mut loops = loops(&[20, 40]);
        loops[0].health = Health::Suspect;
        assert_eq!(choose(&loops, 0), Some(1));
        loops[1].open = 42;
        assert_eq!(choose(&loops, 0), Some(0));
    }

    #[test]
    fn a_loop_that_is_gone_is_never_chosen() {
        let mut loops = loops(&[0, 1]);
        loops[0].health = Health::Gone;
        assert_eq!(choose(&loops, 0), Some(1));
        loops[1].health = Health::Gone;
        assert_eq!(choose(&loops, 0), None);
    }

    #[test]
    fn a_loop_that_was_stalled_is_suspect_for_a_while() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let stuck = Progress { is_awake: true, turns: 1, polls: 1 };
        let moved = Progress { is_awake: false, turns: 2, polls: 1 };
        let mut observer = Observer::new(stuck, begin);
        assert_eq!(observer.look(stuck, at(1)), Health::Turning);
        assert_eq!(observer.look(stuck, at(2)), Health::Stalled);
        assert_eq!(observer.look(stuck, at(9)), Health::Stalled);
        assert_eq!(observer.look(stuck, at(10)), Health::LongStalled);
        assert_eq!(observer.look(stuck, at(300)), Health::LongStalled);
        assert_eq!(observer.look(moved, at(301)), Health::Suspect);
        assert_eq!(observer.look(moved, at(324)), Health::Suspect);
        assert_eq!(observer.look(moved, at(325)), Health::Turning);
        let mut observer = Observer::new(stuck, begin);
        assert_eq!(observer.look(stuck, at(8)), Health::Stalled);
        assert_eq!(observer.look(moved, at(9)), Health::Suspect);
        assert_eq!(observer.look(moved, at(10)), Health::Turning);
    }
}
