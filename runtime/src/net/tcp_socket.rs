//! The options of a TCP socket that must be set before it listens or connects.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

/// A TCP socket that neither listens nor is connected yet: a builder of
/// [`TcpListener`](crate::net::TcpListener) and [`TcpStream`](crate::net::TcpStream).
///
/// It needs no event loop until [`TcpSocket::listen`] or [`TcpSocket::connect`]. `TCP_NODELAY` is
/// set from the beginning. For options that have no method here, use the socket's [`AsFd`].
///
/// # Examples
/// ```
/// use brigade_runtime::net::TcpSocket;
///
/// brigade_runtime::run(async {
///     let socket = TcpSocket::new_v4().unwrap();
///     socket.set_reuseaddr(true).unwrap();
///     socket.set_recv_buffer_size(64 * 1024).unwrap();
///     socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
///     let listener = socket.listen(1024).unwrap();
///     assert_ne!(listener.local_addr().unwrap().port(), 0);
/// });
/// ```
#[derive(Debug)]
pub struct TcpSocket {
    socket: Socket,
}

impl TcpSocket {
    /// Creates a socket for IPv4 addresses.
    ///
    /// # Errors
    /// Those of socket(2), such as too many open files.
    pub fn new_v4() -> io::Result<Self> {
        Self::new(Domain::IPV4)
    }

    /// Creates a socket for IPv6 addresses. Bound to the unspecified address, it also accepts
    /// connections over IPv4 if the system's settings allow it, see [`TcpSocket::set_only_v6`].
    ///
    /// # Errors
    /// Those of socket(2), such as too many open files.
    pub fn new_v6() -> io::Result<Self> {
        Self::new(Domain::IPV6)
    }

    /// Creates a socket of the family of `address`.
    ///
    /// # Errors
    /// Those of socket(2), such as too many open files.
    pub fn for_address(address: &SocketAddr) -> io::Result<Self> {
        Self::new(Domain::for_address(*address))
    }

    fn new(domain: Domain) -> io::Result<Self> {
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        Ok(Self { socket })
    }

    /// Takes over a socket that was created elsewhere, such as one that a service manager passed
    /// (sd_listen_fds(3)). Makes it non-blocking and leaves its other options as they are.
    ///
    /// # Errors
    /// Those of fcntl(2).
    pub fn from_fd(socket: OwnedFd) -> io::Result<Self> {
        let socket = Socket::from(socket);
        socket.set_nonblocking(true)?;
        Ok(Self { socket })
    }

    /// Sets `SO_REUSEADDR` (socket(7)): a server that was stopped can bind its address again while
    /// the system still holds old connections.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_reuseaddr(&self, reuseaddr: bool) -> io::Result<()> {
        self.socket.set_reuse_address(reuseaddr)
    }

    /// Sets `SO_REUSEPORT` (socket(7)): several sockets with this option may listen at the same
    /// address, and the kernel spreads connections over them by a hash of the connection's
    /// addresses and ports. To share a port that the system chose, bind the others to the first
    /// one's address.
    ///
    /// All of these sockets must have this option, and belong to one user. Another process of the
    /// same user can bind the address as well: it then receives a part of the connections, and no
    /// error is reported.
    ///
    /// # Errors
    /// Those of setsockopt(2); `Unsupported` on systems other than Linux and Android, where the
    /// option is missing or does not spread connections.
    pub fn set_reuseport(&self, reuseport: bool) -> io::Result<()> {
        set_reuseport(&self.socket, reuseport)
    }

    /// Sets `TCP_NODELAY` (tcp(7)): small writes are sent at once. On by default. A listener
    /// passes it on to the connections that it accepts.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.socket.set_tcp_nodelay(nodelay)
    }

    /// Returns the value of `TCP_NODELAY`.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn nodelay(&self) -> io::Result<bool> {
        self.socket.tcp_nodelay()
    }

    /// Sets `SO_KEEPALIVE` (socket(7)): the system probes an idle connection, and closes it if the
    /// peer no longer responds. Off by default.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_keepalive(&self, keepalive: bool) -> io::Result<()> {
        self.socket.set_keepalive(keepalive)
    }

    /// Returns the value of `SO_KEEPALIVE`.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn keepalive(&self) -> io::Result<bool> {
        self.socket.keepalive()
    }

    /// Sets `IPV6_V6ONLY` (ipv6(7)): the socket is not used for IPv4. Must be set before
    /// [`TcpSocket::bind`]. The default is a setting of the system.
    ///
    /// # Errors
    /// Those of setsockopt(2), such as for a socket that is not an IPv6 one.
    pub fn set_only_v6(&self, only_v6: bool) -> io::Result<()> {
        self.socket.set_only_v6(only_v6)
    }

    /// Returns the value of `IPV6_V6ONLY`.
    ///
    /// # Errors
    /// Those of getsockopt(2), such as for a socket that is not an IPv6 one.
    pub fn only_v6(&self) -> io::Result<bool> {
        self.socket.only_v6()
    }

    /// Sets `SO_SNDBUF`, the size of the system's send buffer in bytes (socket(7)). Linux doubles
    /// the value, and a system-wide limit applies.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_send_buffer_size(&self, bytes: u32) -> io::Result<()> {
        self.socket.set_send_buffer_size(bytes as usize)
    }

    /// Returns the size of the system's send buffer, in bytes.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn send_buffer_size(&self) -> io::Result<u32> {
        self.socket.send_buffer_size().map(|bytes| bytes as u32)
    }

    /// Sets `SO_RCVBUF`, the size of the system's receive buffer in bytes (socket(7)). Linux
    /// doubles the value, and a system-wide limit applies. A listener passes it on to the
    /// connections that it accepts.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_recv_buffer_size(&self, bytes: u32) -> io::Result<()> {
        self.socket.set_recv_buffer_size(bytes as usize)
    }

    /// Returns the size of the system's receive buffer, in bytes.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn recv_buffer_size(&self) -> io::Result<u32> {
        self.socket.recv_buffer_size().map(|bytes| bytes as u32)
    }

    /// Binds the socket to `address`. With port 0 the system chooses a free port, see
    /// [`TcpSocket::local_addr`].
    ///
    /// # Errors
    /// Those of bind(2), such as `AddrInUse`.
    pub fn bind(&self, address: SocketAddr) -> io::Result<()> {
        self.socket.bind(&address.into())
    }

    /// Returns the address that the socket is bound to.
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        let address = self.socket.local_addr()?;
        address.as_socket().ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "the socket's address is not an IP address")
        })
    }

    /// Listens for connections, without an event loop. The returned socket is non-blocking. It is
    /// meant to be sent to a loop's thread, for
    /// [`TcpListener::from_std`](crate::net::TcpListener::from_std).
    ///
    /// The kernel holds up to `backlog` connections that were not accepted yet, or up to
    /// `net.core.somaxconn` if that is less (listen(2)). If the socket listens already,
    /// this changes its backlog.
    ///
    /// # Errors
    /// Those of listen(2), such as `AddrInUse`; `InvalidInput` if the socket is connected.
    pub fn listen_std(self, backlog: u32) -> io::Result<std::net::TcpListener> {
        self.socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        Ok(self.socket.into())
    }

    /// Starts to connect, without waiting for the result.
    pub(super) fn start_connect(self, address: SocketAddr) -> io::Result<std::net::TcpStream> {
        match rustix::net::connect(&self.socket, &address) {
            // What connect(2) returns for a non-blocking socket.
            Ok(()) | Err(Errno::INPROGRESS) => Ok(self.socket.into()),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for TcpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn set_reuseport(socket: &Socket, reuseport: bool) -> io::Result<()> {
    socket.set_reuse_port(reuseport)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn set_reuseport(_: &Socket, _: bool) -> io::Result<()> {
    let reason = "this system does not spread connections over listeners that share a port";
    Err(io::Error::new(io::ErrorKind::Unsupported, reason))
}
