//! What is done when no descriptor, or no memory, is left for a connection.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::net::TcpListener;
use crate::server::reserve::Reserve;

/// The pause after the process or the system has run out of descriptors or memory. Trying at once
/// would spin: the connection that could not be accepted stays in the backlog.
const PAUSE_WHEN_EXHAUSTED: Duration = Duration::from_millis(100);

/// The first such pause: the loops need no longer to close what is idle.
const PAUSE_TO_SHED: Duration = Duration::from_millis(20);

/// How one who accepts bears it that descriptors run out.
#[derive(Debug)]
pub(crate) struct Exhaustion {
    reserve: Reserve,
    /// How often in a row descriptors were found to have run out.
    times: u32,
    /// Connections that were accepted and closed at once, by all who count here.
    turned_away: Arc<AtomicUsize>,
}

impl Exhaustion {
    pub(crate) fn new(turned_away: Arc<AtomicUsize>) -> Self {
        Self { reserve: Reserve::new(), times: 0, turned_away }
    }

    /// A connection was accepted.
    pub(crate) fn is_over(&mut self) {
        self.times = 0;
    }

    /// Looks at what accept(2) failed with. If descriptors have run out returns how long to pause,
    /// in which time idle connections are to be closed; if that was of no use the time before,
    /// those who wait have been turned away.
    pub(crate) fn pause(&mut self, listener: &TcpListener, error: &io::Error) -> Option<Duration> {
        if !is_exhaustion(error) {
            // The connection went away before it was accepted, or its network is in trouble:
            // accept(2) says to treat such errors like no connection.
            tracing::debug!(target: "brigade", %error, "a connection was not accepted");
            return None;
        }
        self.times = self.times.saturating_add(1);
        if self.times == 1 {
            tracing::warn!(target: "brigade", %error, "idle connections are closed");
            return Some(PAUSE_TO_SHED);
        }
        let turned_away = self.reserve.turn_away(listener);
        self.turned_away.fetch_add(turned_away, Relaxed);
        tracing::warn!(target: "brigade", %error, turned_away, "accepting pauses");
        Some(PAUSE_WHEN_EXHAUSTED)
    }
}

/// Whether accept(2) failed because the process or the system has no more to give.
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
