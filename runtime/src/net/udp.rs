//! UDP sockets, see udp(7).

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use crate::executor::selector::Direction;
use crate::net::addresses::first_that_works;
use crate::net::registered::Registered;

/// A UDP socket.
///
/// # Examples
/// ```
/// use brigade_runtime::net::UdpSocket;
///
/// brigade_runtime::run(async {
///     let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
///     let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
///     sender.send_to(b"hello", receiver.local_addr().unwrap()).await.unwrap();
///     let mut buffer = [0; 16];
///     let (length, _) = receiver.recv_from(&mut buffer).await.unwrap();
///     assert_eq!(&buffer[..length], b"hello");
/// });
/// ```
pub struct UdpSocket {
    io: Registered<mio::net::UdpSocket>,
}

impl UdpSocket {
    /// Creates a socket and binds it to the first of the addresses that works. With port 0 the
    /// system chooses a free port. A host name is resolved on this thread, which blocks the loop
    /// meanwhile.
    ///
    /// # Errors
    /// Those of the name resolution. If no address works, the error names each address with its
    /// error (socket(2), bind(2)); its kind is that of the last one.
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    #[track_caller]
    pub fn bind(addresses: impl ToSocketAddrs) -> io::Result<Self> {
        let socket = first_that_works(addresses, "bind to", mio::net::UdpSocket::bind)?;
        Ok(Self { io: Registered::lazy(socket) })
    }

    /// Takes over a socket, and makes it non-blocking.
    ///
    /// # Errors
    /// Those of fcntl(2).
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    #[track_caller]
    pub fn from_std(socket: std::net::UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { io: Registered::lazy(mio::net::UdpSocket::from_std(socket)) })
    }

    /// Sets the peer: [`UdpSocket::send`] sends to it, and only its datagrams are received. Of
    /// several addresses it is the first one that works. A host name is resolved on this thread,
    /// which blocks the loop meanwhile.
    ///
    /// # Errors
    /// Those of the name resolution. If no address works, the error names each address with its
    /// error (connect(2)); its kind is that of the last one.
    pub fn connect(&self, peer: impl ToSocketAddrs) -> io::Result<()> {
        first_that_works(peer, "connect to", |address| self.io.socket().connect(address))
    }

    /// Sends `data` as one datagram to `peer`. Returns its length in bytes.
    ///
    /// # Errors
    /// Those of sendto(2).
    ///
    /// # Cancel safety
    /// If the future is dropped before it is ready, nothing was sent.
    pub async fn send_to(&self, data: &[u8], peer: SocketAddr) -> io::Result<usize> {
        self.io.io(Direction::Write, |socket| socket.send_to(data, peer)).await
    }

    /// Receives a datagram into `buffer`. Returns its length in bytes and the sender's address.
    /// Bytes for which `buffer` has no room are lost.
    ///
    /// # Errors
    /// Those of recvfrom(2).
    ///
    /// # Cancel safety
    /// If the future is dropped before it is ready, no datagram was received.
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.io.io(Direction::Read, |socket| socket.recv_from(buffer)).await
    }

    /// Sends `data` as one datagram to the peer set by [`UdpSocket::connect`]. Returns its length
    /// in bytes.
    ///
    /// # Errors
    /// Those of send(2). An earlier datagram that the peer's system refused is reported as
    /// `ConnectionRefused`.
    ///
    /// # Cancel safety
    /// If the future is dropped before it is ready, nothing was sent.
    pub async fn send(&self, data: &[u8]) -> io::Result<usize> {
        self.io.io(Direction::Write, |socket| socket.send(data)).await
    }

    /// Receives a datagram from the peer set by [`UdpSocket::connect`] into `buffer`. Returns its
    /// length in bytes. Bytes for which `buffer` has no room are lost.
    ///
    /// # Errors
    /// Those of recv(2). An earlier datagram that the peer's system refused is reported as
    /// `ConnectionRefused`.
    ///
    /// # Cancel safety
    /// If the future is dropped before it is ready, no datagram was received.
    pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.io.io(Direction::Read, |socket| socket.recv(buffer)).await
    }

    /// Returns the address that the socket is bound to.
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.socket().local_addr()
    }

    /// Returns the peer set by [`UdpSocket::connect`].
    ///
    /// # Errors
    /// Those of getpeername(2).
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.io.socket().peer_addr()
    }

    pub(super) fn socket(&self) -> &mio::net::UdpSocket {
        self.io.socket()
    }
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.io.socket().fmt(f)
    }
}
