//! What an acceptor does when the process runs out of file descriptors.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::net::Listener;
use crate::server::reserve::Reserve;

/// The pause after the process or the system has run out of descriptors or memory. Without it the
/// acceptor would spin: the connection that could not be accepted stays in the backlog.
const PAUSE_WHEN_EXHAUSTED: Duration = Duration::from_millis(100);

/// The first pause, in which the loops close idle connections.
const PAUSE_TO_SHED: Duration = Duration::from_millis(20);

/// Counts how often in a row accept(2) failed for want of descriptors, and decides what to do.
#[derive(Debug)]
pub(crate) struct Exhaustion {
    reserve: Reserve,
    /// How often in a row descriptors had run out.
    times: u32,
    /// Connections that were accepted and closed at once, counted for the whole server.
    turned_away: Arc<AtomicUsize>,
}

impl Exhaustion {
    pub(crate) fn new(turned_away: Arc<AtomicUsize>) -> Self {
        Self { reserve: Reserve::new(), times: 0, turned_away }
    }

    /// Starts over after a connection was accepted.
    pub(crate) fn reset(&mut self) {
        self.times = 0;
    }

    /// Returns how long to pause after `error`, which says that descriptors have run out. Idle
    /// connections should be closed in that time. From the second time in a row on, the waiting
    /// connections are turned away first.
    pub(crate) fn pause(&mut self, listener: &impl Listener, error: &io::Error) -> Duration {
        self.times = self.times.saturating_add(1);
        if self.times == 1 {
            tracing::warn!(target: "brigade", %error, "closing idle connections");
            return PAUSE_TO_SHED;
        }
        let turned_away = self.reserve.turn_away(listener);
        self.turned_away.fetch_add(turned_away, Relaxed);
        tracing::warn!(target: "brigade", %error, turned_away, "pausing accept");
        PAUSE_WHEN_EXHAUSTED
    }
}

/// Returns `true` if accept(2) failed because the process or the system has run out of descriptors
/// or memory.
pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    const ENOMEM: i32 = 12;
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    #[cfg(target_os = "linux")]
    const ENOBUFS: i32 = 105;
    #[cfg(not(target_os = "linux"))]
    const ENOBUFS: i32 = 55;
    matches!(error.raw_os_error(), Some(ENOMEM | ENFILE | EMFILE | ENOBUFS))
}

#[cfg(all(test, not(brigade_loom)))]
mod tests {
    use super::*;
    use crate::net::TcpListener;

    #[test]
    fn only_a_lack_of_descriptors_or_memory_is_exhaustion() {
        for code in [12, 23, 24] {
            assert!(is_exhaustion(&io::Error::from_raw_os_error(code)));
        }
        for kind in [io::ErrorKind::WouldBlock, io::ErrorKind::ConnectionAborted] {
            assert!(!is_exhaustion(&kind.into()));
        }
    }

    #[test]
    fn connections_are_turned_away_from_the_second_time_in_a_row_on() {
        crate::run(async {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let _clients = [(); 3].map(|()| std::net::TcpStream::connect(address).unwrap());
            let counter = Arc::new(AtomicUsize::new(0));
            let mut exhaustion = Exhaustion::new(counter.clone());
            let error = io::Error::from_raw_os_error(24);
            assert_eq!(exhaustion.pause(&listener, &error), PAUSE_TO_SHED);
            assert_eq!(counter.load(Relaxed), 0);
            assert_eq!(exhaustion.pause(&listener, &error), PAUSE_WHEN_EXHAUSTED);
            assert_eq!(counter.load(Relaxed), 3);
            exhaustion.reset();
            assert_eq!(exhaustion.pause(&listener, &error), PAUSE_TO_SHED);
        });
    }
}
