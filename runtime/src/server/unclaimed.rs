//! The connections of one loop that the loop has not claimed, as the acceptor sees them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crate::net::PeerAddr;
use crate::server::accepted::Newcomer;
use crate::server::claim::{Claim, Taken};

/// A connection whose loop waits for its first bytes is looked at in this many rounds. Then its
/// socket is watched instead. Most peers send their request at once, and watching costs about as
/// much as a few rounds.
pub(crate) const WATCHED_AFTER_ROUNDS: u8 = 2;

/// A connection that was given to a loop, as the acceptor sees it.
#[derive(Debug)]
pub(crate) struct Unclaimed {
    pub(crate) claim: Arc<Claim<Newcomer>>,
    pub(crate) peer: PeerAddr,
    pub(crate) accepted: Instant,
    /// In how many rounds a loop was found to wait for its first bytes. Not reset when it moves to
    /// another loop, so a connection that stays silent does not move again and again.
    pub(crate) rounds: u8,
    /// Its peer has sent something, so its loop will claim it as soon as it turns.
    pub(crate) has_bytes: bool,
}

/// Claims that are kept to be used again, for each loop. That many connections arrive between two
/// rounds on a busy server.
const SPARE_MAX: usize = 256;

/// The connections of one loop to look at in every round, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct UnclaimedConnections {
    connections: VecDeque<Unclaimed>,
    /// Claims that nobody else refers to. An allocation for each connection would cost more than
    /// all else that is done here for one.
    spare: Vec<Arc<Claim<Newcomer>>>,
}

impl Unclaimed {
    /// Returns `true` if the loop has claimed or closed the connection, or it was taken back.
    pub(crate) fn is_settled(&self) -> bool {
        // The loop keeps its reference until then.
        Arc::strong_count(&self.claim) == 1
    }
}

impl UnclaimedConnections {
    pub(crate) fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Returns a claim on `newcomer`, to share with the loop.
    pub(crate) fn claim(&mut self, newcomer: Newcomer) -> Arc<Claim<Newcomer>> {
        let claim = Claim::new(newcomer);
        if let Some(mut spare) = self.spare.pop()
            && let Some(place) = Arc::get_mut(&mut spare)
        {
            *place = claim;
            return spare;
        }
        Arc::new(claim)
    }

    pub(crate) fn push(&mut self, connection: Unclaimed) {
        self.connections.push_back(connection);
    }

    /// Takes back the first connection that was not claimed. Returns the acceptor's view of it, and
    /// the socket.
    pub(crate) fn take_back(&mut self) -> Option<(Unclaimed, Taken<Newcomer>)> {
        while let Some(connection) = self.connections.pop_front() {
            if let Some(taken) = connection.claim.take() {
                return Some((connection, taken));
            }
        }
        None
    }

    /// Forgets the connections that are settled, and passes those to `watch` that are to be
    /// watched.
    pub(crate) fn end_round(&mut self, mut watch: impl FnMut(Unclaimed)) {
        for _ in 0..self.connections.len() {
            let Some(mut connection) = self.connections.pop_front() else { return };
            if connection.is_settled() {
                if self.spare.len() < SPARE_MAX {
                    self.spare.push(connection.claim);
                }
                continue;
            }
            // Before that, it waits for its loop and not for its peer.
            let is_registered = connection.claim.is_registered();
            connection.rounds = connection.rounds.saturating_add(is_registered.into());
            match connection.rounds >= WATCHED_AFTER_ROUNDS && !connection.has_bytes {
                true => watch(connection),
                false => self.connections.push_back(connection),
            }
        }
    }
}

#[cfg(all(test, not(brigade_loom)))]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::net::any_socket::AnySocket;
    use crate::server::accepted::Source;
    use crate::server::connection_guard::OpenConnections;

    /// Returns a connection as its loop and as the acceptor see it.
    fn connection() -> (Source, Unclaimed) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let peer = stream.peer_addr().unwrap().into();
        let stream = AnySocket::tcp(stream.into());
        let guard = Arc::new(OpenConnections::default()).guard();
        let claim = Arc::new(Claim::new(Newcomer { stream, guard }));
        let (source, accepted) = (Source::shared(claim.clone()), Instant::now());
        (source, Unclaimed { claim, peer, accepted, rounds: 0, has_bytes: false })
    }

    fn register(connection: &Unclaimed) {
        let key = crate::executor::slots::Key::from_u64(1);
        connection.claim.register(key, |_| Ok::<_, ()>(())).unwrap().unwrap();
    }

    /// Returns after how many rounds, of 600 at most, a connection is watched.
    fn rounds_until_watched(connections: &mut UnclaimedConnections) -> Option<usize> {
        (1..=600).find(|_| {
            let mut watched = 0;
            connections.end_round(|_| watched += 1);
            watched > 0
        })
    }

    #[test]
    fn a_connection_is_watched_once_its_loop_has_waited_for_its_bytes_for_some_rounds() {
        let mut connections = UnclaimedConnections::default();
        let (_source, connection) = connection();
        register(&connection);
        connections.push(connection);
        assert_eq!(rounds_until_watched(&mut connections), Some(WATCHED_AFTER_ROUNDS.into()));
        assert!(connections.is_empty());
    }

    #[test]
    fn a_connection_that_waits_for_its_loop_or_has_bytes_is_looked_at_in_every_round() {
        let mut connections = UnclaimedConnections::default();
        let (_source, waits_for_loop) = connection();
        connections.push(waits_for_loop);
        let (_source, mut has_bytes) = connection();
        register(&has_bytes);
        has_bytes.has_bytes = true;
        connections.push(has_bytes);
        assert_eq!(rounds_until_watched(&mut connections), None);
        assert_eq!(std::iter::from_fn(|| connections.take_back()).count(), 2);
    }

    #[test]
    fn connections_that_were_claimed_are_forgotten_and_not_taken_back() {
        let mut connections = UnclaimedConnections::default();
        let (source, claimed) = connection();
        connections.push(claimed);
        let (_source, waits) = connection();
        let peer = waits.peer;
        connections.push(waits);
        let _newcomer = source.take().unwrap();
        assert_eq!(connections.take_back().unwrap().0.peer, peer);
        assert!(connections.take_back().is_none() && connections.is_empty());
        let (source, closed) = connection();
        connections.push(closed);
        connections.end_round(|_| {});
        assert!(!connections.is_empty());
        drop(source);
        connections.end_round(|_| {});
        assert!(connections.is_empty());
    }

    #[test]
    fn the_claims_of_settled_connections_are_used_again_up_to_a_limit() {
        let mut connections = UnclaimedConnections::default();
        let sources: Vec<_> = (0..SPARE_MAX + 10)
            .map(|_| {
                let (source, unclaimed) = connection();
                register(&unclaimed);
                connections.push(unclaimed);
                source
            })
            .collect();
        drop(sources);
        connections.end_round(|_| panic!("nothing is left to watch"));
        assert_eq!(connections.spare.len(), SPARE_MAX);
        let spare = Arc::as_ptr(&connections.spare[SPARE_MAX - 1]);
        let newcomer = connection().0.take().unwrap();
        let claim = connections.claim(newcomer);
        assert_eq!(Arc::as_ptr(&claim), spare);
        assert!(connections.spare.len() == SPARE_MAX - 1 && !claim.is_registered());
        assert!(claim.take().is_some_and(|taken| taken.key.is_none()));
    }
}
