//! A socket that accepts TCP connections.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::AsFd;
use std::task::{Context, Poll, ready};

use rustix::event::{PollFd, PollFlags, Timespec};
use socket2::SockRef;

use crate::executor::selector::Direction;
use crate::net::addresses::first_that_works;
use crate::net::registered::Registered;
use crate::net::tcp_socket::TcpSocket;
use crate::net::tcp_stream::TcpStream;

/// A TCP socket that listens for connections.
///
/// # Examples
/// ```
/// use brigade_runtime::gather;
/// use brigade_runtime::net::{TcpListener, TcpStream};
///
/// brigade_runtime::run(async {
///     let listener = TcpListener::bind("127.0.0.1:0").unwrap();
///     let address = listener.local_addr().unwrap();
///     let (client, accepted) = gather((TcpStream::connect(address), listener.accept())).await;
///     let (_stream, peer) = accepted.unwrap();
///     assert_eq!(peer, client.unwrap().local_addr().unwrap());
/// });
/// ```
pub struct TcpListener {
    io: Registered<mio::net::TcpListener>,
    /// Whether accepted connections get `TCP_NODELAY`.
    nodelay: bool,
}

/// Whether an accepted socket inherits `TCP_NODELAY` from its listener, which saves a system call
/// per connection.
const NODELAY_IS_INHERITED: bool = cfg!(target_os = "linux");

impl TcpListener {
    /// The backlog of [`TcpListener::bind`].
    pub const BACKLOG: u32 = 4096;

    /// Listens at the first of the addresses that works. With port 0 the system chooses a free
    /// port, see [`TcpListener::local_addr`]. A host name is resolved on this thread, which blocks
    /// the loop meanwhile.
    ///
    /// `SO_REUSEADDR` is set, so that a server that was just stopped can start again at once. The
    /// backlog is [`TcpListener::BACKLOG`]. For other options use [`TcpSocket`].
    ///
    /// # Errors
    /// Those of the name resolution. If no address works, the error names each address with its
    /// error (socket(2), bind(2), listen(2)), such as `AddrInUse`; its kind is that of the last
    /// one. Those of epoll_ctl(2).
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    #[track_caller]
    pub fn bind(addresses: impl ToSocketAddrs) -> io::Result<Self> {
        let listener = first_that_works(addresses, "listen at", |address| {
            let socket = TcpSocket::for_address(&address)?;
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            socket.listen_std(Self::BACKLOG)
        });
        Self::from_nonblocking(listener?, true)
    }

    /// Takes over a listening socket. It becomes non-blocking, and the connections that it accepts
    /// get `TCP_NODELAY`.
    ///
    /// # Errors
    /// Those of fcntl(2), setsockopt(2) and epoll_ctl(2).
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    #[track_caller]
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        if NODELAY_IS_INHERITED {
            SockRef::from(&listener).set_tcp_nodelay(true)?;
        }
        Self::from_nonblocking(listener, true)
    }

    #[track_caller]
    fn from_nonblocking(listener: std::net::TcpListener, nodelay: bool) -> io::Result<Self> {
        let listener = mio::net::TcpListener::from_std(listener);
        Ok(Self { io: Registered::new(listener, Direction::Read)?, nodelay })
    }

    /// Waits for a connection, and returns it with the peer's address. The connection has
    /// `TCP_NODELAY` set, unless the listener was made with [`TcpSocket::set_nodelay`] off.
    ///
    /// # Errors
    /// Those of accept(2). Some concern only the connection that was to be accepted
    /// (`ConnectionAborted`), some the whole process (no file descriptor is left).
    ///
    /// # Cancel safety
    /// If the future is dropped before it is ready, no connection was accepted.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = self.accept_std().await?;
        Ok((TcpStream::from_nonblocking(stream), peer))
    }

    /// Accepts like [`TcpListener::accept`], for another loop: send the stream, which is
    /// non-blocking, to that loop's thread and call [`TcpStream::from_nonblocking`] there.
    ///
    /// # Errors
    /// Those of accept(2).
    ///
    /// # Cancel safety
    /// If the future is dropped before it is ready, no connection was accepted.
    pub async fn accept_std(&self) -> io::Result<(std::net::TcpStream, SocketAddr)> {
        poll_fn(|cx| self.poll_accept_std(cx)).await
    }

    pub(crate) fn poll_accept_std(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(std::net::TcpStream, SocketAddr)>> {
        let accepted = ready!(self.io.poll_io(Direction::Read, cx, mio::net::TcpListener::accept));
        if !has_connection(self.io.socket()) {
            self.io.clear_ready(Direction::Read);
        }
        Poll::Ready(accepted.map(|(stream, peer)| (self.prepare(stream), peer)))
    }

    /// Accepts a connection that waits in the backlog already, like [`TcpListener::accept_std`]
    /// but without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if no connection waits, and those of accept(2).
    pub fn try_accept_std(&self) -> io::Result<(std::net::TcpStream, SocketAddr)> {
        let (stream, peer) = self.io.attempt(Direction::Read, mio::net::TcpListener::accept)?;
        Ok((self.prepare(stream), peer))
    }

    fn prepare(&self, stream: mio::net::TcpStream) -> std::net::TcpStream {
        if !NODELAY_IS_INHERITED && self.nodelay {
            // Fails only if the connection is gone, which the first read reports better.
            let _ = stream.set_nodelay(true);
        }
        stream.into()
    }

    /// Waits until an accept is not expected to return `WouldBlock`.
    ///
    /// # Cancel safety
    /// Safe: dropping the future has no effect.
    pub async fn readable(&self) {
        self.io.ready(Direction::Read).await;
    }

    /// Returns the socket, deregistered from its loop and still non-blocking.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub fn into_std(self) -> io::Result<std::net::TcpListener> {
        Ok(self.io.into_inner()?.into())
    }

    /// Returns the address that the socket listens at.
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.socket().local_addr()
    }
}

/// Returns `true` if poll(2) reports a connection that waits to be accepted, or if poll(2) fails.
///
/// The call costs less than an accept that returns `WouldBlock`, for which the system allocates a
/// socket and a file first.
pub(super) fn has_connection(listener: &impl AsFd) -> bool {
    let mut listener = [PollFd::new(listener, PollFlags::IN)];
    rustix::event::poll(&mut listener, Some(&Timespec::default())) != Ok(0)
}

impl TcpSocket {
    /// Listens for connections on this thread's loop.
    ///
    /// The kernel holds up to `backlog` connections that were not accepted yet, or up to
    /// `net.core.somaxconn` if that is less (listen(2)).
    ///
    /// # Errors
    /// Those of listen(2), such as `AddrInUse`, and those of epoll_ctl(2).
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    #[track_caller]
    pub fn listen(self, backlog: u32) -> io::Result<TcpListener> {
        let nodelay = self.nodelay()?;
        TcpListener::from_nonblocking(self.listen_std(backlog)?, nodelay)
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.io.socket().fmt(f)
    }
}
