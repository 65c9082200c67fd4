//! The phases of a server from its start to its end, and the handle that follows them.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Poll, Waker};

use crate::budget::consume_budget;
use crate::sync::lock;

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
    /// The server has ended.
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
    waiting: Vec<Waker>,
}

impl ServerState {
    pub(super) fn new() -> Self {
        let shared = Shared { phase: Phase::Bound, waiting: Vec::new() };
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
    /// Cancel safe.
    pub async fn reached(&self, phase: Phase) {
        poll_fn(|cx| {
            let mut shared = self.lock();
            if shared.phase >= phase {
                return Poll::Ready(());
            }
            if !shared.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                shared.waiting.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
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
            std::mem::take(&mut shared.waiting)
        };
        tracing::debug!(target: "brigade::server", %phase, "server phase changed");
        waiting.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        lock(&self.shared)
    }
}

impl fmt::Debug for ServerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServerState").field(&self.phase()).finish()
    }
}
