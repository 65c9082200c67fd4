//! Serves connections that no [`Server`](crate::Server) has accepted.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use brigade_runtime::local::Notify;
use brigade_runtime::net::PeerAddr;
use futures_io::{AsyncRead, AsyncWrite};

use crate::message::byte_stream::ByteStream;
use crate::protocol::limits::Limits;
use crate::routing::router::Router;
use crate::server::connection::ConnectionTask;
use crate::server::connection::watched::WatchedConnection;
use crate::server::loop_context::{LoopContext, Options};
use crate::server::stats::RequestCounts;
use crate::server::timeouts::Timeouts;
use crate::transport::futures_duplex::FuturesDuplex;

/// Serves HTTP/1.1 over anything that reads and writes by `futures-io`: the stream of another TLS
/// library, a tunnel, a pipe in a test. For TCP and Unix sockets there is
/// [`Server`](crate::Server).
///
/// It belongs to the loop on which it was created. Its connections share the router, and buffers,
/// so create one and keep it.
///
/// # Examples
/// ```
/// use brigade_http::{ConnectionServer, PeerAddr, Router, get};
/// use brigade_runtime::net::UnixStream;
/// use futures_util::io::{AsyncReadExt, AsyncWriteExt};
///
/// brigade_runtime::run(async {
///     let server = ConnectionServer::new(Router::new().route("/", get(async || "hello")));
///     let (mut client, stream) = UnixStream::pair().unwrap();
///     let serving = server.serve_connection(stream, PeerAddr::Unix);
///     let request = async {
///         let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
///         client.write_all(request).await.unwrap();
///         let mut response = String::new();
///         client.read_to_string(&mut response).await.unwrap();
///         response
///     };
///     let (_, response) = futures_util::join!(serving, request);
///     assert!(response.starts_with("HTTP/1.1 200 OK\r\n"));
///     assert!(response.ends_with("hello"));
/// });
/// ```
#[derive(Clone)]
pub struct ConnectionServer {
    context: Rc<LoopContext>,
    draining: Notify,
}

impl ConnectionServer {
    /// Creates a server with the default limits and timeouts.
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    #[must_use]
    pub fn new(router: Router) -> Self {
        Self::with_options(router, Limits::default(), Timeouts::default())
    }

    /// Creates a server. [`Timeouts::drain`] has no effect: what serves the connections decides
    /// how long it waits for them.
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    #[must_use]
    pub fn with_options(router: Router, limits: Limits, timeouts: Timeouts) -> Self {
        let counters = Arc::default();
        let options = Options { limits, timeouts, ..Options::default() };
        let context = LoopContext::new(router.into_service(), options, 0, counters, None);
        Self { context: Rc::new(context), draining: Notify::new() }
    }

    /// Serves the connection `stream` until it ends. `peer` is what handlers see as the address of
    /// the client.
    ///
    /// An error of the stream, like anything else that the client causes, ends the connection and
    /// is logged at level `DEBUG`.
    ///
    /// While a handler works, 16 KiB are read ahead, to notice that the client has gone. At the end
    /// the stream is flushed and closed by `poll_close`; after a failure it is only dropped.
    ///
    /// # Cancel safety
    /// If the future is dropped, the stream and the running handler are dropped.
    pub async fn serve_connection<S>(&self, stream: S, peer: PeerAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let stream = ByteStream::Other(Box::new(FuturesDuplex::new(stream)));
        let connection = ConnectionTask::over(self.context.clone(), peer, None, stream, None);
        if connection.is_watched() {
            self.until_done(WatchedConnection(connection)).await;
        } else {
            self.until_done(connection).await;
        }
    }

    /// Polls `connection`, also when the server begins to drain.
    async fn until_done(&self, connection: impl Future<Output = ()>) {
        let mut connection = pin!(connection);
        let mut draining = pin!(self.draining.notified());
        let mut is_notified = false;
        poll_fn(|cx| {
            is_notified = is_notified || draining.as_mut().poll(cx).is_ready();
            connection.as_mut().poll(cx)
        })
        .await;
    }

    /// Ends the connections without cutting a response: those in progress are sent with
    /// `Connection: close`, and idle connections are closed after a quarter of a second.
    pub fn drain(&self) {
        self.context.drain();
        self.draining.notify_waiters();
    }

    /// Returns the counters of the requests.
    #[must_use]
    pub fn requests(&self) -> RequestCounts {
        RequestCounts::of(&self.context.counters)
    }
}

impl fmt::Debug for ConnectionServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionServer")
            .field("requests", &self.requests())
            .finish_non_exhaustive()
    }
}
