//! The socket of a connection, and what counts the connection as open.

use std::mem;
use std::task::{Context, Poll, ready};

use brigade_runtime::server::{ConnectionGuard, UnclaimedConnection};

use crate::message::byte_stream::ByteStream;

/// The socket of a connection, and what counts the connection as open.
pub(super) enum Stream {
    /// Nothing has been read yet. If this loop gets stuck, another one may take the connection
    /// over.
    Unclaimed(UnclaimedConnection),
    /// The connection stays on this loop.
    Claimed(ByteStream, Option<ConnectionGuard>),
    /// Another loop, or another protocol, has taken the connection over.
    TakenOver,
}

impl Stream {
    /// Ready when the connection is claimed, once the client has sent something, or when another
    /// loop has taken it over.
    #[cold]
    pub(super) fn poll_claim(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Self::Unclaimed(connection) = self {
            ready!(connection.poll_readable(cx));
            self.claim();
        }
        Poll::Ready(())
    }

    /// Claims the connection, if that has not been done yet. Returns `true` if there is a socket to
    /// read from.
    pub(super) fn claim(&mut self) -> bool {
        *self = match mem::replace(self, Self::TakenOver) {
            Self::Unclaimed(connection) => match connection.claim() {
                Some((socket, guard)) => Self::Claimed(ByteStream::Socket(socket), Some(guard)),
                None => Self::TakenOver,
            },
            claimed => claimed,
        };
        matches!(self, Self::Claimed(..))
    }

    /// Takes the socket, to hand it over to another protocol.
    pub(super) fn take(&mut self) -> Option<(ByteStream, Option<ConnectionGuard>)> {
        match mem::replace(self, Self::TakenOver) {
            Self::Claimed(stream, guard) => Some((stream, guard)),
            other => {
                *self = other;
                None
            }
        }
    }

    /// Returns the socket if the connection is claimed and not taken over.
    #[inline(always)]
    pub(super) fn claimed(&self) -> Option<&ByteStream> {
        match self {
            Self::Claimed(stream, _) => Some(stream),
            _ => None,
        }
    }

    #[inline(always)]
    pub(super) fn is_claimed(&self) -> bool {
        self.claimed().is_some()
    }
}
