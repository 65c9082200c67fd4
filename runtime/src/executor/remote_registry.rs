//! What other threads do with the registrations of a loop's selector.

use std::fmt;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::{Arc, Weak};

use mio::Registry;
use mio::unix::SourceFd;

/// Deregisters sources of a loop's selector, from any thread. It does not keep the selector open.
#[derive(Clone)]
pub(crate) struct RemoteRegistry(Weak<Registry>);

impl RemoteRegistry {
    pub(super) fn new(registry: &Arc<Registry>) -> Self {
        Self(Arc::downgrade(registry))
    }

    /// Makes the selector forget `io`, which is registered with it. Does nothing if the loop has
    /// ended.
    pub(crate) fn deregister(&self, io: BorrowedFd<'_>) {
        let Some(registry) = self.0.upgrade() else { return };
        if let Err(error) = registry.deregister(&mut SourceFd(&io.as_raw_fd())) {
            // Not expected. If the loop gets events for a key that it has removed, it ignores them.
            tracing::error!(%error, "cannot deregister a socket from an event loop");
        }
    }
}

impl fmt::Debug for RemoteRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteRegistry").finish_non_exhaustive()
    }
}
