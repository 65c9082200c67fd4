//! A socket that accepts connections over TCP or at a Unix socket, for a server.

use std::io;
use std::task::{Context, Poll};

use crate::net::any_socket::AnySocket;
use crate::net::peer_addr::PeerAddr;
use crate::net::tcp_listener::TcpListener;
use crate::net::unix::UnixListener;

/// A listener that the acceptors of [`server`](crate::server) accept from.
///
/// This trait is sealed: it is implemented by [`TcpListener`], [`UnixListener`] and
/// [`AnyListener`].
pub trait Listener: Accept {}

impl<T: Accept> Listener for T {}

/// A listener at a TCP address or at a Unix socket.
#[derive(Debug)]
pub enum AnyListener {
    /// Listens at a TCP address.
    Tcp(TcpListener),
    /// Listens at a Unix socket.
    Unix(UnixListener),
}

/// Accepts connections of either kind.
pub trait Accept {
    /// Ready with a connection, which is non-blocking, and its peer.
    ///
    /// # Errors
    /// Those of accept(2).
    fn poll_accept_any(&self, cx: &mut Context<'_>) -> Poll<io::Result<(AnySocket, PeerAddr)>>;

    /// Accepts a connection that waits in the backlog already.
    ///
    /// # Errors
    /// `WouldBlock` if no connection waits, and those of accept(2).
    fn try_accept_any(&self) -> io::Result<(AnySocket, PeerAddr)>;
}

impl AnyListener {
    /// Closes the socket. Deregisters it first, since a duplicate would keep it registered.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub(crate) fn close(self) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => listener.into_std().map(drop),
            Self::Unix(listener) => listener.into_std().map(drop),
        }
    }
}

impl Accept for AnyListener {
    fn poll_accept_any(&self, cx: &mut Context<'_>) -> Poll<io::Result<(AnySocket, PeerAddr)>> {
        match self {
            Self::Tcp(listener) => listener.poll_accept_any(cx),
            Self::Unix(listener) => listener.poll_accept_any(cx),
        }
    }

    fn try_accept_any(&self) -> io::Result<(AnySocket, PeerAddr)> {
        match self {
            Self::Tcp(listener) => listener.try_accept_any(),
            Self::Unix(listener) => listener.try_accept_any(),
        }
    }
}

impl Accept for TcpListener {
    fn poll_accept_any(&self, cx: &mut Context<'_>) -> Poll<io::Result<(AnySocket, PeerAddr)>> {
        self.poll_accept_std(cx)
            .map_ok(|(stream, peer)| (AnySocket::tcp(stream.into()), peer.into()))
    }

    fn try_accept_any(&self) -> io::Result<(AnySocket, PeerAddr)> {
        let (stream, peer) = self.try_accept_std()?;
        Ok((AnySocket::tcp(stream.into()), peer.into()))
    }
}

impl Accept for UnixListener {
    fn poll_accept_any(&self, cx: &mut Context<'_>) -> Poll<io::Result<(AnySocket, PeerAddr)>> {
        self.poll_accept_std(cx).map_ok(|stream| (AnySocket::unix(stream.into()), PeerAddr::Unix))
    }

    fn try_accept_any(&self) -> io::Result<(AnySocket, PeerAddr)> {
        Ok((AnySocket::unix(self.try_accept_std()?.into()), PeerAddr::Unix))
    }
}

impl From<TcpListener> for AnyListener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl From<UnixListener> for AnyListener {
    fn from(listener: UnixListener) -> Self {
        Self::Unix(listener)
    }
}
