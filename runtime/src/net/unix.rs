//! Unix domain sockets, see unix(7).

use std::fmt;
use std::io;
use std::os::unix::net::SocketAddr;
use std::path::Path;

use crate::executor::selector::Direction;
use crate::net::registered::Registered;

/// A socket in the file system that connections come to. Dropping it leaves the file.
pub struct UnixListener {
    io: Registered<mio::net::UnixListener>,
}

impl UnixListener {
    /// Makes the socket file `path` and listens there.
    ///
    /// # Errors
    /// Those of socket(2), bind(2) and listen(2): `AddrInUse` if the file exists.
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self { io: Registered::new(mio::net::UnixListener::bind(path)?, Direction::Read)? })
    }

    /// Takes over a listening socket.
    ///
    /// # Errors
    /// If it cannot be made non-blocking, or cannot be registered.
    ///
    /// # Panics
    /// If there is no event loop on this thread.
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
    pub async fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let (stream, peer) = self.io.io(Direction::Read, mio::net::UnixListener::accept).await?;
        Ok((UnixStream { io: Registered::lazy(stream) }, peer))
    }

    /// The address that this socket listens at.
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.socket().local_addr()
    }
}

/// A connection to a socket in the file system, or to the other end of a pair.
pub struct UnixStream {
    io: Registered<mio::net::UnixStream>,
}

impl UnixStream {
    /// Connects to the socket file `path`.
    ///
    /// # Errors
    /// Those of socket(2) and connect(2).
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        let io = Registered::new(mio::net::UnixStream::connect(path)?, Direction::Write)?;
        io.ready(Direction::Write).await;
        match io.socket().take_error()? {
            Some(error) => Err(error),
            None => Ok(Self { io }),
        }
    }

    /// Two streams connected to each other.
    ///
    /// # Errors
    /// Those of socketpair(2).
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = mio::net::UnixStream::pair()?;
        Ok((Self { io: Registered::lazy(one) }, Self { io: Registered::lazy(other) }))
    }

    /// Takes over a connected stream.
    ///
    /// # Errors
    /// If it cannot be made non-blocking.
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    pub fn from_std(stream: std::os::unix::net::UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { io: Registered::lazy(mio::net::UnixStream::from_std(stream)) })
    }

    /// The stream without its loop, still non-blocking.
    ///
    /// # Errors
    /// If it cannot be deregistered.
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixStream> {
        Ok(self.io.into_inner()?.into())
    }

    /// The address of this end.
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.socket().local_addr()
    }

    /// The address of the other end.
    ///
    /// # Errors
    /// Those of getpeername(2).
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.io.socket().peer_addr()
    }
}

stream_methods!(UnixStream);

impl fmt::Debug for UnixListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.io.socket().fmt(f)
    }
}
