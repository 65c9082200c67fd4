//! The address of a peer over TCP or over a Unix socket.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// The address of a peer: an IP address and a port, or none for a peer over a Unix socket.
///
/// As text, the address of a peer over a Unix socket is `unix:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerAddr {
    /// The peer is connected over TCP.
    Tcp(SocketAddr),
    /// The peer is connected over a Unix socket, so it is a process of this machine. Clients bind
    /// no address as a rule (unix(7)).
    Unix,
}

impl PeerAddr {
    /// Returns the address if the peer is connected over TCP.
    #[must_use]
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix => None,
        }
    }

    /// Returns the IP address if the peer is connected over TCP.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.tcp().map(|address| address.ip())
    }

    /// Returns `true` if the peer is connected over a Unix socket.
    #[must_use]
    pub fn is_unix(&self) -> bool {
        matches!(self, Self::Unix)
    }
}

impl From<SocketAddr> for PeerAddr {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl PartialEq<SocketAddr> for PeerAddr {
    fn eq(&self, other: &SocketAddr) -> bool {
        self.tcp() == Some(*other)
    }
}

impl fmt::Display for PeerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix => f.pad("unix:"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_over_a_unix_socket_has_a_text_and_no_address() {
        let tcp: SocketAddr = "[::1]:80".parse().unwrap();
        let (tcp, unix) = (PeerAddr::from(tcp), PeerAddr::Unix);
        assert_eq!((&*tcp.to_string(), &*unix.to_string()), ("[::1]:80", "unix:"));
        assert_eq!((tcp.ip(), unix.ip()), (Some("::1".parse().unwrap()), None));
        assert!(unix.is_unix() && !tcp.is_unix());
    }

    #[test]
    fn an_address_is_no_larger_than_that_of_a_tcp_peer() {
        assert_eq!(size_of::<PeerAddr>(), size_of::<SocketAddr>());
    }
}
