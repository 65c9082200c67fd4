//! The listening sockets of a server, and who accepts from them.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::OwnedFd;

#[cfg(target_os = "linux")]
use socket2::SockRef;

use crate::net::{self, TcpSocket};
use crate::server::acceptor::Acceptor;
use crate::server::connection_queue::ConnectionReceiver;
use crate::server::loop_acceptor::LoopAcceptor;

/// How many bytes that the peer cannot take yet the system queues for each connection. Beyond that
/// a write waits. Without a limit, megabytes are accepted for a peer that reads nothing, and a
/// protocol cannot see how slow its peer is.
#[cfg(target_os = "linux")]
const UNSENT_BYTES_MAX: u32 = 256 * 1024;

/// What a server accepts from.
pub(super) enum Listeners {
    /// The acceptor accepts for all loops.
    Shared(Vec<net::TcpListener>),
    /// Each loop accepts for itself, from the listeners at its index. These are kept so that the
    /// backlog of a loop that died is not lost.
    PerLoop(Vec<Vec<TcpListener>>),
}

/// Where the connections of one loop come from. It is sent to that loop.
pub(super) struct LoopListener {
    receiver: ConnectionReceiver,
    /// The loop's own listeners, if it accepts for itself.
    own: Vec<TcpListener>,
}

/// Listens at the first of the addresses that works.
///
/// # Errors
/// The error of the last address, with that address in the message.
pub(super) fn bind(address: impl ToSocketAddrs) -> io::Result<TcpListener> {
    let mut last = io::Error::new(io::ErrorKind::InvalidInput, "the name has no address");
    for address in address.to_socket_addrs()? {
        match listen(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = at(address, &error),
        }
    }
    Err(last)
}

/// Makes `listener` listen with the default backlog, whether it listens already or not.
///
/// # Errors
/// If `listener` is no internet socket, and those of listen(2).
pub(super) fn listen_on(listener: TcpListener) -> io::Result<TcpListener> {
    listener.local_addr()?;
    start(TcpSocket::from_fd(OwnedFd::from(listener))?)
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

fn at(address: SocketAddr, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot listen at {address}: {error}"))
}

impl Listeners {
    /// Distributes `bound` over `loops` loops.
    ///
    /// # Errors
    /// If further listeners are needed and cannot be bound.
    pub(super) fn new(bound: Vec<TcpListener>, per_loop: bool, loops: usize) -> io::Result<Self> {
        if loops == 1 {
            return Ok(Self::PerLoop(vec![bound]));
        }
        if !per_loop {
            let listeners = bound.into_iter().map(net::TcpListener::from_std);
            return Ok(Self::Shared(listeners.collect::<io::Result<_>>()?));
        }
        let mut own: Vec<Vec<TcpListener>> = (0..loops).map(|_| Vec::new()).collect();
        for first in bound {
            let address = first.local_addr()?;
            share_port(&first).map_err(|error| at(address, &error))?;
            for listeners in &mut own[1..] {
                let listener = listen_sharing_port(address);
                listeners.push(listener.map_err(|error| at(address, &error))?);
            }
            own[0].push(first);
        }
        Ok(Self::PerLoop(own))
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
        let own = match self {
            Self::Shared(_) => Vec::new(),
            Self::PerLoop(own) => {
                own[index].iter().map(TcpListener::try_clone).collect::<io::Result<_>>()?
            }
        };
        Ok(LoopListener { receiver, own })
    }

    /// Accepts for the loops, or looks after loops that accept for themselves. Never ends.
    pub(super) async fn accept(&self, acceptor: &mut Acceptor) {
        match self {
            Self::Shared(listeners) => acceptor.accept_from(listeners).await,
            Self::PerLoop(_) => acceptor.supervise().await,
        }
        // Every loop has died, which the supervisor reports.
        std::future::pending::<()>().await;
    }

    /// Accepts what waits in the backlogs, and closes the listeners. What waits for a loop that is
    /// stuck or has died is served by another one.
    pub(super) async fn close(self, acceptor: &mut Acceptor) {
        let own = match self {
            Self::Shared(listeners) => {
                for listener in listeners {
                    acceptor.accept_waiting(&listener).await;
                }
                return;
            }
            Self::PerLoop(own) => own.into_iter().flatten(),
        };
        for listener in own {
            match net::TcpListener::from_std(listener) {
                Ok(listener) => {
                    acceptor.accept_waiting(&listener).await;
                    // The loop has a duplicate, so closing alone would not deregister the socket.
                    drop(listener.into_std());
                }
                Err(error) => tracing::warn!(
                    target: "brigade::server", %error, "only its loop serves a listener's backlog"
                ),
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
        match LoopAcceptor::new(self.receiver, self.own) {
            Ok(acceptor) => acceptor,
            Err(error) => panic!("a listener cannot be registered with the event loop: {error}"),
        }
    }
}

#[cfg(all(test, target_os = "linux", not(brigade_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_that_wait_unsent_are_limited_for_what_a_server_accepts() {
        let listener = bind("127.0.0.1:0").unwrap();
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert_eq!(SockRef::from(&accepted).tcp_notsent_lowat().unwrap(), UNSENT_BYTES_MAX);
    }
}
