//! Which loop gets the next connection: a function of what is known of the loops.

use std::time::{Duration, Instant};

use crate::observe::vitals::{Progress, StallDetector};

/// A loop that stands still for so long is taken for stalled. Shorter polls are what loops do.
pub(crate) const STALLED_AFTER: Duration = Duration::from_millis(2);

/// A loop that was stalled is suspect for a fourth of the time that this lasted, up to this time:
/// long enough for the gap between two calls that block, short enough to keep its share.
const SUSPECT_FOR_MAX: Duration = Duration::from_millis(25);
const SUSPECT_SHARE: u32 = 4;

/// What placement knows of one loop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) health: Health,
    /// Connections open on it.
    pub(crate) open: usize,
    /// Its intake takes no more.
    pub(crate) is_full: bool,
}

/// Whether a loop can be expected to begin with a connection at once; better is less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Health {
    /// It turns.
    Turning,
    /// It turns, and was stalled not long ago: it may well be again before it begins.
    Suspect,
    /// It does not turn, or has not begun to take connections.
    Stalled,
    /// It takes no connections any more.
    Gone,
}

/// A suspect loop counts as if it had one in so many connections more, and so many on top: others
/// take its share, but not without end. To pass over it altogether overloads the rest where many
/// loops stall now and then (`simulation`).
const SUSPECT_ONE_IN: usize = 4;
const SUSPECT_EXTRA: usize = 16;

/// Chooses the loop with the fewest connections among those that turn. `rotation` is the number
/// of connections placed before: of several equally good loops each gets its turn.
///
/// A stalled loop is chosen only if no loop turns: while one does, its connections wait for it
/// rather than behind a loop that is stuck. Nothing is returned if there is no room.
pub(crate) fn choose(candidates: &[Candidate], rotation: usize) -> Option<usize> {
    let turns = |loop_: &Candidate| loop_.health <= Health::Suspect;
    let worst = if candidates.iter().any(turns) { Health::Suspect } else { Health::Stalled };
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

/// What one who places connections has seen of a loop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Observer {
    stalls: StallDetector,
    suspect_until: Instant,
}

impl Observer {
    pub(crate) fn new(progress: Progress, now: Instant) -> Self {
        Self { stalls: StallDetector::new(progress, now), suspect_until: now }
    }

    /// Looks at the loop.
    pub(crate) fn look(&mut self, progress: Progress, now: Instant) -> Health {
        let stuck_for = self.stalls.observe(progress, now);
        if stuck_for >= STALLED_AFTER {
            // A loop that is blocked again and again turns for a moment in between: what it was
            // given in that moment would wait for the next time.
            self.suspect_until =
                self.suspect_until.max(now + (stuck_for / SUSPECT_SHARE).min(SUSPECT_FOR_MAX));
            return Health::Stalled;
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
        loops.iter_mut().for_each(|loop_| loop_.health = Health::Stalled);
        assert_eq!(choose(&loops, 0), Some(0));
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
        assert_eq!(observer.look(stuck, at(300)), Health::Stalled);
        assert_eq!(observer.look(moved, at(301)), Health::Suspect);
        assert_eq!(observer.look(moved, at(324)), Health::Suspect);
        assert_eq!(observer.look(moved, at(325)), Health::Turning);
    }
}
