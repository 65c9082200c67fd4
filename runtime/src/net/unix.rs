//! Unix domain sockets, see unix(7).

use std::fmt;
use std::io;
use std::os::unix::net::{SocketAddr, UnixStream as StdStream};
use std::path::Path;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::budget::consume_budget;
use crate::executor::selector::Direction;
use crate::net::registered::Registered;
use crate::net::tcp_listener::has_connection;
use crate::time::sleep;

/// A Unix domain socket that listens for connections at a path. Dropping it does not remove the
/// socket file.
pub struct UnixListener {
    io: Registered<mio::net::UnixListener>,
}

impl UnixListener {
    /// Creates the socket file `path` and listens there.
    ///
    /// # Errors
    /// Those of socket(2), bind(2), listen(2) and epoll_ctl(2). `AddrInUse` if the file exists.
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    #[track_caller]
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self { io: Registered::new(mio::net::UnixListener::bind(path)?, Direction::Read)? })
    }

    /// Takes over a listening socket, and makes it non-blocking.
    ///
    /// # Errors
    /// Those of fcntl(2) and epoll_ctl(2).
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    #[track_caller]
    pub fn from_std(listener: std::os::unix::net::UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            io: Registered::new(mio::net::UnixListener::from_std(listener), Direction::Read)?,
        })
    }

    /// Waits for a connection, and returns it with the peer's address.
    ///
    /// # Errors
    /// Those of accept(2).
    ///
    /// # Cancel safety
    /// If the future is dropped before it is ready, no connection was accepted.
    pub async fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let (stream, peer) = self.io.io(Direction::Read, mio::net::UnixListener::accept).await?;
        Ok((UnixStream { io: Registered::lazy(stream) }, peer))
    }

    /// Polls for a connection, which is non-blocking.
    pub(super) fn poll_accept_std(&self, cx: &mut Context<'_>) -> Poll<io::Result<StdStream>> {
        let accepted = ready!(self.io.poll_io(Direction::Read, cx, mio::net::UnixListener::accept));
        if !has_connection(self.io.socket()) {
            self.io.clear_ready(Direction::Read);
        }
        Poll::Ready(accepted.map(|(stream, _)| stream.into()))
    }

    /// Accepts a connection that waits in the backlog already. It is non-blocking.
    ///
    /// # Errors
    /// `WouldBlock` if no connection waits, and those of accept(2).
    pub(super) fn try_accept_std(&self) -> io::Result<StdStream> {
        Ok(self.io.attempt(Direction::Read, mio::net::UnixListener::accept)?.0.into())
    }

    /// Returns the socket, deregistered from its loop and still non-blocking.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixListener> {
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

/// A connection over a Unix domain socket.
///
/// Reads and writes take `&self`, and it implements futures-io's traits, like
/// [`TcpStream`](crate::net::TcpStream).
pub struct UnixStream {
    io: Registered<mio::net::UnixStream>,
}

impl UnixStream {
    /// Connects to the socket file `path`. Waits while the listener's backlog is full.
    ///
    /// # Errors
    /// Those of socket(2) and connect(2).
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    ///
    /// # Cancel safety
    /// If the future is dropped before it is ready, the connection is closed.
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        // The system may refuse at once.
        consume_budget().await;
        let io = Registered::new(connected(path.as_ref()).await?, Direction::Write)?;
        io.ready(Direction::Write).await;
        match io.socket().take_error()? {
            Some(error) => Err(error),
            None => Ok(Self { io }),
        }
    }

    /// Creates two streams that are connected to each other.
    ///
    /// # Errors
    /// Those of socketpair(2).
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    #[track_caller]
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = mio::net::UnixStream::pair()?;
        Ok((Self { io: Registered::lazy(one) }, Self { io: Registered::lazy(other) }))
    }

    /// Takes over a connected stream, and makes it non-blocking.
    ///
    /// # Errors
    /// Those of fcntl(2).
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    #[track_caller]
    pub fn from_std(stream: std::os::unix::net::UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { io: Registered::lazy(mio::net::UnixStream::from_std(stream)) })
    }

    pub(super) fn from_registered(io: Registered<mio::net::UnixStream>) -> Self {
        Self { io }
    }

    pub(super) fn into_registered(self) -> Registered<mio::net::UnixStream> {
        self.io
    }

    /// Returns the stream, deregistered from its loop and still non-blocking.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixStream> {
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
    /// Those of getpeername(2).
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.io.socket().peer_addr()
    }
}

/// The pauses between attempts to connect while a backlog is full: each is twice the one before, up
/// to the longest.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(20);

/// Connects, again while the listener's backlog is full. connect(2) returns `EAGAIN` then, and no
/// event reports that there is room.
async fn connected(path: &Path) -> io::Result<mio::net::UnixStream> {
    let mut pause = PAUSE_MIN;
    loop {
        match mio::net::UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(pause).await,
            result => return result,
        }
        pause = PAUSE_MAX.min(pause * 2);
    }
}

stream_methods!(UnixStream);

impl fmt::Debug for UnixListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.io.socket().fmt(f)
    }
}
