//! The HTTP server: a TCP server of several loops, and what it does with a connection.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use brigade_runtime::TcpServer;
use brigade_runtime::event_loop;
use brigade_runtime::net::AnyStream;
use brigade_runtime::server::{OnLoopDeath, ServerState, UnixPath};
use brigade_runtime::signal::SignalKind;

use crate::protocol::limits::Limits;
use crate::routing::router::Router;
use crate::server::handshake::Handshake;
use crate::server::http2::Http2Options;
use crate::server::loop_context::{LoopContext, Options};
use crate::server::stats::{LoopReport, Stats};
use crate::server::timeouts::Timeouts;

/// An HTTP server that is bound to its addresses and not serving yet.
///
/// It is a [`TcpServer`] that speaks HTTP: how it accepts, places, supervises and drains is
/// described there.
///
/// # Examples
/// ```no_run
/// use brigade_http::{Router, Server, get};
///
/// fn main() -> std::io::Result<()> {
///     let server = Server::bind("127.0.0.1:8080")?;
///     server.run(|| Router::new().route("/", get(async || "Hello, World!")))?;
///     Ok(())
/// }
/// ```
#[derive(Debug)]
#[must_use = "a server does nothing until `run` or `serve` is called"]
pub struct Server {
    tcp: TcpServer<AnyStream>,
    options: Options,
    stats: Stats,
}

/// # Binding
impl Server {
    /// Listens at `address`; port 0 is any free port. If a name has several addresses, the first
    /// one that works is used.
    ///
    /// # Errors
    /// As for [`TcpServer::bind`]: most likely `AddrInUse`.
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        Ok(Self::from_tcp_server(TcpServer::bind(address)?))
    }

    /// Creates the socket file `path` and listens there. For its permissions, pass a [`UnixPath`].
    ///
    /// A socket file that no process listens at any more is replaced. The file is removed when the
    /// server begins to shut down, or is dropped, unless another one is there by then. A client has
    /// no address: see [`Peer`](crate::Peer).
    ///
    /// # Errors
    /// As for [`TcpServer::bind_unix`]: `AddrInUse` if another socket listens there, or if there is
    /// a file that is no socket.
    ///
    /// # Examples
    /// For the reverse proxy on this machine, and for health checks over TCP:
    ///
    /// ```no_run
    /// use brigade_http::{Router, Server, UnixPath, get};
    ///
    /// fn main() -> std::io::Result<()> {
    ///     let server = Server::bind_unix(UnixPath::new("/run/app.sock").mode(0o660))?;
    ///     let server = server.and_bind("127.0.0.1:8081")?;
    ///     server.run(|| Router::new().route("/", get(async || "Hello, World!")))?;
    ///     Ok(())
    /// }
    /// ```
    pub fn bind_unix(path: impl Into<UnixPath>) -> io::Result<Self> {
        Ok(Self::from_tcp_server(TcpServer::bind_unix(path)?))
    }

    /// Serves a socket that is listening already, see [`TcpServer::from_listener`].
    ///
    /// # Errors
    /// As for [`TcpServer::from_listener`].
    ///
    /// # Examples
    /// ```no_run
    /// use std::net::TcpListener;
    ///
    /// use brigade_http::{Router, Server, get};
    ///
    /// fn main() -> std::io::Result<()> {
    ///     let listener = TcpListener::bind("127.0.0.1:8080")?;
    ///     let server = Server::from_listener(listener)?;
    ///     server.run(|| Router::new().route("/", get(async || "Hello, World!")))?;
    ///     Ok(())
    /// }
    /// ```
    pub fn from_listener(listener: TcpListener) -> io::Result<Self> {
        Ok(Self::from_tcp_server(TcpServer::from_listener(listener)?))
    }

    /// Serves a Unix socket that is listening already, see [`TcpServer::from_unix_listener`].
    ///
    /// # Errors
    /// As for [`TcpServer::from_unix_listener`].
    pub fn from_unix_listener(listener: UnixListener) -> io::Result<Self> {
        Ok(Self::from_tcp_server(TcpServer::from_unix_listener(listener)?))
    }

    /// Speaks HTTP with the connections of `tcp`, with the options that are set there. Its
    /// [drain timeout](TcpServer::drain_timeout) is replaced by [`Timeouts::drain`].
    pub fn from_tcp_server<S>(tcp: TcpServer<S>) -> Self {
        let stats = Stats::new(tcp.stats());
        Self { tcp: tcp.into_any(), options: Options::default(), stats }
    }

    /// Listens at a further address.
    ///
    /// # Errors
    /// As for [`Server::bind`].
    pub fn and_bind(mut self, address: impl ToSocketAddrs) -> io::Result<Self> {
        self.tcp = self.tcp.and_bind(address)?;
        Ok(self)
    }

    /// Serves a further socket that is listening already.
    ///
    /// # Errors
    /// As for [`Server::from_listener`].
    pub fn and_listener(mut self, listener: TcpListener) -> io::Result<Self> {
        self.tcp = self.tcp.and_listener(listener)?;
        Ok(self)
    }

    /// Listens at a Unix socket, too.
    ///
    /// # Errors
    /// As for [`Server::bind_unix`].
    pub fn and_bind_unix(mut self, path: impl Into<UnixPath>) -> io::Result<Self> {
        self.tcp = self.tcp.and_bind_unix(path)?;
        Ok(self)
    }

    /// Serves a Unix socket that is listening already, too.
    ///
    /// # Errors
    /// As for [`Server::from_unix_listener`].
    pub fn and_unix_listener(mut self, listener: UnixListener) -> io::Result<Self> {
        self.tcp = self.tcp.and_unix_listener(listener)?;
        Ok(self)
    }

    /// Returns the first TCP address that the server listens at.
    ///
    /// # Errors
    /// Those of getsockname(2). `AddrNotAvailable` if it listens only at Unix sockets.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Returns all TCP addresses that the server listens at, in the order in which they were added.
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn local_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        self.tcp.local_addrs()
    }

    /// Returns the paths of the socket files that the server has created, in the order in which
    /// they were added, made absolute.
    #[must_use]
    pub fn unix_paths(&self) -> Vec<&Path> {
        self.tcp.unix_paths()
    }
}

/// # Options of every server
impl Server {
    /// Sets the number of loops, at least one. By default there is one per core.
    pub fn loops(self, loops: usize) -> Self {
        self.with_tcp(|tcp| tcp.loops(loops))
    }

    /// Returns the number of loops.
    #[must_use]
    pub fn loop_count(&self) -> usize {
        self.tcp.loop_count()
    }

    /// Sets whether each loop accepts connections for itself; see [`TcpServer::per_loop`]. Off by
    /// default.
    pub fn per_loop(self, per_loop: bool) -> Self {
        self.with_tcp(|tcp| tcp.per_loop(per_loop))
    }

    /// Sets whether each loop's thread is pinned to a core of its own. On by default.
    pub fn pin(self, pin: bool) -> Self {
        self.with_tcp(|tcp| tcp.pin(pin))
    }

    /// Sets the options of each loop, such as its debug mode.
    pub fn event_loop(self, event_loop: event_loop::Builder) -> Self {
        self.with_tcp(|tcp| tcp.event_loop(event_loop))
    }

    /// Sets how many threads the loops may have for `spawn_blocking`, all loops together. The
    /// default is 512, for all loops of the process. See
    /// [`TcpServer::max_blocking_threads`](brigade_runtime::TcpServer::max_blocking_threads).
    pub fn max_blocking_threads(self, threads: usize) -> Self {
        self.with_tcp(|tcp| tcp.max_blocking_threads(threads))
    }

    /// Sets how long a loop may be stuck in one poll before it is reported, with the task and the
    /// route; see [`TcpServer::stall_threshold`].
    pub fn stall_threshold(self, threshold: Option<Duration>) -> Self {
        self.with_tcp(|tcp| tcp.stall_threshold(threshold))
    }

    /// Sets what the server does when a loop dies. By default it ends with an error.
    pub fn on_loop_death(self, on_loop_death: OnLoopDeath) -> Self {
        self.with_tcp(|tcp| tcp.on_loop_death(on_loop_death))
    }

    /// Logs what every loop is doing whenever the process receives `signal`: its tasks by name,
    /// its connections by state, and the requests that have taken longest. A stuck loop is
    /// described from outside. See [`TcpServer::report_on`].
    pub fn report_on(self, signal: SignalKind) -> Self {
        self.with_tcp(|tcp| tcp.report_on(signal))
    }

    /// Returns a handle that follows the server from its start to its end.
    #[must_use]
    pub fn state(&self) -> ServerState {
        self.tcp.state()
    }

    fn with_tcp(mut self, set: impl FnOnce(TcpServer<AnyStream>) -> TcpServer<AnyStream>) -> Self {
        self.tcp = set(self.tcp);
        self
    }
}

/// # Options of HTTP
impl Server {
    /// Sets how much a client may send.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.options.limits = limits;
        self
    }

    /// Sets how long a client may take, and how long a shutdown.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.options.timeouts = timeouts;
        self
    }

    /// Adds a `Server-Timing` header (W3C Server Timing) to each response, which says where the
    /// time of its request went. Off by default. Durations are in milliseconds of real time:
    ///
    /// ```text
    /// server-timing: queue;dur=0.412, loop;desc="2";dur=3.100, handler;dur=12.034
    /// ```
    ///
    /// - `queue`, only in the first response of a connection: the time from accepting the
    ///   connection until its loop started it. If the loops accept for themselves, the time starts
    ///   when the connection may have arrived, at the earliest.
    /// - `loop`: the number of the loop, and its lag: the longest time that the connection's task
    ///   can have waited for its turn with this request. It counts until the request was started,
    ///   and while it was handled, from each time at which the task may have been woken. The loop
    ///   sees arrivals only when it polls the selector, so the time of what it did just before
    ///   counts, no matter when the bytes arrived: a handler of another connection that blocks the
    ///   thread shows up here. What this connection did in that time does not count, so a pipelined
    ///   request does not show how long it waited for those before it.
    /// - `handler`: the time from the end of the request's head to the head of the response,
    ///   middleware and waiting included, without the lag. Absent in the response to a malformed
    ///   request.
    ///
    /// If the handler sets the header, both are sent, and their entries form one list (RFC 9110
    /// section 5.3). The time of a body that follows the head in parts is not included.
    ///
    /// The header shows every client how busy the server is and how long its work on secrets
    /// takes. If clients are not to be trusted with that, leave it off, or remove the header in a
    /// proxy. Scripts of other origins see it only if the application sends
    /// `Timing-Allow-Origin`. It costs three readings of the clock and a few allocations per
    /// request.
    pub fn server_timing(mut self, server_timing: bool) -> Self {
        self.options.server_timing = server_timing;
        self
    }

    #[cfg_attr(not(feature = "http2"), expect(dead_code, reason = "only HTTP/2 has options"))]
    pub(super) fn with_http2(mut self, http2: Http2Options) -> Self {
        self.options.http2 = http2;
        self
    }

    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "only TLS has handshakes"))]
    pub(super) fn with_handshake(mut self, handshake: Arc<dyn Handshake>) -> Self {
        self.stats.set_handshake(handshake.clone());
        self.options.handshake = Some(handshake);
        self
    }

    /// Returns the counters of the server's loops. They can be read from any thread, also while a
    /// loop is stuck, and after the server has ended. A handler finds them with
    /// [`Stats::current`].
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats.clone()
    }
}

/// # Serving
impl Server {
    /// Serves until SIGINT or SIGTERM, on this thread and those of the loops. A second signal
    /// forces the shutdown. See [`Server::serve`].
    ///
    /// The signals are caught from the moment of the call until this returns. One that arrives
    /// while the loops are being started ends the server in the same graceful way.
    ///
    /// # Errors
    /// If a loop cannot be started, or died; see [`Server::on_loop_death`].
    ///
    /// # Panics
    /// If this thread has an event loop already: call [`Server::serve`] there.
    pub fn run<F>(self, factory: F) -> io::Result<Vec<LoopReport>>
    where
        F: Fn() -> Router + Clone + Send + 'static,
    {
        let (tcp, make, stats) = self.into_parts(factory);
        let reports = tcp.run_protocol(make)?;
        Ok(stats.reports(reports))
    }

    /// Serves until `shutdown` is ready, then drains.
    ///
    /// `factory` is called once on each loop and returns the router of that loop, so what handlers
    /// hold needs neither `Send` nor a lock.
    ///
    /// Draining means that no connection is accepted any more, the responses to requests in flight
    /// are sent with `Connection: close` or after a `GOAWAY`, and idle connections are closed. What
    /// is left after [`Timeouts::drain`] is cancelled, and logged with its state and route. A loop
    /// that is stuck is logged and waited for.
    ///
    /// A response that never ends and an upgraded connection are cancelled as well, unless they end
    /// by themselves: see [`Body::until_draining`](crate::Body::until_draining) and
    /// [`draining`](crate::draining).
    ///
    /// Returns what each loop did.
    ///
    /// # Errors
    /// If a loop cannot be started, if its listener cannot be bound, or if a loop died; see
    /// [`Server::on_loop_death`].
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    ///
    /// # Cancel safety
    /// If the future is dropped, the server accepts no more connections, and its loops drain by
    /// themselves and then end, as after `shutdown`; see [`TcpServer::serve`].
    pub async fn serve<F>(
        self,
        factory: F,
        shutdown: impl Future<Output = ()>,
    ) -> io::Result<Vec<LoopReport>>
    where
        F: Fn() -> Router + Clone + Send + 'static,
    {
        self.serve_with_force(factory, shutdown, std::future::pending()).await
    }

    /// Serves as [`Server::serve`] does. When `force` is ready during the shutdown, the loops are
    /// stopped at once, and a loop that is stuck is left behind.
    ///
    /// # Errors
    /// As for [`Server::serve`].
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    pub async fn serve_with_force<F>(
        self,
        factory: F,
        shutdown: impl Future<Output = ()>,
        force: impl Future<Output = ()>,
    ) -> io::Result<Vec<LoopReport>>
    where
        F: Fn() -> Router + Clone + Send + 'static,
    {
        let (tcp, make, stats) = self.into_parts(factory);
        let reports = tcp.serve_protocol(make, shutdown, force).await?;
        Ok(stats.reports(reports))
    }

    /// Returns the TCP server, and what makes the protocol of each of its loops.
    fn into_parts<F>(
        self,
        factory: F,
    ) -> (TcpServer<AnyStream>, impl Fn(usize) -> LoopContext + Clone + Send + 'static, Stats)
    where
        F: Fn() -> Router + Clone + Send + 'static,
    {
        let Self { tcp, options, stats } = self;
        let described = stats.clone();
        let describe = move |number| described.of_loop(number).map(|stats| stats.to_string());
        let tcp = tcp.drain_timeout(options.timeouts.drain).describe_loops(describe);
        let of_loops = stats.clone();
        let make = move |number| {
            let counters = of_loops.register(number);
            let routes = factory().into_service();
            LoopContext::new(routes, options.clone(), number, counters, Some(of_loops.clone()))
        };
        (tcp, make, stats)
    }
}
