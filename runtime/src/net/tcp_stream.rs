//! A TCP connection.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use socket2::SockRef;

use crate::budget::consume_budget;
use crate::executor::selector::Direction;
use crate::net::connect::connect_first;
use crate::net::registered::Registered;
use crate::net::tcp_socket::TcpSocket;
use crate::threads::lookup::spawn_lookup;

/// A TCP connection.
///
/// Reads and writes take `&self`: one task may read while another one writes. The stream also
/// implements [`AsyncRead`](futures_io::AsyncRead) and [`AsyncWrite`](futures_io::AsyncWrite) of
/// futures-io, and so does a reference to it.
///
/// `TCP_NODELAY` is set on connections that are accepted, and on those that
/// [`TcpStream::connect`] opens.
pub struct TcpStream {
    io: Registered<mio::net::TcpStream>,
}

impl TcpStream {
    /// Connects to the first of the addresses that accepts a connection. A host name is resolved
    /// on a thread for name lookups, of which there are at most 64.
    ///
    /// The next address is tried when an attempt fails, or has taken 250 ms; earlier attempts
    /// continue meanwhile. IPv6 and IPv4 addresses take turns, beginning with the family of the
    /// first one ("Happy Eyeballs", RFC 8305).
    ///
    /// # Errors
    /// Those of the name resolution. If no address accepts a connection, the error names each
    /// address with its error (socket(2), connect(2)); its kind is that of the last one.
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    ///
    /// # Cancel safety
    /// If the future is dropped before it is ready, a connection that was being opened is closed.
    pub async fn connect<A>(address: A) -> io::Result<Self>
    where
        A: ToSocketAddrs + Send + 'static,
    {
        let found = spawn_lookup(move || address.to_socket_addrs().map(Vec::from_iter)).await;
        connect_first(found.map_err(io::Error::other)??, Self::connect_to).await
    }

    /// Connects to `address`, without the name resolution of [`TcpStream::connect`].
    ///
    /// # Errors
    /// Those of socket(2) and connect(2). `ConnectionRefused` also if the system has connected the
    /// socket to itself, which can happen if `address` is a free port of this machine.
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    ///
    /// # Cancel safety
    /// If the future is dropped before it is ready, a connection that was being opened is closed.
    pub async fn connect_to(address: SocketAddr) -> io::Result<Self> {
        // The system may refuse at once.
        consume_budget().await;
        let stream = Self::connected(mio::net::TcpStream::connect(address)?).await?;
        let _ = stream.io.socket().set_nodelay(true);
        Ok(stream)
    }

    /// Waits until `stream`, which is being connected, is connected.
    async fn connected(stream: mio::net::TcpStream) -> io::Result<Self> {
        let io = Registered::new(stream, Direction::Write)?;
        loop {
            io.ready(Direction::Write).await;
            if let Some(error) = io.socket().take_error()? {
                return Err(error);
            }
            match io.attempt(Direction::Write, mio::net::TcpStream::peer_addr) {
                Ok(peer) if peer == io.socket().local_addr()? => return Err(refuse_self(&io)),
                Ok(_) => return Ok(Self { io }),
                // Not connected yet: the event was spurious.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                    io.would_block(Direction::Write)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes over a connected stream, such as one that another loop accepted, and makes it
    /// non-blocking. Its other options stay as they are.
    ///
    /// # Errors
    /// Those of fcntl(2).
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    #[track_caller]
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self::from_nonblocking(stream))
    }

    /// Takes over a connected stream that is non-blocking already, which saves the system call of
    /// [`TcpStream::from_std`]: one that [`TcpListener::accept_std`] or [`TcpStream::into_std`]
    /// returned.
    ///
    /// A read or write on a blocking stream would block the loop.
    ///
    /// [`TcpListener::accept_std`]: crate::net::TcpListener::accept_std
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    #[must_use]
    #[track_caller]
    pub fn from_nonblocking(stream: std::net::TcpStream) -> Self {
        Self { io: Registered::lazy(mio::net::TcpStream::from_std(stream)) }
    }

    pub(super) fn from_registered(io: Registered<mio::net::TcpStream>) -> Self {
        Self { io }
    }

    pub(super) fn into_registered(self) -> Registered<mio::net::TcpStream> {
        self.io
    }

    /// Returns the stream, deregistered from its loop and still non-blocking. It can be sent to
    /// another thread, for [`TcpStream::from_nonblocking`] there.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub fn into_std(self) -> io::Result<std::net::TcpStream> {
        Ok(self.io.into_inner()?.into())
    }

    /// Returns the address of this end.
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.socket().local_addr()
    }

    /// Returns the address of the peer.
    ///
    /// # Errors
    /// Those of getpeername(2), such as `NotConnected` if the connection is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.io.socket().peer_addr()
    }

    /// Returns the value of `TCP_NODELAY` (tcp(7)): whether small writes are sent at once.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn nodelay(&self) -> io::Result<bool> {
        self.io.socket().nodelay()
    }

    /// Sets `TCP_NODELAY` (tcp(7)): whether small writes are sent at once.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.io.socket().set_nodelay(nodelay)
    }

    /// Sets `SO_LINGER` (socket(7)). With a duration of zero, closing the stream resets the
    /// connection and discards the bytes that were not sent yet.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        SockRef::from(self.io.socket()).set_linger(linger)
    }
}

impl TcpSocket {
    /// Connects to `address` on this thread's loop.
    ///
    /// # Errors
    /// Those of connect(2). `ConnectionRefused` also if `address` is the socket's own.
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    ///
    /// # Cancel safety
    /// If the future is dropped before it is ready, the socket is closed.
    pub async fn connect(self, address: SocketAddr) -> io::Result<TcpStream> {
        consume_budget().await;
        let stream = mio::net::TcpStream::from_std(self.start_connect(address)?);
        TcpStream::connected(stream).await
    }
}

/// Returns the error for a socket that is connected to itself: nobody listened at the port, and the
/// system chose it as the local one (simultaneous open, RFC 9293, section 3.5). The socket is reset
/// when it is dropped, so that its port is free at once.
fn refuse_self(io: &Registered<mio::net::TcpStream>) -> io::Error {
    let _ = SockRef::from(io.socket()).set_linger(Some(Duration::ZERO));
    io::Error::new(io::ErrorKind::ConnectionRefused, "the socket has connected to itself")
}

stream_methods!(TcpStream);
