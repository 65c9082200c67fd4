//! UDP.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use crate::executor::selector::Direction;
use crate::net::registered::Registered;

/// A socket for datagrams.
pub struct UdpSocket {
    io: Registered<mio::net::UdpSocket>,
}

impl UdpSocket {
    /// A socket at `address`; port 0 lets the system choose one.
    ///
    /// # Errors
    /// Those of socket(2) and bind(2).
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { io: Registered::lazy(mio::net::UdpSocket::bind(address)?) })
    }

    /// Takes over a socket.
    ///
    /// # Errors
    /// If it cannot be made non-blocking.
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    pub fn from_std(socket: std::net::UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { io: Registered::lazy(mio::net::UdpSocket::from_std(socket)) })
    }

    /// Makes `peer` the one that [`UdpSocket::send`] sends to and [`UdpSocket::recv`] hears.
    ///
    /// # Errors
    /// Those of connect(2).
    pub fn connect(&self, peer: SocketAddr) -> io::Result<()> {
        self.io.socket().connect(peer)
    }

    /// Sends a datagram to `peer`. Returns its length.
    ///
    /// # Errors
    /// Those of sendto(2).
    pub async fn send_to(&self, data: &[u8], peer: SocketAddr) -> io::Result<usize> {
        self.io.io(Direction::Write, |socket| socket.send_to(data, peer)).await
    }

    /// Waits for a datagram. Returns how much of it is in `buffer`, and who sent it; what does not
    /// fit is lost. Cancellation safe.
    ///
    /// # Errors
    /// Those of recvfrom(2).
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.io.io(Direction::Read, |socket| socket.recv_from(buffer)).await
    }

    /// Sends a datagram to the peer of [`UdpSocket::connect`]. Returns its length.
    ///
    /// # Errors
    /// Those of send(2).
    pub async fn send(&self, data: &[u8]) -> io::Result<usize> {
        self.io.io(Direction::Write, |socket| socket.send(data)).await
    }

    /// Waits for a datagram of the peer of [`UdpSocket::connect`]. Returns how much of it is in
    /// `buffer`; what does not fit is lost. Cancellation safe.
    ///
    /// # Errors
    /// Those of recv(2).
    pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.io.io(Direction::Read, |socket| socket.recv(buffer)).await
    }

    /// The address of this socket.
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.socket().local_addr()
    }

    /// The peer of [`UdpSocket::connect`].
    ///
    /// # Errors
    /// Those of getpeername(2).
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.io.socket().peer_addr()
    }
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.io.socket().fmt(f)
    }
}
