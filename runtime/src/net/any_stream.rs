//! A connection over TCP or over a Unix socket.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use socket2::SockRef;

use crate::net::any_socket::AnySocket;
use crate::net::peer_addr::PeerAddr;
use crate::net::registered::{Entry, Registered};
use crate::net::tcp_stream::TcpStream;
use crate::net::unix::UnixStream;

/// A connection over TCP or over a Unix socket, such as those of a server that listens at both.
///
/// Reads and writes take `&self`, and it implements futures-io's traits, like [`TcpStream`]. For
/// what only one kind has, convert it by [`TcpStream::try_from`] or [`UnixStream::try_from`]; that
/// makes no system call. Its [`AsFd`] is for options that have no method here, such as
/// `SO_PEERCRED`, the process and user of a Unix peer (unix(7)).
///
/// # Examples
/// ```
/// use brigade_runtime::net::{AnyStream, TcpStream, UnixStream};
///
/// brigade_runtime::run(async {
///     let (one, other) = UnixStream::pair().unwrap();
///     let (one, other) = (AnyStream::from(one), AnyStream::from(other));
///     one.write_all(b"hello").await.unwrap();
///     let mut buffer = [0; 5];
///     other.read_exact(&mut buffer).await.unwrap();
///     // It is returned if it is of another kind.
///     let other = TcpStream::try_from(other).unwrap_err();
///     assert!(UnixStream::try_from(other).is_ok());
/// });
/// ```
pub struct AnyStream {
    io: Registered<AnySocket>,
}

impl AnyStream {
    /// Returns a stream that has an entry in the selector of this thread's loop.
    pub(crate) fn with_entry(entry: Entry, socket: AnySocket) -> Self {
        Self { io: Registered::with_entry(entry, socket) }
    }

    /// Returns `true` if this is a connection over a Unix socket.
    #[must_use]
    pub fn is_unix(&self) -> bool {
        self.io.socket().is_unix()
    }

    /// Returns the address of the peer.
    ///
    /// # Errors
    /// Those of getpeername(2), such as `NotConnected` if the connection is gone.
    pub fn peer_addr(&self) -> io::Result<PeerAddr> {
        match SockRef::from(self).peer_addr()?.as_socket() {
            Some(address) => Ok(PeerAddr::Tcp(address)),
            None => Ok(PeerAddr::Unix),
        }
    }

    /// Sets `SO_LINGER` (socket(7)). With a duration of zero, closing a TCP stream resets the
    /// connection and discards the bytes that were not sent yet. Has no effect on a Unix socket.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        SockRef::from(self).set_linger(linger)
    }
}

stream_methods!(AnyStream);

impl AsFd for AnyStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.socket().as_fd()
    }
}

impl From<TcpStream> for AnyStream {
    fn from(stream: TcpStream) -> Self {
        let socket = |tcp| AnySocket::tcp(std::net::TcpStream::from(tcp).into());
        Self { io: stream.into_registered().map(socket) }
    }
}

impl From<UnixStream> for AnyStream {
    fn from(stream: UnixStream) -> Self {
        let socket = |unix| AnySocket::unix(std::os::unix::net::UnixStream::from(unix).into());
        Self { io: stream.into_registered().map(socket) }
    }
}

impl TryFrom<AnyStream> for TcpStream {
    /// The stream, if it is of another kind.
    type Error = AnyStream;

    fn try_from(stream: AnyStream) -> Result<Self, AnyStream> {
        if stream.is_unix() {
            return Err(stream);
        }
        let socket = |any: AnySocket| mio::net::TcpStream::from_std(any.into_fd().into());
        Ok(Self::from_registered(stream.io.map(socket)))
    }
}

impl TryFrom<AnyStream> for UnixStream {
    /// The stream, if it is of another kind.
    type Error = AnyStream;

    fn try_from(stream: AnyStream) -> Result<Self, AnyStream> {
        if !stream.is_unix() {
            return Err(stream);
        }
        let socket = |any: AnySocket| mio::net::UnixStream::from_std(any.into_fd().into());
        Ok(Self::from_registered(stream.io.map(socket)))
    }
}
