//! The listening sockets of a server, and who accepts from them.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;

use socket2::{SockRef, Type};

use crate::net::{self, AnyListener, TcpSocket};
use crate::server::acceptor::Acceptor;
use crate::server::connection_queue::ConnectionReceiver;
use crate::server::loop_acceptor::LoopAcceptor;
use crate::server::socket_file::{SocketFile, UnixPath};

/// How many bytes that the peer cannot take yet the system queues for each connection. Beyond that
/// a write waits. Without a limit, megabytes are accepted for a peer that reads nothing, and a
/// protocol cannot see how slow its peer is. A quarter of it would make large downloads cost a
/// third more: docs/decisions/0014-large-bodies.md.
#[cfg(target_os = "linux")]
const UNSENT_BYTES_MAX: u32 = 1024 * 1024;

/// A socket that listens and that no loop has yet.
#[derive(Debug)]
pub(super) enum BoundListener {
    Tcp(TcpListener),
    /// The file is that of a socket that this process has bound. It is removed before the socket is
    /// closed, so it comes first.
    Unix(Option<SocketFile>, UnixListener),
}

/// What a server accepts from.
pub(super) struct Listeners {
    /// The files of the Unix sockets, which are removed before the sockets are closed.
    files: Vec<SocketFile>,
    /// The acceptor accepts from these for all loops.
    shared: Vec<AnyListener>,
    /// Each loop accepts for itself, from the listeners at its index. These are kept so that the
    /// backlog of a loop that died is not lost. Empty if no loop does.
    per_loop: Vec<Vec<BoundListener>>,
}

/// Where the connections of one loop come from. It is sent to that loop.
pub(super) struct LoopListener {
    receiver: ConnectionReceiver,
    /// The loop's own listeners, if it accepts for itself.
    own: Vec<BoundListener>,
}

/// Listens at the first of the addresses that works.
///
/// # Errors
/// The error of the last address, with that address in the message.
pub(super) fn bind(address: impl ToSocketAddrs) -> io::Result<BoundListener> {
    let mut last = io::Error::new(io::ErrorKind::InvalidInput, "the name has no address");
    for address in address.to_socket_addrs()? {
        match listen(address) {
            Ok(listener) => return Ok(BoundListener::Tcp(listener)),
            Err(error) => last = at(address, &error),
        }
    }
    Err(last)
}

/// Makes `listener` listen with the default backlog, whether it listens already or not.
///
/// # Errors
/// If `listener` is no internet socket, and those of listen(2).
pub(super) fn listen_on(listener: TcpListener) -> io::Result<BoundListener> {
    listener.local_addr()?;
    Ok(BoundListener::Tcp(start(TcpSocket::from_fd(OwnedFd::from(listener))?)?))
}

/// Creates a socket file and listens there.
///
/// # Errors
/// Those of [`UnixPath::listen`].
pub(super) fn bind_unix(path: &UnixPath) -> io::Result<BoundListener> {
    let (listener, file) = path.listen()?;
    Ok(BoundListener::Unix(Some(file), listener))
}

/// Makes `listener` listen with the default backlog, whether it listens already or not.
///
/// # Errors
/// If `listener` is no Unix stream socket, and those of listen(2).
pub(super) fn listen_on_unix(listener: UnixListener) -> io::Result<BoundListener> {
    listener.local_addr()?;
    let socket = SockRef::from(&listener);
    if socket.r#type()? != Type::STREAM {
        let reason = "the Unix socket is no stream socket (SOCK_STREAM)";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    socket.listen(net::TcpListener::BACKLOG.try_into().unwrap_or(i32::MAX))?;
    Ok(BoundListener::Unix(None, listener))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::for_address(&address)?;
    // So that a server that was just stopped can start again at once.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    start(socket)
}

/// Listens at an address that a socket with `SO_REUSEPORT` listens at already.
fn listen_sharing_port(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::for_address(&address)?;
    socket.set_reuseport(true)?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    start(socket)
}

/// Makes a socket that is bound listen.
fn start(socket: TcpSocket) -> io::Result<TcpListener> {
    limit_unsent(&socket);
    socket.listen_std(net::TcpListener::BACKLOG)
}

/// Sets [`UNSENT_BYTES_MAX`] for the connections of `listener`, which inherit it
/// (`TCP_NOTSENT_LOWAT`, tcp(7)). Where that fails, there is no limit.
#[cfg_attr(not(target_os = "linux"), allow(unused_variables, reason = "there is no such option"))]
fn limit_unsent(listener: &TcpSocket) {
    #[cfg(target_os = "linux")]
    if let Err(error) = SockRef::from(listener).set_tcp_notsent_lowat(UNSENT_BYTES_MAX) {
        tracing::debug!(target: "brigade::server", %error, "unsent bytes are not limited");
    }
}

/// Lets sockets that bind later share the port of `listener` (`SO_REUSEPORT`, socket(7)).
fn share_port(listener: &TcpListener) -> io::Result<()> {
    TcpSocket::from_fd(OwnedFd::from(listener.try_clone()?))?.set_reuseport(true)
}

/// Makes a socket for each loop at the port of `first`, which becomes that of the first loop.
fn share_with_loops(first: TcpListener, loops: &mut [Vec<BoundListener>]) -> io::Result<()> {
    let address = first.local_addr()?;
    share_port(&first).map_err(|error| at(address, &error))?;
    for listeners in &mut loops[1..] {
        let listener = listen_sharing_port(address).map_err(|error| at(address, &error))?;
        listeners.push(BoundListener::Tcp(listener));
    }
    loops[0].push(BoundListener::Tcp(first));
    Ok(())
}

fn at(address: SocketAddr, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot listen at {address}: {error}"))
}

impl BoundListener {
    /// Returns the address, if this listens at a TCP address.
    pub(super) fn tcp_addr(&self) -> Option<io::Result<SocketAddr>> {
        match self {
            Self::Tcp(listener) => Some(listener.local_addr()),
            Self::Unix(..) => None,
        }
    }

    /// Returns the path of the socket file that this process has created.
    pub(super) fn unix_path(&self) -> Option<&Path> {
        match self {
            Self::Unix(Some(file), _) => Some(file.path()),
            Self::Unix(None, _) | Self::Tcp(_) => None,
        }
    }

    fn take_file(&mut self) -> Option<SocketFile> {
        match self {
            Self::Unix(file, _) => file.take(),
            Self::Tcp(_) => None,
        }
    }

    fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(listener) => Self::Tcp(listener.try_clone()?),
            Self::Unix(_, listener) => Self::Unix(None, listener.try_clone()?),
        })
    }

    /// Returns the listener, registered with the selector of this thread's loop.
    fn register(self) -> io::Result<AnyListener> {
        Ok(match self {
            Self::Tcp(listener) => net::TcpListener::from_std(listener)?.into(),
            Self::Unix(_, listener) => net::UnixListener::from_std(listener)?.into(),
        })
    }
}

impl Listeners {
    /// Distributes `bound` over `loops` loops.
    ///
    /// # Errors
    /// If further listeners are needed and cannot be bound.
    pub(super) fn new(
        mut bound: Vec<BoundListener>,
        per_loop: bool,
        loops: usize,
    ) -> io::Result<Self> {
        let files = bound.iter_mut().filter_map(BoundListener::take_file).collect();
        if loops == 1 {
            return Ok(Self { shared: Vec::new(), per_loop: vec![bound], files });
        }
        let mut shared = Vec::new();
        let mut own: Vec<Vec<_>> =
            (0..if per_loop { loops } else { 0 }).map(|_| Vec::new()).collect();
        for listener in bound {
            match listener {
                BoundListener::Tcp(first) if per_loop => share_with_loops(first, &mut own)?,
                // The kernel spreads no connections over Unix sockets.
                listener => shared.push(listener.register()?),
            }
        }
        Ok(Self { shared, per_loop: own, files })
    }

    /// Returns where the connections of a loop come from.
    ///
    /// # Errors
    /// If no descriptor is left for the duplicate of a listener.
    pub(super) fn for_loop(
        &self,
        index: usize,
        receiver: ConnectionReceiver,
    ) -> io::Result<LoopListener> {
        let own = match self.per_loop.get(index) {
            None => Vec::new(),
            Some(own) => own.iter().map(BoundListener::try_clone).collect::<io::Result<_>>()?,
        };
        Ok(LoopListener { receiver, own })
    }

    /// Accepts for the loops, and looks after loops that accept for themselves. Never ends.
    pub(super) async fn accept(&self, acceptor: &mut Acceptor) {
        match self.shared.is_empty() {
            true => acceptor.supervise().await,
            false => acceptor.accept_from(&self.shared).await,
        }
        // Every loop has died, which the supervisor reports.
        std::future::pending::<()>().await;
    }

    /// Accepts what waits in the backlogs, and closes the listeners. What waits for a loop that is
    /// stuck or has died is served by another one.
    pub(super) async fn close(self, acceptor: &mut Acceptor) {
        // First, so that no client connects to a socket whose backlog was served already.
        drop(self.files);
        for listener in self.shared {
            acceptor.accept_waiting(&listener).await;
        }
        for listener in self.per_loop.into_iter().flatten() {
            let served = match listener.register() {
                Ok(listener) => {
                    acceptor.accept_waiting(&listener).await;
                    // The loop has a duplicate.
                    listener.close()
                }
                Err(error) => Err(error),
            };
            if let Err(error) = served {
                tracing::warn!(
                    target: "brigade::server", %error, "only its loop serves a listener's backlog"
                );
            }
        }
    }
}

impl LoopListener {
    /// Starts to receive connections, on the loop's thread.
    ///
    /// # Panics
    /// If a listener cannot be registered with the loop's selector.
    pub(super) fn open(self) -> LoopAcceptor {
        let own = self.own.into_iter().map(BoundListener::register);
        match own.collect::<io::Result<_>>() {
            Ok(own) => LoopAcceptor::new(self.receiver, own),
            Err(error) => panic!("a listener cannot be registered with the event loop: {error}"),
        }
    }
}

#[cfg(all(test, target_os = "linux", not(brigade_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_that_wait_unsent_are_limited_for_what_a_server_accepts() {
        let BoundListener::Tcp(listener) = bind("127.0.0.1:0").unwrap() else {
            panic!("an address of TCP");
        };
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert_eq!(SockRef::from(&accepted).tcp_notsent_lowat().unwrap(), UNSENT_BYTES_MAX);
    }
}
