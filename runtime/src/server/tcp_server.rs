//! A TCP server of several loops, for any protocol.

use std::future::pending;
use std::io;
use std::marker::PhantomData;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::executor::builder::Builder;
use crate::executor::event_loop::EventLoop;
use crate::net::{AnyStream, TcpStream};
use crate::server::listeners::{BoundListener, bind, bind_unix, listen_on, listen_on_unix};
use crate::server::phase::{Phase, ServerState};
use crate::server::protocol::{Handler, Protocol};
use crate::server::report::{LoopReport, Observe};
use crate::server::server_stream::ServerStream;
use crate::server::serving::{EnterOnDrop, Options, serve};
use crate::server::socket_file::UnixPath;
use crate::server::stats::Stats;
use crate::server::supervisor::OnLoopDeath;
use crate::signal::{CaughtSignals, SignalKind, Signals};
use crate::threads::group::default_loops;

/// By default, a poll that keeps a loop from turning for longer than this is reported.
pub const STALL_THRESHOLD: Duration = Duration::from_millis(100);

/// By default, connections have this long to end when the server shuts down.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// A TCP server that is bound to its addresses and not serving yet.
///
/// It starts one loop per core, each on a thread of its own, and serves every connection as a task
/// of one loop.
///
/// It listens at TCP addresses, at Unix sockets, or at both; limits, placement, statistics and the
/// shutdown are the same for all connections. The handler gets a [`TcpStream`] and a
/// [`SocketAddr`]. From [`TcpServer::bind_unix`] or [`TcpServer::and_bind_unix`] on, it gets an
/// [`AnyStream`] and a [`PeerAddr`](crate::net::PeerAddr). `S` is the type of the stream.
///
/// # Examples
/// An echo server:
///
/// ```no_run
/// use brigade_runtime::net::TcpStream;
/// use brigade_runtime::server::TcpServer;
///
/// async fn echo(stream: TcpStream) -> std::io::Result<()> {
///     let mut buffer = [0; 16 * 1024];
///     loop {
///         match stream.read(&mut buffer).await? {
///             0 => return Ok(()),
///             read => stream.write_all(&buffer[..read]).await?,
///         }
///     }
/// }
///
/// fn main() -> std::io::Result<()> {
///     let server = TcpServer::bind("127.0.0.1:7007")?.loops(2);
///     server.run(|| async |stream, _peer| drop(echo(stream).await))?;
///     Ok(())
/// }
/// ```
#[derive(Debug)]
#[must_use = "a server does nothing until `run` or `serve` is called"]
pub struct TcpServer<S = TcpStream> {
    listeners: Vec<BoundListener>,
    options: Options,
    running: EnterOnDrop,
    stream: PhantomData<fn(S)>,
}

/// # Binding
impl TcpServer {
    /// Listens at `address`; port 0 is any free port. If a name has several addresses, the first
    /// one that works is used.
    ///
    /// # Errors
    /// The error of the last address, with that address in the message: most likely `AddrInUse`.
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        Ok(Self::new(bind(address)?))
    }

    /// Serves a socket that is listening already: one that a service manager passed, so that no
    /// connection is refused during a restart (sd_listen_fds(3)), or one with options of its own,
    /// such as `TCP_DEFER_ACCEPT` (tcp(7)). Its backlog becomes that of [`TcpServer::bind`].
    ///
    /// # Errors
    /// If `listener` is not an internet socket, and those of listen(2): `InvalidInput` for a
    /// connected socket, which a service manager passes with `Accept=yes`.
    pub fn from_listener(listener: TcpListener) -> io::Result<Self> {
        Ok(Self::new(listen_on(listener)?))
    }

    /// Creates the socket file `path` and listens there. For its permissions, pass a [`UnixPath`].
    ///
    /// A socket file that no process listens at any more is replaced. The file is removed when the
    /// server begins to shut down, or is dropped, unless another one is there by then.
    ///
    /// # Errors
    /// `AddrInUse` if another socket listens there, or if there is a file that is no socket;
    /// `InvalidInput` if the path is too long, see unix(7). The message names the path.
    ///
    /// # Examples
    /// ```no_run
    /// use brigade_runtime::net::AnyStream;
    /// use brigade_runtime::server::TcpServer;
    ///
    /// fn main() -> std::io::Result<()> {
    ///     let server = TcpServer::bind("127.0.0.1:7007")?.and_bind_unix("/run/greeting.sock")?;
    ///     server.run(|| async |stream: AnyStream, peer| {
    ///         // The peer may have gone.
    ///         let _ = stream.write_all(format!("hello, {peer}\n").as_bytes()).await;
    ///     })?;
    ///     Ok(())
    /// }
    /// ```
    pub fn bind_unix(path: impl Into<UnixPath>) -> io::Result<TcpServer<AnyStream>> {
        Ok(TcpServer::new(bind_unix(&path.into())?))
    }

    /// Serves a Unix socket that is listening already, such as one that a service manager passed
    /// (sd_listen_fds(3)). Its file, if it has one, stays where it is. Its backlog becomes that of
    /// [`TcpServer::bind`].
    ///
    /// # Errors
    /// `InvalidInput` if `listener` is not a Unix stream socket, and those of listen(2).
    pub fn from_unix_listener(listener: UnixListener) -> io::Result<TcpServer<AnyStream>> {
        Ok(TcpServer::new(listen_on_unix(listener)?))
    }
}

/// # Binding to more
impl<S> TcpServer<S> {
    fn new(listener: BoundListener) -> Self {
        let stats = Stats::default();
        let observed = stats.clone();
        let observe = move |number| observed.of_loop(number).map(|stats| stats.to_string());
        let options = Options {
            per_loop: false,
            loops: default_loops(),
            pin: true,
            event_loop: EventLoop::builder(),
            stall_threshold: Some(STALL_THRESHOLD),
            on_loop_death: OnLoopDeath::default(),
            report_on: None,
            drain_timeout: DRAIN_TIMEOUT,
            state: ServerState::new(),
            stats,
            observe: Observe(Arc::new(observe)),
        };
        let running = EnterOnDrop(options.state.clone(), Phase::Ended);
        Self { listeners: vec![listener], options, running, stream: PhantomData }
    }

    /// Listens at a further address.
    ///
    /// # Errors
    /// As for [`TcpServer::bind`].
    pub fn and_bind(mut self, address: impl ToSocketAddrs) -> io::Result<Self> {
        self.listeners.push(bind(address)?);
        Ok(self)
    }

    /// Serves a further socket that is listening already.
    ///
    /// # Errors
    /// As for [`TcpServer::from_listener`].
    pub fn and_listener(mut self, listener: TcpListener) -> io::Result<Self> {
        self.listeners.push(listen_on(listener)?);
        Ok(self)
    }

    /// Listens at a Unix socket, too. From here on, the handler gets an [`AnyStream`] and a
    /// [`PeerAddr`](crate::net::PeerAddr).
    ///
    /// # Errors
    /// As for [`TcpServer::bind_unix`].
    pub fn and_bind_unix(self, path: impl Into<UnixPath>) -> io::Result<TcpServer<AnyStream>> {
        let mut server = self.into_any();
        server.listeners.push(bind_unix(&path.into())?);
        Ok(server)
    }

    /// Serves a Unix socket that is listening already, too. From here on, the handler gets an
    /// [`AnyStream`] and a [`PeerAddr`](crate::net::PeerAddr).
    ///
    /// # Errors
    /// As for [`TcpServer::from_unix_listener`].
    pub fn and_unix_listener(self, listener: UnixListener) -> io::Result<TcpServer<AnyStream>> {
        let mut server = self.into_any();
        server.listeners.push(listen_on_unix(listener)?);
        Ok(server)
    }

    /// Returns the server with a handler that gets an [`AnyStream`] and a
    /// [`PeerAddr`](crate::net::PeerAddr), whatever the server listens at.
    pub fn into_any(self) -> TcpServer<AnyStream> {
        let Self { listeners, options, running, stream: _ } = self;
        TcpServer { listeners, options, running, stream: PhantomData }
    }

    /// Returns the first TCP address that the server listens at.
    ///
    /// # Errors
    /// Those of getsockname(2). `AddrNotAvailable` if it listens only at Unix sockets.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listeners.iter().find_map(BoundListener::tcp_addr).unwrap_or_else(|| {
            let reason = "the server listens only at Unix sockets";
            Err(io::Error::new(io::ErrorKind::AddrNotAvailable, reason))
        })
    }

    /// Returns all TCP addresses that the server listens at, in the order in which they were added.
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn local_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        self.listeners.iter().filter_map(BoundListener::tcp_addr).collect()
    }

    /// Returns the paths of the socket files that the server has created, in the order in which
    /// they were added, made absolute.
    #[must_use]
    pub fn unix_paths(&self) -> Vec<&Path> {
        self.listeners.iter().filter_map(BoundListener::unix_path).collect()
    }
}

/// # Options
impl<S> TcpServer<S> {
    /// Sets the number of loops, at least one. By default there is one per core.
    pub fn loops(mut self, loops: usize) -> Self {
        self.options.loops = loops.max(1);
        self
    }

    /// Returns the number of loops.
    #[must_use]
    pub fn loop_count(&self) -> usize {
        self.options.loops
    }

    /// Sets whether each loop accepts connections for itself. Off by default.
    ///
    /// By default one acceptor, on the thread that calls [`serve`](Self::serve), gives each
    /// connection to the loop with the fewest connections among those that turn. A single loop
    /// always accepts for itself.
    ///
    /// With this option each loop has its own listener at the same port, and the kernel spreads
    /// the connections by a hash of their addresses (`SO_REUSEPORT`, socket(7)). This suits many
    /// short connections: no other thread is woken to accept one. But the kernel knows nothing of
    /// the loops: by chance some get more connections than others, and what it gives to a stuck
    /// loop waits until that loop turns again. `docs/placement.md` has figures.
    ///
    /// While the server runs, other sockets of the same user can share its port if they set
    /// `SO_REUSEPORT` too.
    ///
    /// The connections of Unix sockets are always accepted by the one acceptor, unless there is
    /// only one loop.
    ///
    /// [`serve`](Self::serve) fails with `Unsupported` on systems other than Linux and Android.
    pub fn per_loop(mut self, per_loop: bool) -> Self {
        self.options.per_loop = per_loop;
        self
    }

    /// Sets whether each loop's thread is pinned to a core of its own. On by default.
    pub fn pin(mut self, pin: bool) -> Self {
        self.options.pin = pin;
        self
    }

    /// Sets the options of each loop, such as its debug mode.
    pub fn event_loop(mut self, event_loop: Builder) -> Self {
        self.options.event_loop = event_loop;
        self
    }

    /// Sets how many threads the loops may have for [`spawn_blocking`](crate::spawn_blocking), all
    /// loops together. See [`Builder::max_blocking_threads`].
    pub fn max_blocking_threads(mut self, threads: usize) -> Self {
        self.options.event_loop = self.options.event_loop.max_blocking_threads(threads);
        self
    }

    /// Sets how long a loop may be stuck in one poll before a watchdog thread reports it, with the
    /// task: [`STALL_THRESHOLD`] by default, never with `None`. New connections avoid a stuck loop
    /// in any case, and much earlier.
    pub fn stall_threshold(mut self, threshold: Option<Duration>) -> Self {
        self.options.stall_threshold = threshold;
        self
    }

    /// Sets what the server does when a loop dies. By default it ends with an error.
    pub fn on_loop_death(mut self, on_loop_death: OnLoopDeath) -> Self {
        self.options.on_loop_death = on_loop_death;
        self
    }

    /// Logs what every loop is doing whenever the process receives `signal`: its counters, its
    /// tasks by name, its connections. A stuck loop is described from outside. The events have the
    /// level INFO and the target `brigade::server`.
    pub fn report_on(mut self, signal: SignalKind) -> Self {
        self.options.report_on = Some(signal);
        self
    }

    /// Sets how long connections have to end when the server shuts down: [`DRAIN_TIMEOUT`] by
    /// default.
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.options.drain_timeout = timeout;
        self
    }

    /// Sets how reports describe a loop, given its number: a protocol adds its own counters to the
    /// [`LoopStats`](super::LoopStats). The function is called without the loop's help, so it must
    /// read only what the loop has published.
    pub fn describe_loops(
        mut self,
        describe: impl Fn(usize) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.options.observe = Observe(Arc::new(describe));
        self
    }

    /// Returns a handle that follows the server from its start to its end.
    #[must_use]
    pub fn state(&self) -> ServerState {
        self.options.state.clone()
    }

    /// Returns the counters of the server's loops. They can be read from any thread, also while a
    /// loop is stuck, and after the server has ended.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.options.stats.clone()
    }
}

/// # Serving
impl<S: ServerStream> TcpServer<S> {
    /// Serves until SIGINT or SIGTERM, on this thread and those of the loops. A second signal
    /// forces the shutdown. See [`TcpServer::serve`].
    ///
    /// The signals are caught from the moment of the call until this returns. One that arrives
    /// while the loops are being started ends the server in the same graceful way.
    ///
    /// # Errors
    /// If a loop cannot be started, or died; see [`TcpServer::on_loop_death`].
    ///
    /// # Panics
    /// If this thread has an event loop already: call [`TcpServer::serve`] there.
    pub fn run<F, H>(self, factory: F) -> io::Result<Vec<LoopReport>>
    where
        F: Fn() -> H + Clone + Send + 'static,
        H: AsyncFn(S, S::Peer) + 'static,
    {
        self.run_protocol(move |_| Handler::<_, S>::new(factory()))
    }

    /// Serves until `shutdown` is ready, then drains.
    ///
    /// `factory` is called once on each loop and returns the handler of that loop's connections, so
    /// what a handler holds needs neither `Send` nor a lock.
    ///
    /// Draining means that no connection is accepted any more, handlers that wait for
    /// [`draining`](super::draining) are woken, and connections have the
    /// [drain timeout](TcpServer::drain_timeout) to end. What is left then is cancelled, and logged
    /// by task. A loop that is stuck is logged and waited for.
    ///
    /// Returns what each loop did.
    ///
    /// # Errors
    /// If a loop cannot be started, if its listener cannot be bound, or if a loop died; see
    /// [`TcpServer::on_loop_death`].
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    ///
    /// # Cancel safety
    /// If the future is dropped, the server accepts no more connections, and its loops drain by
    /// themselves and then end, as after `shutdown`. [`ServerState`] follows them: it reaches
    /// [`Phase::Ended`] with the last loop. Nothing waits for them, so the process should not end
    /// before that.
    pub async fn serve<F, H>(
        self,
        factory: F,
        shutdown: impl Future<Output = ()>,
    ) -> io::Result<Vec<LoopReport>>
    where
        F: Fn() -> H + Clone + Send + 'static,
        H: AsyncFn(S, S::Peer) + 'static,
    {
        self.serve_with_force(factory, shutdown, pending()).await
    }

    /// Serves as [`TcpServer::serve`] does. When `force` is ready during the shutdown, the loops
    /// are stopped at once, and a loop that is stuck is left behind.
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
        H: AsyncFn(S, S::Peer) + 'static,
    {
        self.serve_protocol(move |_| Handler::<_, S>::new(factory()), shutdown, force).await
    }
}

/// # For authors of protocols
impl<S> TcpServer<S> {
    /// Serves a [`Protocol`] until SIGINT or SIGTERM, as [`TcpServer::run`] does.
    ///
    /// # Errors
    /// As for [`TcpServer::run`].
    ///
    /// # Panics
    /// If this thread has an event loop already.
    pub fn run_protocol<M, P>(self, make: M) -> io::Result<Vec<LoopReport<P::Connection>>>
    where
        M: Fn(usize) -> P + Clone + Send + 'static,
        P: Protocol,
    {
        // Before anything else, so that a signal that arrives while the server starts is not lost.
        let report_signals = CaughtSignals::new(self.options.report_on)?;
        let signals = CaughtSignals::new([SignalKind::Interrupt, SignalKind::Terminate])?;
        let mut event_loop = EventLoop::builder().name("acceptor").build()?;
        event_loop.run_until_complete(async move {
            let (signals, report_signals) = (signals.listen()?, report_signals.listen()?);
            let signal = async || {
                // If the pipe of the signals fails there is nothing to wait for.
                let signal = signals.recv().await;
                tracing::info!(target: "brigade::server", ?signal, "shutting down");
            };
            let Self { listeners, options, running, .. } = self;
            serve(listeners, options, running, make, report_signals, signal(), signal()).await
        })
    }

    /// Serves a [`Protocol`], which `make` makes on each loop from the loop's number, as
    /// [`TcpServer::serve_with_force`] does.
    ///
    /// # Errors
    /// As for [`TcpServer::serve`].
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    pub async fn serve_protocol<M, P>(
        self,
        make: M,
        shutdown: impl Future<Output = ()>,
        force: impl Future<Output = ()>,
    ) -> io::Result<Vec<LoopReport<P::Connection>>>
    where
        M: Fn(usize) -> P + Clone + Send + 'static,
        P: Protocol,
    {
        let report_signals = Signals::new(self.options.report_on)?;
        let Self { listeners, options, running, .. } = self;
        serve(listeners, options, running, make, report_signals, shutdown, force).await
    }
}
