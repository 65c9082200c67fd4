//! A server of several loops for a protocol over TLS.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use crate::net::AnyStream;
use crate::server::phase::ServerState;
use crate::server::report::LoopReport;
use crate::server::server_stream::ServerStream;
use crate::server::stats::Stats;
use crate::server::tcp_server::TcpServer;
use crate::tls::{TlsAcceptor, TlsStats, TlsStream};

/// A server that is bound to its addresses, whose connections speak TLS. It is made by
/// [`TcpServer::tls`], after all other options.
#[derive(Debug)]
#[must_use = "a server does nothing until `run` or `serve` is called"]
pub struct TlsServer<S> {
    server: TcpServer<S>,
    acceptor: TlsAcceptor,
}

impl<S> TcpServer<S> {
    /// Returns a server whose handler gets a [`TlsStream`] after the handshake. It is given a
    /// [`TlsConfig`](crate::tls::TlsConfig) or an acceptor.
    ///
    /// The handshake is done by the task of the connection, so that a connection that has not
    /// completed it is open and counted, and ends when the server drains. A handshake that fails is
    /// counted, see [`TlsServer::tls_stats`], and logged at level DEBUG under the target
    /// `brigade::tls`.
    ///
    /// A handler should end with [`TlsStream::close`]: if it drops the stream, the client cannot
    /// know that it has received everything.
    pub fn tls(self, acceptor: impl Into<TlsAcceptor>) -> TlsServer<S> {
        TlsServer { server: self, acceptor: acceptor.into() }
    }
}

impl<S> TlsServer<S> {
    /// Returns the first TCP address, see [`TcpServer::local_addr`].
    ///
    /// # Errors
    /// As for [`TcpServer::local_addr`].
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.server.local_addr()
    }

    /// Returns all TCP addresses, see [`TcpServer::local_addrs`].
    ///
    /// # Errors
    /// As for [`TcpServer::local_addrs`].
    pub fn local_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        self.server.local_addrs()
    }

    /// Returns the paths of the socket files, see [`TcpServer::unix_paths`].
    #[must_use]
    pub fn unix_paths(&self) -> Vec<&Path> {
        self.server.unix_paths()
    }

    /// Returns the number of loops.
    #[must_use]
    pub fn loop_count(&self) -> usize {
        self.server.loop_count()
    }

    /// Returns a handle that follows the server from its start to its end.
    #[must_use]
    pub fn state(&self) -> ServerState {
        self.server.state()
    }

    /// Returns the counters of the server's loops.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.server.stats()
    }

    /// Returns what counts the handshakes. A clone of it reads the counters while the server runs.
    #[must_use]
    pub fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }

    /// Returns the number of handshakes so far.
    #[must_use]
    pub fn tls_stats(&self) -> TlsStats {
        self.acceptor.stats()
    }
}

impl<S: ServerStream + Into<AnyStream>> TlsServer<S> {
    /// Serves until SIGINT or SIGTERM, as [`TcpServer::run`] does.
    ///
    /// # Errors
    /// As for [`TcpServer::run`].
    ///
    /// # Panics
    /// If this thread has an event loop already.
    pub fn run<F, H>(self, factory: F) -> io::Result<Vec<LoopReport>>
    where
        F: Fn() -> H + Clone + Send + 'static,
        H: AsyncFn(TlsStream, S::Peer) + 'static,
    {
        let Self { server, acceptor } = self;
        server.run(move || over_tls(factory(), acceptor.clone()))
    }

    /// Serves until `shutdown` is ready, then drains, as [`TcpServer::serve`] does.
    ///
    /// # Errors
    /// As for [`TcpServer::serve`].
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    ///
    /// # Cancel safety
    /// As for [`TcpServer::serve`].
    pub async fn serve<F, H>(
        self,
        factory: F,
        shutdown: impl Future<Output = ()>,
    ) -> io::Result<Vec<LoopReport>>
    where
        F: Fn() -> H + Clone + Send + 'static,
        H: AsyncFn(TlsStream, S::Peer) + 'static,
    {
        let Self { server, acceptor } = self;
        server.serve(move || over_tls(factory(), acceptor.clone()), shutdown).await
    }

    /// Serves as [`TcpServer::serve_with_force`] does.
    ///
    /// # Errors
    /// As for [`TcpServer::serve`].
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    pub async fn serve_with_force<F, H>(
        self,
        factory: F,
        shutdown: impl Future<Output = ()>,
        force: impl Future<Output = ()>,
    ) -> io::Result<Vec<LoopReport>>
    where
        F: Fn() -> H + Clone + Send + 'static,
        H: AsyncFn(TlsStream, S::Peer) + 'static,
    {
        let Self { server, acceptor } = self;
        let factory = move || over_tls(factory(), acceptor.clone());
        server.serve_with_force(factory, shutdown, force).await
    }
}

/// Returns a handler that does the handshake and calls `handler`.
fn over_tls<S, H>(handler: H, acceptor: TlsAcceptor) -> impl AsyncFn(S, S::Peer) + 'static
where
    S: ServerStream + Into<AnyStream>,
    H: AsyncFn(TlsStream, S::Peer) + 'static,
{
    async move |stream: S, peer: S::Peer| match acceptor.accept(stream).await {
        Ok(stream) => handler(stream, peer).await,
        Err(error) => tracing::debug!(target: "brigade::tls", %error, "TLS handshake failed"),
    }
}
