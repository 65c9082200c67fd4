//! Where the connections of a server come in.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::OwnedFd;

use brigade_runtime::net::TcpSocket;
use brigade_runtime::{Acceptor, ConnectionReceiver, LoopAcceptor, net};

/// Who accepts connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accept {
    /// The acceptor, which places them with the loops; a single loop for itself.
    Placed,
    /// Each loop for itself, from a listener of its own.
    PerLoop,
}

/// What a server accepts from.
pub(crate) enum Listeners {
    /// The acceptor accepts for all loops.
    Placed(net::TcpListener),
    /// Each loop accepts for itself. These are duplicates: while they are open, what waits in the
    /// backlog of a loop that died is not lost.
    Own(Vec<TcpListener>),
}

/// Where the connections of one loop come from; it is sent to that loop.
pub(crate) struct LoopListener {
    arrivals: ConnectionReceiver,
    /// The loop's own listener, if it has one.
    listener: Option<TcpListener>,
}

/// Listens at the first of the addresses that works.
///
/// # Errors
/// What the last one failed with, with the address in the message.
pub(crate) fn listen_at_first(
    address: impl ToSocketAddrs,
    listen: fn(SocketAddr) -> io::Result<TcpListener>,
) -> io::Result<TcpListener> {
    let mut last = io::Error::new(io::ErrorKind::InvalidInput, "the name has no address");
    for address in address.to_socket_addrs()? {
        match listen_at(address, listen) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Listens at `address`, with `SO_REUSEADDR`.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::for_address(&address)?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen_std(net::TcpListener::BACKLOG)
}

/// Listens at `address`, which other sockets of this process may share.
pub(crate) fn listen_reuse_port(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::for_address(&address)?;
    socket.set_reuseport(true)?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen_std(net::TcpListener::BACKLOG)
}

/// Makes a socket listen that was created elsewhere, or changes its backlog if it listens already.
pub(crate) fn listen_on(socket: TcpListener) -> io::Result<TcpListener> {
    TcpSocket::from_fd(OwnedFd::from(socket))?.listen_std(net::TcpListener::BACKLOG)
}

fn listen_at(
    address: SocketAddr,
    listen: fn(SocketAddr) -> io::Result<TcpListener>,
) -> io::Result<TcpListener> {
    listen(address).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen at {address}: {error}"))
    })
}

impl Listeners {
    /// What `loops` loops accept from, of which `first` is the one that is bound already.
    ///
    /// # Errors
    /// If another listener is needed and cannot be had.
    pub(crate) fn new(first: TcpListener, accept: Accept, loops: usize) -> io::Result<Self> {
        if loops == 1 {
            return Ok(Self::Own(vec![first]));
        }
        if accept == Accept::Placed {
            return Ok(Self::Placed(net::TcpListener::from_std(first)?));
        }
        // With the port that the first one got, if it was left to the system.
        let address = first.local_addr()?;
        let mut own = vec![first];
        for _ in 1..loops {
            own.push(listen_at(address, listen_reuse_port)?);
        }
        Ok(Self::Own(own))
    }

    /// Where the connections of a loop come from.
    ///
    /// # Errors
    /// If no descriptor is left for the duplicate of its listener.
    pub(crate) fn entrance(
        &self,
        index: usize,
        arrivals: ConnectionReceiver,
    ) -> io::Result<LoopListener> {
        let listener = match self {
            Self::Placed(_) => None,
            Self::Own(own) => Some(own[index].try_clone()?),
        };
        Ok(LoopListener { arrivals, listener })
    }

    /// Accepts for the loops, or looks after those that do so for themselves. Never ends.
    pub(crate) async fn accept(&self, acceptor: &mut Acceptor) {
        match self {
            Self::Placed(listener) => acceptor.accept_from(listener).await,
            Self::Own(_) => acceptor.attend().await,
        }
        // All loops have died: that is told elsewhere.
        std::future::pending::<()>().await;
    }

    /// Accepts no more, but for the connections that wait already: those that come to a loop of
    /// their own which is stuck, or has died, are served by another.
    pub(crate) async fn close(self, acceptor: &mut Acceptor) {
        let own = match self {
            Self::Placed(listener) => return acceptor.accept_waiting(&listener).await,
            Self::Own(own) => own,
        };
        for listener in own {
            match net::TcpListener::from_std(listener) {
                Ok(listener) => {
                    acceptor.accept_waiting(&listener).await;
                    // Its loop has it as well: closing alone would not end the selector's interest.
                    drop(listener.into_std());
                }
                Err(error) => tracing::warn!(
                    target: "brigade::http", %error, "a backlog was left to its loop alone"
                ),
            }
        }
    }
}

impl LoopListener {
    /// Begins to take connections, on the loop's thread.
    ///
    /// # Panics
    /// If the system does not let the loop wait for them.
    pub(crate) fn open(self) -> LoopAcceptor {
        match LoopAcceptor::new(self.arrivals, self.listener) {
            Ok(acceptor) => acceptor,
            Err(error) => panic!("the loop cannot wait for connections: {error}"),
        }
    }
}
