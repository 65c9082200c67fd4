//! A connection that was given to a loop, until the loop claims it.
//!
//! The loop that it was given to may get stuck before it has read from it. Then the acceptor takes
//! the connection back, and gives it to a loop that turns. From the claim on, it stays.

use std::fmt;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use crate::executor::selector::log_register_error;
use crate::net::any_socket::AnySocket;
use crate::net::registered::Entry;
use crate::net::{AnyStream, PeerAddr};
use crate::server::claim::{Claim, Taken};
use crate::server::connection_guard::ConnectionGuard;

/// A connection that was accepted and waits to be served by a loop.
///
/// While the loop is stuck, the acceptor may take it back and give it to another loop. So a
/// protocol claims it before it does anything that must not be done twice for one connection.
/// Dropping it closes the connection, unless it was taken back.
#[derive(Debug)]
pub struct AcceptedConnection {
    /// The address of the peer.
    pub peer: PeerAddr,
    /// When it was accepted, by the clock of the loop that accepted it. If the loop that serves it
    /// accepted it itself, this is the earliest time at which it can have waited; see
    /// [`time::ready_since`](crate::time::ready_since).
    pub accepted: Instant,
    pub(super) source: Source,
}

impl AcceptedConnection {
    /// Claims the connection: from now on it belongs to this thread's loop. Returns its stream, and
    /// what counts it as open until dropped; or `None` if it was taken back.
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    #[must_use]
    #[track_caller]
    pub fn claim(self) -> Option<(AnyStream, ConnectionGuard)> {
        self.into_unclaimed().claim()
    }

    /// Returns the connection without its address, so that a task of this thread's loop can wait
    /// until there is something to read, and claim it then.
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    #[must_use]
    #[track_caller]
    pub fn into_unclaimed(self) -> UnclaimedConnection {
        UnclaimedConnection { entry: Entry::new(true), source: self.source }
    }
}

/// A connection whose task waits for the first bytes of the peer, and which may still be taken
/// back. Dropping it closes the connection, unless it was taken back.
pub struct UnclaimedConnection {
    entry: Entry,
    source: Source,
}

impl UnclaimedConnection {
    /// Ready when there is something to read, or the connection was taken back: claim it then.
    /// Takes nothing of the task's budget.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(polled) = self.entry.poll_readable(cx) {
            return polled;
        }
        self.source.register(&self.entry);
        // If this fails, the claim or the first read returns the error.
        self.entry.poll_readable(cx).unwrap_or(Poll::Ready(()))
    }

    /// Claims the connection, see [`AcceptedConnection::claim`]. A stream that has been reported as
    /// readable stays so.
    #[must_use]
    pub fn claim(self) -> Option<(AnyStream, ConnectionGuard)> {
        let Newcomer { stream, guard } = self.source.take()?;
        Some((AnyStream::with_entry(self.entry, stream), guard))
    }
}

impl fmt::Debug for UnclaimedConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnclaimedConnection").field("source", &self.source).finish_non_exhaustive()
    }
}

/// A socket that was accepted, and what counts it as open on the loop that it was given to.
#[derive(Debug)]
pub(crate) struct Newcomer {
    /// A TCP socket has nodelay set.
    pub(crate) stream: AnySocket,
    pub(crate) guard: ConnectionGuard,
}

/// Where the socket of a connection is that was not claimed.
#[derive(Debug)]
pub(crate) enum Source {
    /// Here: no other thread knows the connection.
    Own(Newcomer),
    /// With the acceptor, which may take it back.
    Shared(Share),
}

/// The loop's reference to a connection that the acceptor may take back. Closes the connection when
/// dropped, unless it was taken.
#[derive(Debug)]
pub(crate) struct Share(Option<Arc<Claim<Newcomer>>>);

impl Source {
    /// Returns the connection of `claim`, as its loop sees it.
    pub(crate) fn shared(claim: Arc<Claim<Newcomer>>) -> Self {
        Self::Shared(Share(Some(claim)))
    }

    /// Takes the socket. Returns `None` if it was taken back.
    pub(crate) fn take(self) -> Option<Newcomer> {
        match self {
            Self::Own(newcomer) => Some(newcomer),
            Self::Shared(share) => share.take(),
        }
    }

    /// Registers the socket for `entry`, unless it was taken back. If that fails, the first
    /// operation of the stream that has to wait returns the error.
    fn register(&self, entry: &Entry) {
        let register = |newcomer: &Newcomer| entry.register(newcomer.stream.as_fd());
        let registered = match self {
            Self::Own(newcomer) => Some(register(newcomer)),
            Self::Shared(Share(claim)) => {
                claim.as_ref().and_then(|claim| claim.register(entry.key(), register))
            }
        };
        if let Some(Err(error)) = registered {
            log_register_error(&error);
        }
    }
}

impl Share {
    fn take(mut self) -> Option<Newcomer> {
        let Taken { item, watched_by, .. } = self.0.take()?.take()?;
        if let Some(acceptor) = watched_by {
            acceptor.deregister(item.stream.as_fd());
        }
        Some(item)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        // Closing the socket removes it from every selector.
        drop(self.0.take().and_then(|claim| claim.take()));
    }
}
