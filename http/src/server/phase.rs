//! How far a server has come from its start to its end, for those who wait for it.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// Where a server stands. The phases follow each other in this order; one may be passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It is bound, and its loops do not run yet: connections wait.
    Bound,
    /// It accepts connections and answers requests.
    Accepting,
    /// It accepts no more, answers what is in flight with `Connection: close`, and closes what is
    /// idle.
    Draining,
    /// The time for that is over: what is left is cut.
    Cutting,
    /// No loop serves any more.
    Ended,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bound => "bound",
            Self::Accepting => "accepting",
            Self::Draining => "draining",
            Self::Cutting => "cutting",
            Self::Ended => "ended",
        })
    }
}

/// Follows the phases of a server, from any thread and any loop.
#[derive(Clone)]
pub struct ServerState {
    shared: Arc<Mutex<State>>,
}

struct State {
    phase: Phase,
    waiting: Vec<Waker>,
}

impl ServerState {
    pub(crate) fn new() -> Self {
        let state = State { phase: Phase::Bound, waiting: Vec::new() };
        Self { shared: Arc::new(Mutex::new(state)) }
    }

    /// Where the server stands now.
    #[must_use]
    pub fn current(&self) -> Phase {
        self.state().phase
    }

    /// Waits until the server has come to `phase`, or beyond. Ready at once if it has already.
    /// Cancellation safe.
    pub async fn reached(&self, phase: Phase) {
        poll_fn(|cx| {
            let mut state = self.state();
            if state.phase >= phase {
                return Poll::Ready(());
            }
            if !state.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                state.waiting.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// The server has come to `phase`; it never goes back.
    pub(crate) fn enter(&self, phase: Phase) {
        let waiting = {
            let mut state = self.state();
            if state.phase >= phase {
                return;
            }
            state.phase = phase;
            std::mem::take(&mut state.waiting)
        };
        tracing::debug!(target: "brigade::http", %phase, "the server goes on");
        waiting.into_iter().for_each(Waker::wake);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ServerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServerState").field(&self.current()).finish()
    }
}
