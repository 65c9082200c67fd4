//! The phases of a server from its start to its end, and the handle that follows them.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use crate::budget::consume_budget;
use crate::sync::lock;
use crate::task::wakers::Wakers;

/// A phase of a server. Phases follow each other in this order; one may be skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The server is bound, and its loops do not run yet: connections wait in the backlog.
    Bound,
    /// The server accepts and serves connections.
    Accepting,
    /// The server accepts no more connections, finishes what is in flight, and closes what is idle.
    Draining,
    /// The drain deadline has passed: what is left is cancelled.
    Cancelling,
    /// The server has ended: [`serve`](crate::TcpServer::serve) returns. If its future was dropped
    /// before, every loop has ended; if it was never polled, no loop was started.
    Ended,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bound => "bound",
            Self::Accepting => "accepting",
            Self::Draining => "draining",
            Self::Cancelling => "cancelling",
            Self::Ended => "ended",
        })
    }
}

/// The state of a server, to be watched from any thread and any loop.
///
/// # Examples
/// ```no_run
/// use brigade_runtime::server::{Phase, TcpServer};
///
/// let server = TcpServer::bind("127.0.0.1:7007")?;
/// let state = server.state();
/// std::thread::spawn(move || {
///     brigade_runtime::run(async move {
///         state.reached(Phase::Draining).await;
///         println!("the server is shutting down");
///     });
/// });
/// server.run(|| async |_stream, _peer| {})?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct ServerState {
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    phase: Phase,
    waiting: Wakers,
}

impl ServerState {
    pub(super) fn new() -> Self {
        let shared = Shared { phase: Phase::Bound, waiting: Wakers::default() };
        Self { shared: Arc::new(Mutex::new(shared)) }
    }

    /// Returns the phase that the server is in.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.lock().phase
    }

    /// Waits until the server has reached `phase` or a later one.
    ///
    /// # Cancel safety
    /// Cancel safe. A future that is dropped leaves nothing behind.
    pub async fn reached(&self, phase: Phase) {
        Reached { state: self, phase, key: None }.await;
        consume_budget().await;
    }

    /// Enters `phase`, unless the server has reached it already.
    pub(super) fn enter(&self, phase: Phase) {
        let waiting = {
            let mut shared = self.lock();
            if shared.phase >= phase {
                return;
            }
            shared.phase = phase;
            shared.waiting.take()
        };
        tracing::debug!(target: "brigade::server", %phase, "server phase changed");
        waiting.for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        lock(&self.shared)
    }
}

/// The future of [`ServerState::reached`].
struct Reached<'a> {
    state: &'a ServerState,
    phase: Phase,
    /// Its entry among those that wait.
    key: Option<u64>,
}

impl Future for Reached<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Cloned before the lock is taken, and the one before is dropped after it is released.
        let waker = cx.waker().clone();
        let mut shared = self.state.lock();
        if shared.phase >= self.phase {
            return Poll::Ready(());
        }
        let before = shared.waiting.register(&mut self.key, waker);
        drop(shared);
        drop(before);
        Poll::Pending
    }
}

impl Drop for Reached<'_> {
    fn drop(&mut self) {
        let _waker = self.key.and_then(|key| self.state.lock().waiting.remove(key));
    }
}

impl fmt::Debug for ServerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServerState").field(&self.phase()).finish()
    }
}

#[cfg(all(test, not(brigade_loom)))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::time::timeout;

    #[test]
    fn phases_have_names() {
        assert_eq!([Phase::Bound, Phase::Ended].map(|phase| phase.to_string()), ["bound", "ended"]);
    }

    #[test]
    fn a_wait_for_a_phase_that_is_given_up_leaves_nothing_behind() {
        crate::run(async {
            let state = ServerState::new();
            let mut kept = Box::pin(state.reached(Phase::Accepting));
            for _ in 0..100 {
                assert!(timeout(Duration::ZERO, kept.as_mut()).await.is_err());
                assert!(timeout(Duration::ZERO, state.reached(Phase::Draining)).await.is_err());
            }
            assert_eq!(state.lock().waiting.len(), 1);
            state.enter(Phase::Accepting);
            assert!(state.lock().waiting.is_empty());
            kept.await;
        });
    }
}
