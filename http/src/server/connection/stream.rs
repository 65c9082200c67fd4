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
    /// Another protocol has the socket.
    Upgraded { _guard: Option<ConnectionGuard> },
    /// Another loop has taken the connection over.
    TakenBack,
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
        *self = match mem::replace(self, Self::TakenBack) {
            Self::Unclaimed(connection) => match connection.claim() {
                Some((socket, guard)) => Self::Claimed(ByteStream::Socket(socket), Some(guard)),
                None => Self::TakenBack,
            },
            claimed => claimed,
        };
        matches!(self, Self::Claimed(..))
    }

    /// Returns the socket, to hand it over to another protocol.
    pub(super) fn upgrade(&mut self) -> Option<ByteStream> {
        match mem::replace(self, Self::TakenBack) {
            Self::Claimed(stream, guard) => {
                *self = Self::Upgraded { _guard: guard };
                Some(stream)
            }
            other => {
                *self = other;
                None
            }
        }
    }

    /// Returns the socket if the connection is claimed and not upgraded.
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

    pub(super) fn is_upgraded(&self) -> bool {
        matches!(self, Self::Upgraded { .. })
    }
}
