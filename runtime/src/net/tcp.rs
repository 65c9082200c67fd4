//! TCP.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{Shutdown, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use rustix::event::{PollFd, PollFlags, Timespec};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::executor::selector::Direction;
use crate::net::registered::Registered;
use crate::threads::blocking::spawn_blocking;

/// Connections that the kernel holds for an accept, as far as `net.core.somaxconn` lets it.
pub(crate) const BACKLOG: i32 = 4096;

/// A socket that connections come to.
pub struct TcpListener {
    io: Registered<mio::net::TcpListener>,
}

impl TcpListener {
    /// Listens at `address`; port 0 lets the system choose one, see [`TcpListener::local_addr`].
    /// With reuse-address, so that a server that was just stopped can start again at once, and a
    /// backlog of 4096.
    ///
    /// # Errors
    /// Those of socket(2), bind(2) and listen(2); most likely `AddrInUse`.
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        Self::from_std(listen(address)?)
    }

    /// Takes over a listening socket.
    ///
    /// # Errors
    /// If it cannot be made non-blocking, or cannot be registered.
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        if NODELAY_IS_INHERITED {
            SockRef::from(&listener).set_tcp_nodelay(true)?;
        }
        Ok(Self {
            io: Registered::new(mio::net::TcpListener::from_std(listener), Direction::Read)?,
        })
    }

    /// Waits for a connection, and returns it with the peer's address. Its nodelay is set.
    ///
    /// # Errors
    /// Those of accept(2). Some concern only the connection that was to be accepted
    /// (`ConnectionAborted`), some the whole process (no descriptor left).
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = self.accept_std().await?;
        Ok((TcpStream::from_nonblocking(stream), peer))
    }

    /// Like [`TcpListener::accept`], but for another loop: the stream is non-blocking already.
    ///
    /// # Errors
    /// Those of accept(2).
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
        Poll::Ready(accepted.map(|(stream, peer)| (prepare(stream), peer)))
    }

    /// A connection that is there already.
    ///
    /// # Errors
    /// `WouldBlock` if there is none, and those of accept(2).
    pub fn try_accept_std(&self) -> io::Result<(std::net::TcpStream, SocketAddr)> {
        let (stream, peer) = self.io.attempt(Direction::Read, mio::net::TcpListener::accept)?;
        Ok((prepare(stream), peer))
    }

    /// Waits until there is most likely a connection to accept.
    pub async fn readable(&self) {
        self.io.ready(Direction::Read).await;
    }

    /// The socket without its loop, still non-blocking.
    ///
    /// # Errors
    /// If it cannot be deregistered.
    pub fn into_std(self) -> io::Result<std::net::TcpListener> {
        Ok(self.io.into_inner()?.into())
    }

    /// The address that this socket listens at.
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.socket().local_addr()
    }
}

/// Whether accept(2) would give a connection. An accept that gives none costs more than to ask: the
/// system has made a socket and a file by then. If it cannot be told there may be one.
fn has_connection(listener: &mio::net::TcpListener) -> bool {
    let mut listener = [PollFd::new(listener, PollFlags::IN)];
    rustix::event::poll(&mut listener, Some(&Timespec::default())) != Ok(0)
}

/// A listening socket at `address`, for [`TcpListener::from_std`]; it needs no loop. With
/// reuse-address and a backlog of 4096.
///
/// # Errors
/// Those of socket(2), bind(2) and listen(2); most likely `AddrInUse`.
pub fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = stream_socket(address)?;
    bind_and_listen(socket, address)
}

/// Has a socket that was made elsewhere listen, with the backlog of [`listen`]; one that listens
/// already gets that backlog.
///
/// # Errors
/// Those of listen(2): `InvalidInput` if it is connected.
pub fn listen_on(socket: std::net::TcpListener) -> io::Result<std::net::TcpListener> {
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Like [`listen`], but several such sockets may listen at the same address, among which the
/// kernel spreads the connections by a hash of their addresses (`SO_REUSEPORT`, socket(7)). To
/// share a port that the system chose, the others are given the address of the first one.
///
/// A socket without this option does not share its port with them, nor do those of another user.
/// But another process of the same user may take a part of the connections, and nobody is told.
///
/// # Errors
/// Those of socket(2), bind(2) and listen(2), such as `AddrInUse`; `Unsupported` on systems other
/// than Linux and Android, where the option is missing or does not spread the connections.
pub fn listen_reuse_port(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = stream_socket(address)?;
    share_port(&socket)?;
    bind_and_listen(socket, address)
}

fn stream_socket(address: SocketAddr) -> io::Result<Socket> {
    Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn share_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(true)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn share_port(_: &Socket) -> io::Result<()> {
    let why = "this system does not spread connections over listeners of one port";
    Err(io::Error::new(io::ErrorKind::Unsupported, why))
}

fn bind_and_listen(socket: Socket, address: SocketAddr) -> io::Result<std::net::TcpListener> {
    // On Windows this option would let another process take the address.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Whether an accepted socket has nodelay if its listener has: one system call less for each.
const NODELAY_IS_INHERITED: bool = cfg!(target_os = "linux");

/// An accepted stream with nodelay: what is written goes out at once.
fn prepare(stream: mio::net::TcpStream) -> std::net::TcpStream {
    if !NODELAY_IS_INHERITED {
        // Fails only on a connection that is gone, which the first read says better.
        let _ = stream.set_nodelay(true);
    }
    stream.into()
}

/// A connection.
///
/// Reading and writing take `&self`: one task may read while another one writes. It is also an
/// [`AsyncRead`] and [`AsyncWrite`] of futures-io, as is a reference to it.
pub struct TcpStream {
    io: Registered<mio::net::TcpStream>,
}

impl TcpStream {
    /// Connects to `address`. Of several addresses each is tried until one connects.
    /// A host name is looked up on the blocking pool.
    ///
    /// # Errors
    /// Those of the last address that was tried, or of the look-up.
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    pub async fn connect<A>(address: A) -> io::Result<Self>
    where
        A: ToSocketAddrs + Send + 'static,
    {
        let found = spawn_blocking(move || address.to_socket_addrs().map(Vec::from_iter)).await;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in found.map_err(io::Error::other)?? {
            match Self::connect_to(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Connects to `address`, with nodelay set.
    ///
    /// # Errors
    /// Those of socket(2) and connect(2).
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    pub async fn connect_to(address: SocketAddr) -> io::Result<Self> {
        let io = Registered::new(mio::net::TcpStream::connect(address)?, Direction::Write)?;
        loop {
            io.ready(Direction::Write).await;
            if let Some(error) = io.socket().take_error()? {
                return Err(error);
            }
            match io.attempt(Direction::Write, mio::net::TcpStream::peer_addr) {
                Ok(_) => break,
                // Not connected yet: the event was a spurious one.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                    io.would_block(Direction::Write)?;
                }
                Err(error) => return Err(error),
            }
        }
        let _ = io.socket().set_nodelay(true);
        Ok(Self { io })
    }

    /// Takes over a stream, for instance one that another loop accepted.
    ///
    /// # Errors
    /// If it cannot be made non-blocking.
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self::from_nonblocking(stream))
    }

    /// Takes over a stream that is non-blocking already, which spares a system call.
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    #[doc(hidden)]
    #[must_use]
    pub fn from_nonblocking(stream: std::net::TcpStream) -> Self {
        Self { io: Registered::lazy(mio::net::TcpStream::from_std(stream)) }
    }

    /// The stream without its loop, still non-blocking; to be sent to another one.
    ///
    /// # Errors
    /// If it cannot be deregistered.
    pub fn into_std(self) -> io::Result<std::net::TcpStream> {
        Ok(self.io.into_inner()?.into())
    }

    /// Whether the peer has sent its last byte, or the connection is gone, as far as the selector
    /// has said, which says nothing before something had to wait for this stream. What the peer
    /// sent before may still wait to be read.
    #[must_use]
    pub fn is_read_closed(&self) -> bool {
        self.io.is_read_closed()
    }

    /// Whether nothing more can be written, as far as the selector has said, which says nothing
    /// before something had to wait for this stream: the peer has reset the connection, or both
    /// sides are closed.
    #[must_use]
    pub fn is_write_closed(&self) -> bool {
        self.io.is_write_closed()
    }

    /// Ready when [`TcpStream::is_read_closed`]: tells a waiting task that its peer is going, and
    /// reads nothing. Ready as well if the stream cannot be registered with the selector.
    pub fn poll_read_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.io.poll_read_closed(cx)
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
    /// Those of getpeername(2), such as `NotConnected` when the connection is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.io.socket().peer_addr()
    }

    /// Whether small writes go out at once (`TCP_NODELAY`).
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn nodelay(&self) -> io::Result<bool> {
        self.io.socket().nodelay()
    }

    /// Whether small writes go out at once: so it is unless this is called with `false`.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.io.socket().set_nodelay(nodelay)
    }

    /// What closing does while written bytes are on their way: with zero it resets the
    /// connection and drops them (`SO_LINGER`).
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        SockRef::from(self.io.socket()).set_linger(linger)
    }

    /// Borrows both directions, each to be used by itself.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        (ReadHalf { stream: self }, WriteHalf { stream: self })
    }

    /// Both directions as values, for two tasks of this loop. Dropping the writing half ends the
    /// direction (FIN); the connection closes when both are gone.
    #[must_use]
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        let stream = Rc::new(self);
        (OwnedReadHalf { stream: stream.clone() }, OwnedWriteHalf { stream })
    }
}

stream_methods!(TcpStream);

/// The reading direction of a borrowed [`TcpStream`].
#[derive(Debug)]
pub struct ReadHalf<'a> {
    stream: &'a TcpStream,
}

/// The writing direction of a borrowed [`TcpStream`].
#[derive(Debug)]
pub struct WriteHalf<'a> {
    stream: &'a TcpStream,
}

/// The reading direction of a [`TcpStream`].
#[derive(Debug)]
pub struct OwnedReadHalf {
    stream: Rc<TcpStream>,
}

/// The writing direction of a [`TcpStream`]. Dropping it ends the direction.
#[derive(Debug)]
pub struct OwnedWriteHalf {
    stream: Rc<TcpStream>,
}

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        // Fails only on a connection that is gone.
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

macro_rules! halves {
    ($Read:ty, $Write:ty) => {
        impl $Read {
            /// See [`TcpStream::read`].
            ///
            /// # Errors
            /// Those of recv(2).
            pub async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.stream.read(buffer).await
            }

            /// The connection of which this is a half.
            #[must_use]
            pub fn stream(&self) -> &TcpStream {
                &self.stream
            }
        }

        impl $Write {
            /// See [`TcpStream::write`].
            ///
            /// # Errors
            /// Those of send(2).
            pub async fn write(&mut self, data: &[u8]) -> io::Result<usize> {
                self.stream.write(data).await
            }

            /// See [`TcpStream::write_all`].
            ///
            /// # Errors
            /// Those of send(2).
            pub async fn write_all(&mut self, data: &[u8]) -> io::Result<()> {
                self.stream.write_all(data).await
            }

            /// The connection of which this is a half.
            #[must_use]
            pub fn stream(&self) -> &TcpStream {
                &self.stream
            }
        }

        impl AsyncRead for $Read {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                self.stream.io.poll_read(cx, buffer)
            }
        }

        impl AsyncWrite for $Write {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                data: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.stream.io.poll_write(cx, data)
            }

            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(self.stream.shutdown(Shutdown::Write))
            }
        }
    };
}

halves!(ReadHalf<'_>, WriteHalf<'_>);
halves!(OwnedReadHalf, OwnedWriteHalf);

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.io.socket().fmt(f)
    }
}
