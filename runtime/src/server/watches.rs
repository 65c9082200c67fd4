//! Watches the sockets of connections that have sent nothing yet, for the acceptor.
//!
//! A connection may wait for its first request for as long as it likes, and its loop may get stuck
//! just before. So the acceptor's selector waits for the first bytes too. Then the acceptor looks
//! at the connection in every round, until it is claimed. Until then it costs no rounds.

use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_util::stream::FuturesUnordered;

use crate::executor::selector::log_register_error;
use crate::net::registered::Entry;
use crate::server::accepted::Newcomer;
use crate::server::connection_queue::ConnectionQueue;
use crate::server::unclaimed::Unclaimed;
use crate::sync::lock;

/// Connections that are watched no more, each with the queue of its loop. The acceptor may move to
/// another thread between two calls, and the watches cannot.
pub(crate) type Returned = Arc<Mutex<Vec<(Arc<ConnectionQueue>, Unclaimed)>>>;

/// The least number of watches at which those of connections that were claimed are removed.
const PRUNE_MIN: usize = 64;

/// Watches the sockets of connections. Those that are not claimed are returned when they have
/// something to read, and when this is dropped.
pub(crate) struct Watches {
    watches: FuturesUnordered<Watch>,
    returned: Returned,
    /// Watches of claimed connections are removed at this number. It is twice the number of those
    /// that were left then, so each watch costs constant time on average.
    limit: usize,
}

impl Watches {
    pub(crate) fn new(returned: Returned) -> Self {
        Self { watches: FuturesUnordered::new(), returned, limit: PRUNE_MIN }
    }

    /// Watches `connection`, which was given to the loop of `queue`, from the next poll on. Does
    /// nothing if that loop is this thread's: nobody is left to move the connection when it gets
    /// stuck, and its selector cannot have the socket twice.
    pub(crate) fn push(&mut self, queue: &Arc<ConnectionQueue>, connection: Unclaimed) {
        if queue.is_current() {
            return;
        }
        self.watches.push(Watch {
            entry: Entry::new(false),
            connection: Some((queue.clone(), connection)),
            returned: self.returned.clone(),
        });
    }

    /// Ends the watches of connections that have something to read. Returns `true` if there were
    /// any. Registers the task to be woken when there may be more.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        if self.watches.len() >= self.limit {
            self.prune();
        }
        let before = self.watches.len();
        while !self.watches.is_empty()
            && let Poll::Ready(Some(())) = Pin::new(&mut self.watches).poll_next(cx)
        {}
        self.watches.len() < before
    }

    /// Wakes the watches of connections that were claimed, so that they end.
    fn prune(&mut self) {
        let is_settled = |watch: &&Watch| watch.connection.as_ref().is_none_or(is_settled);
        let settled: Vec<_> = self.watches.iter().filter(is_settled).collect();
        settled.iter().for_each(|watch| watch.entry.selector().mark_readable(watch.entry.key()));
        self.limit = PRUNE_MIN.max(2 * (self.watches.len() - settled.len()));
    }
}

/// Waits for the first bytes of one connection.
struct Watch {
    entry: Entry,
    connection: Option<(Arc<ConnectionQueue>, Unclaimed)>,
    returned: Returned,
}

fn is_settled((_, connection): &(Arc<ConnectionQueue>, Unclaimed)) -> bool {
    connection.is_settled()
}

impl Future for Watch {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { entry, connection, .. } = &mut *self;
        let Some((_, unclaimed)) = connection else { return Poll::Ready(()) };
        if let Some(polled) = entry.poll_readable(cx) {
            unclaimed.has_bytes = polled.is_ready();
            return polled;
        }
        let acceptor = entry.selector().remote_registry();
        let register = |newcomer: &Newcomer| entry.register(newcomer.stream.as_fd());
        match unclaimed.claim.watch(acceptor, register) {
            Some(Ok(())) => return self.poll(cx),
            // This selector is full, so the connection stays on its loop.
            Some(Err(error)) => log_register_error(&error),
            // It was claimed.
            None => {}
        }
        *connection = None;
        Poll::Ready(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take().filter(|one| !is_settled(one)) else {
            return;
        };
        connection.1.claim.unwatch(|newcomer| {
            // Not expected to fail. If it does, there are spurious events until it is closed.
            let _ = self.entry.deregister(newcomer.stream.as_fd());
        });
        lock(&self.returned).push(connection);
    }
}

#[cfg(all(test, not(brigade_loom)))]
mod tests {
    use std::future::poll_fn;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;
    use crate::executor::core::Core;
    use crate::net::any_socket::AnySocket;
    use crate::run;
    use crate::server::accepted::{AcceptedConnection, Source};
    use crate::server::acceptor_waker::AcceptorWaker;
    use crate::server::claim::Claim;
    use crate::time::{self, timeout};

    const PATIENCE: Duration = Duration::from_secs(30);

    /// Connections that were given to the loop of a queue, and their watches.
    struct Fixture {
        watches: Watches,
        returned: Returned,
        queue: Arc<ConnectionQueue>,
        listener: TcpListener,
    }

    impl Fixture {
        fn new() -> Self {
            let returned = Returned::default();
            let queue = ConnectionQueue::new(1, Arc::<AcceptorWaker>::default());
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            Self { watches: Watches::new(returned.clone()), returned, queue, listener }
        }

        /// Returns a connection that is watched, as its loop sees it, its claim, and its peer.
        fn connect(&mut self) -> (AcceptedConnection, Arc<Claim<Newcomer>>, TcpStream) {
            let client = TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
            let (stream, peer) = self.listener.accept().unwrap();
            stream.set_nonblocking(true).unwrap();
            let (stream, peer) = (AnySocket::tcp(stream.into()), peer.into());
            let newcomer = Newcomer { stream, guard: self.queue.guard() };
            let claim = Arc::new(Claim::new(newcomer));
            let (source, accepted) = (Source::shared(claim.clone()), time::now());
            let unclaimed =
                Unclaimed { claim: claim.clone(), peer, accepted, rounds: 0, has_bytes: false };
            self.watches.push(&self.queue, unclaimed);
            (AcceptedConnection { peer, accepted, source }, claim, client)
        }

        /// Polls the watches. Returns `true` if one of them has ended.
        async fn poll(&mut self) -> bool {
            poll_fn(|cx| Poll::Ready(self.watches.poll(cx))).await
        }

        async fn wait(&mut self) {
            let ended = poll_fn(|cx| match self.watches.poll(cx) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            });
            timeout(PATIENCE, ended).await.unwrap();
        }

        /// Returns whether each connection that was returned has something to read.
        fn take_returned(&self) -> Vec<bool> {
            let returned = std::mem::take(&mut *lock(&self.returned));
            returned.iter().map(|(_, connection)| connection.has_bytes).collect()
        }
    }

    /// The number of sockets that are registered with this thread's loop.
    fn registered() -> usize {
        Core::current().selector().len()
    }

    /// Returns `true` if the selector of this thread's loop has something to report.
    fn has_events() -> bool {
        Core::current().selector().wait(Some(Duration::ZERO)).unwrap()
    }

    #[test]
    fn a_connection_is_returned_and_not_watched_once_it_has_something_to_read() {
        run(async {
            let mut fixture = Fixture::new();
            let (_connection, claim, mut client) = fixture.connect();
            assert!(!fixture.poll().await);
            assert_eq!((registered(), fixture.take_returned()), (1, vec![]));
            client.write_all(b"?").unwrap();
            fixture.wait().await;
            assert_eq!((registered(), fixture.take_returned()), (0, vec![true]));
            assert!(fixture.watches.watches.is_empty());
            assert!(claim.take().unwrap().watched_by.is_none());
        });
    }

    #[test]
    fn connections_are_returned_and_not_watched_when_the_watches_are_dropped() {
        run(async {
            let mut fixture = Fixture::new();
            let (_connection, claim, mut client) = fixture.connect();
            assert!(!fixture.poll().await);
            fixture.watches = Watches::new(fixture.returned.clone());
            assert_eq!((registered(), fixture.take_returned()), (0, vec![false]));
            client.write_all(b"?").unwrap();
            assert!(!has_events());
            assert!(claim.take().unwrap().watched_by.is_none());
        });
    }

    #[test]
    fn a_connection_that_is_claimed_while_it_is_watched_is_deregistered() {
        run(async {
            let mut fixture = Fixture::new();
            let (connection, _, mut client) = fixture.connect();
            assert!(!fixture.poll().await);
            let _claimed = connection.claim().unwrap();
            client.write_all(b"?").unwrap();
            assert!(!has_events());
            assert!(!fixture.poll().await);
            fixture.watches = Watches::new(fixture.returned.clone());
            assert_eq!(fixture.take_returned(), []);
        });
    }

    #[test]
    fn a_connection_that_its_loop_drops_while_it_is_watched_is_closed_at_once() {
        run(async {
            let mut fixture = Fixture::new();
            let (connection, _claim, mut client) = fixture.connect();
            assert!(!fixture.poll().await);
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            drop(connection);
            assert_eq!(client.read(&mut [0]).unwrap(), 0);
            assert_eq!(fixture.queue.open(), 0);
        });
    }

    #[test]
    fn a_connection_that_was_claimed_before_it_is_watched_is_forgotten() {
        run(async {
            let mut fixture = Fixture::new();
            let (connection, claim, _client) = fixture.connect();
            let _claimed = connection.claim().unwrap();
            // The claim is kept, so that only the missing socket says what has become of it.
            assert!(fixture.poll().await);
            assert_eq!((fixture.take_returned(), registered()), (vec![], 0));
            assert!(claim.take().is_none());
        });
    }

    #[test]
    fn watches_of_claimed_connections_do_not_pile_up() {
        run(async {
            let mut fixture = Fixture::new();
            let silent: Vec<_> = (0..PRUNE_MIN / 2).map(|_| fixture.connect()).collect();
            for _ in 0..3 * PRUNE_MIN {
                let (connection, claim, _client) = fixture.connect();
                fixture.poll().await;
                drop((connection, claim));
                assert!(fixture.watches.watches.len() <= 2 * PRUNE_MIN);
            }
            fixture.watches.prune();
            fixture.poll().await;
            assert_eq!(fixture.watches.watches.len(), silent.len());
            // Of many that are all silent none is removed.
            let more: Vec<_> = (0..2 * PRUNE_MIN).map(|_| fixture.connect()).collect();
            fixture.poll().await;
            fixture.poll().await;
            assert_eq!(fixture.watches.watches.len(), silent.len() + more.len());
            assert_eq!(fixture.watches.limit, 2 * (silent.len() + more.len()));
            assert_eq!(fixture.take_returned(), []);
        });
    }
}
