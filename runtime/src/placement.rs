//! Which loop gets the next connection: a function of what is known of the loops.

/// What placement knows of one loop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    /// Connections open on it.
    pub(crate) open: usize,
    /// Its intake takes no more.
    pub(crate) is_full: bool,
}

/// Chooses the loop with the fewest connections among those that have room. `rotation` is the
/// number of connections placed before: of several equally good loops each gets its turn.
pub(crate) fn choose(
    candidates: impl Iterator<Item = Candidate> + Clone,
    rotation: usize,
) -> Option<usize> {
    let with_room = || candidates.clone().enumerate().filter(|(_, loop_)| !loop_.is_full);
    let least = with_room().map(|(_, loop_)| loop_.open).min()?;
    let tied = || with_room().filter(|(_, loop_)| loop_.open == least);
    let turn = rotation % tied().count();
    tied().nth(turn).map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loops(open: &[usize]) -> Vec<Candidate> {
        open.iter().map(|open| Candidate { open: *open, is_full: false }).collect()
    }

    #[test]
    fn the_loop_with_the_fewest_connections_is_chosen() {
        let loops = loops(&[3, 1, 2]);
        assert_eq!(choose(loops.iter().copied(), 0), Some(1));
        assert_eq!(choose(loops.iter().copied(), 1), Some(1));
    }

    #[test]
    fn ties_take_turns() {
        let loops = loops(&[5, 2, 2, 2]);
        let chosen: Vec<_> =
            (0..6).map(|rotation| choose(loops.iter().copied(), rotation).unwrap()).collect();
        assert_eq!(chosen, [1, 2, 3, 1, 2, 3]);
    }

    #[test]
    fn a_full_loop_is_passed_over_and_all_full_is_no_choice() {
        let mut loops = loops(&[0, 7]);
        loops[0].is_full = true;
        assert_eq!(choose(loops.iter().copied(), 0), Some(1));
        loops[1].is_full = true;
        assert_eq!(choose(loops.iter().copied(), 0), None);
    }
}
