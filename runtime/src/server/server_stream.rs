//! The type of the streams that the handler of a server receives.

use std::net::SocketAddr;

use crate::net::{AnyStream, PeerAddr, TcpStream};

/// The type of the streams that the handler of a [`TcpServer`](crate::server::TcpServer) receives.
///
/// It is a [`TcpStream`] if the server listens only at TCP addresses, and an [`AnyStream`] if it
/// listens at a Unix socket too. Other types cannot implement this trait.
pub trait ServerStream: sealed::FromAny<Self::Peer> + Sized + 'static {
    /// The address of a peer.
    type Peer: Copy + 'static;
}

mod sealed {
    use crate::net::{AnyStream, PeerAddr};

    pub trait FromAny<Peer>: Sized {
        /// Returns the arguments of a handler; `None` if the connection is of another kind.
        fn from_any(stream: AnyStream, peer: PeerAddr) -> Option<(Self, Peer)>;
    }
}

use sealed::FromAny;

impl ServerStream for TcpStream {
    type Peer = SocketAddr;
}

impl FromAny<SocketAddr> for TcpStream {
    fn from_any(stream: AnyStream, peer: PeerAddr) -> Option<(Self, SocketAddr)> {
        Some((Self::try_from(stream).ok()?, peer.tcp()?))
    }
}

impl ServerStream for AnyStream {
    type Peer = PeerAddr;
}

impl FromAny<PeerAddr> for AnyStream {
    fn from_any(stream: AnyStream, peer: PeerAddr) -> Option<(Self, PeerAddr)> {
        Some((stream, peer))
    }
}
