//! Counts the open connections of one loop.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use crossbeam_utils::CachePadded;

/// Counts the connections that were given to one loop and are not closed yet, those in its queue
/// included.
#[derive(Debug, Default)]
pub(crate) struct OpenConnections {
    count: CachePadded<AtomicUsize>,
}

/// Counts one connection as open on its loop until dropped.
pub struct ConnectionGuard {
    open: Arc<OpenConnections>,
}

impl OpenConnections {
    /// Counts one more connection as open.
    pub(crate) fn guard(self: &Arc<Self>) -> ConnectionGuard {
        self.count.fetch_add(1, Relaxed);
        ConnectionGuard { open: self.clone() }
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(Relaxed)
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.open.count.fetch_sub(1, Relaxed);
    }
}

impl fmt::Debug for ConnectionGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionGuard").finish_non_exhaustive()
    }
}
