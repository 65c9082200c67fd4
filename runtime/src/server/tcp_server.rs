//! A TCP server of several loops, for any protocol.

use std::future::{pending, poll_fn};
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::executor::builder::Builder;
use crate::executor::event_loop::EventLoop;
use crate::net::TcpStream;
use crate::server::acceptor::Acceptor;
use crate::server::connections::Connections;
use crate::server::listeners::{Listeners, LoopListener, bind, listen_on};
use crate::server::phase::{Phase, ServerState};
use crate::server::protocol::{Handler, Protocol};
use crate::server::report::{LoopReport, Observe, log_report};
use crate::server::serve_loop::{Cancelled, serve_loop};
use crate::server::stats::{LoopStats, Stats};
use crate::server::supervisor::{OnLoopDeath, Supervisor};
use crate::signal::{CaughtSignals, SignalKind, Signals};
use crate::task;
use crate::threads::group::{self, default_loops};
use crate::time::timeout;

/// By default, a poll that keeps a loop from turning for longer than this is reported.
pub const STALL_THRESHOLD: Duration = Duration::from_millis(100);

/// By default, connections have this long to end when the server shuts down.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// A TCP server that is bound to its addresses and not serving yet.
///
/// It starts one loop per core, each on a thread of its own, and serves every connection as a task
/// of one loop.
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
pub struct TcpServer {
    listeners: Vec<TcpListener>,
    options: Options,
    running: EnterOnDrop,
}

#[derive(Clone, Debug)]
struct Options {
    per_loop: bool,
    loops: usize,
    pin: bool,
    event_loop: Builder,
    stall_threshold: Option<Duration>,
    on_loop_death: OnLoopDeath,
    report_on: Option<SignalKind>,
    drain_timeout: Duration,
    state: ServerState,
    stats: Stats,
    /// Describes a loop in reports.
    observe: Observe,
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

    fn new(listener: TcpListener) -> Self {
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
        Self { listeners: vec![listener], options, running }
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

    /// Returns the first address that the server listens at.
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listeners[0].local_addr()
    }

    /// Returns all addresses that the server listens at, in the order in which they were added.
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn local_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        self.listeners.iter().map(TcpListener::local_addr).collect()
    }
}

/// # Options
impl TcpServer {
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
    /// [`LoopStats`]. The function is called without the loop's help, so it must read only what
    /// the loop has published.
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
impl TcpServer {
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
        H: AsyncFn(TcpStream, SocketAddr) + 'static,
    {
        self.run_protocol(move |_| Handler::new(factory()))
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
        H: AsyncFn(TcpStream, SocketAddr) + 'static,
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
        H: AsyncFn(TcpStream, SocketAddr) + 'static,
    {
        self.serve_protocol(move |_| Handler::new(factory()), shutdown, force).await
    }
}

/// # For authors of protocols
impl TcpServer {
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
            self.serve_until(make, report_signals, signal(), signal()).await
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
        self.serve_until(make, report_signals, shutdown, force).await
    }

    async fn serve_until<M, P>(
        self,
        make: M,
        report_signals: Signals,
        shutdown: impl Future<Output = ()>,
        force: impl Future<Output = ()>,
    ) -> io::Result<Vec<LoopReport<P::Connection>>>
    where
        M: Fn(usize) -> P + Clone + Send + 'static,
        P: Protocol,
    {
        let Self { listeners, options, running } = self;
        let Options { state, stats, drain_timeout, observe, .. } = options.clone();
        let (mut acceptor, receivers) = Acceptor::new(options.loops);
        let listeners = Listeners::new(listeners, options.per_loop, options.loops)?;
        let for_loops = receivers.into_iter().enumerate();
        let for_loops = for_loops.map(|(index, receiver)| listeners.for_loop(index, receiver));
        let for_loops = for_loops.collect::<io::Result<Vec<_>>>()?;
        stats.set_turned_away(acceptor.turned_away_counter());
        let running = Arc::new(running);
        // If this future is dropped, the acceptor is gone, and the loops drain.
        let _accepting = EnterOnDrop(state.clone(), Phase::Draining);
        // A loop that accepts for itself may do so before this thread continues.
        state.enter(Phase::Accepting);
        let mut supervisor = start_loops(options, for_loops, make, &running)?;
        let reporter = Abort(report_on_signals(report_signals, &supervisor, observe));
        let mut force = pin!(Remember::new(force));
        let outcome = accept_until(&mut acceptor, &listeners, &mut supervisor, shutdown).await;
        state.enter(Phase::Draining);
        let close = async {
            if timeout(drain_timeout, listeners.close(&mut acceptor)).await.is_err() {
                tracing::warn!(target: "brigade::server", "connections were left in the backlog");
            }
        };
        or_forced(close, force.as_mut()).await;
        drop(acceptor);
        let ended = supervisor.finish(drain_timeout, &state, force).await;
        drop(reporter);
        // A loop that was left behind no longer counts.
        state.enter(Phase::Ended);
        outcome.map(|()| reports(ended, &stats))
    }
}

/// Enters a phase when dropped.
#[derive(Debug)]
struct EnterOnDrop(ServerState, Phase);

impl Drop for EnterOnDrop {
    fn drop(&mut self) {
        self.0.enter(self.1);
    }
}

/// Starts the loops. Each holds a clone of `running` until it ends.
fn start_loops<M, P>(
    options: Options,
    listeners: Vec<LoopListener>,
    make: M,
    running: &Arc<EnterOnDrop>,
) -> io::Result<Supervisor<Cancelled<P::Connection>>>
where
    M: Fn(usize) -> P + Clone + Send + 'static,
    P: Protocol,
{
    let builder = group::Builder::new()
        .loops(options.loops)
        .pin(options.pin)
        .event_loop(options.event_loop.watch(options.stall_threshold));
    let Options { stats, drain_timeout, on_loop_death, observe, .. } = options;
    let running = running.clone();
    Supervisor::start(builder, listeners, on_loop_death, observe, move |number, listener| {
        let (make, stats, running) = (make.clone(), stats.clone(), running.clone());
        // All of this happens in the task of the loop, so that the connections are its children.
        async move {
            let _running = running;
            let acceptor = listener.open();
            stats.register(number, acceptor.receiver().counts());
            let connections = Connections::new();
            let protocol = Rc::new(make(number));
            serve_loop(protocol, connections, acceptor, drain_timeout).await
        }
    })
}

/// Accepts until `shutdown` is ready, and replaces loops that die.
///
/// # Errors
/// The death of a loop, if it is not to be replaced or cannot be.
async fn accept_until<T: Send + 'static>(
    acceptor: &mut Acceptor,
    listeners: &Listeners,
    supervisor: &mut Supervisor<T>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut shutdown = pin!(shutdown);
    loop {
        let death = {
            let mut died = pin!(supervisor.died());
            let mut accept = pin!(listeners.accept(acceptor));
            poll_fn(|cx| {
                if shutdown.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(None);
                }
                if let Poll::Ready(death) = died.as_mut().poll(cx) {
                    return Poll::Ready(Some(death));
                }
                let _ = accept.as_mut().poll(cx);
                Poll::Pending
            })
            .await
        };
        let Some((index, cause)) = death else { return Ok(()) };
        let listener = || listeners.for_loop(index, acceptor.replace(index));
        supervisor.replace(index, cause, listener)?;
    }
}

/// Logs a report whenever one of `signals` arrives.
fn report_on_signals<T: Send + 'static>(
    signals: Signals,
    supervisor: &Supervisor<T>,
    observe: Observe,
) -> task::JoinHandle<()> {
    let handles = supervisor.handles();
    task::Builder::new().name("report").spawn(async move {
        while signals.recv().await.is_ok() {
            let handles = handles.borrow().clone();
            log_report(handles, &observe).await;
        }
    })
}

/// Aborts a task when dropped.
struct Abort(task::JoinHandle<()>);

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Waits for `work`, but no longer than until `force` is ready.
async fn or_forced(work: impl Future<Output = ()>, mut force: Pin<&mut impl Future<Output = ()>>) {
    let mut work = pin!(work);
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Pending => force.as_mut().poll(cx),
        ready => ready,
    })
    .await;
}

pin_project_lite::pin_project! {
    /// A future that stays ready once it was.
    #[project = RememberView]
    enum Remember<F> {
        Waiting { #[pin] future: F },
        Ready,
    }
}

impl<F> Remember<F> {
    fn new(future: F) -> Self {
        Self::Waiting { future }
    }
}

impl<F: Future<Output = ()>> Future for Remember<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let RememberView::Waiting { future } = self.as_mut().project() {
            std::task::ready!(future.poll(cx));
            self.set(Self::Ready);
        }
        Poll::Ready(())
    }
}

fn reports<C>(ended: Vec<Option<Cancelled<C>>>, stats: &Stats) -> Vec<LoopReport<C>> {
    let report = |(number, cancelled): (usize, Option<Cancelled<C>>)| {
        let (cancelled, cancelled_connections) =
            cancelled.map_or((0, Vec::new()), |cancelled| (cancelled.count, cancelled.connections));
        let stats =
            stats.of_loop(number).unwrap_or_else(|| LoopStats { number, ..LoopStats::default() });
        LoopReport { stats, cancelled, cancelled_connections }
    };
    ended.into_iter().enumerate().map(report).collect()
}
