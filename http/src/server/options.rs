//! The server: a listener, a group of loops, and what each of them does.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use brigade_runtime::event_loop::{self, EventLoop};
use brigade_runtime::group::{self, default_loops};
use brigade_runtime::net::{listen, listen_on, listen_reuse_port};
use brigade_runtime::signal::{SignalKind, Signals};
use brigade_runtime::{AcceptedConnection, Acceptor, Incoming, LoopAcceptor, task, time};

use crate::protocol::limits::Limits;
use crate::routing::router::Router;
use crate::server::activity::{Activity, NAMED_MAX, list};
use crate::server::connection::{ConnectionTask, WatchedConnection};
use crate::server::crew::{OnLoopDeath, Supervisor, report};
use crate::server::listeners::{Accept, Listeners, LoopListener, listen_at_first};
use crate::server::loop_context::{CONNECTION, LoopServer};
use crate::server::phase::{Phase, ServerState};
use crate::server::stats::Stats;
use crate::server::timeouts::Timeouts;

/// A server that is bound to its address, and not serving yet.
///
/// # Examples
/// ```no_run
/// use brigade_http::{Router, Server, get};
///
/// fn main() -> std::io::Result<()> {
///     let server = Server::bind("127.0.0.1:8080")?;
///     server.run(|| Router::new().route("/", get(async |_| "Hello, World!")))?;
///     Ok(())
/// }
/// ```
#[derive(Debug)]
#[must_use]
pub struct Server {
    listener: TcpListener,
    accept: Accept,
    options: Options,
}

#[derive(Clone, Debug)]
struct Options {
    loops: usize,
    pin: bool,
    limits: Limits,
    timeouts: Timeouts,
    event_loop: event_loop::Builder,
    stall_threshold: Option<Duration>,
    on_loop_death: OnLoopDeath,
    report_on: Option<SignalKind>,
    server_timing: bool,
    phases: ServerState,
    stats: Stats,
}

/// A poll that keeps a loop from turning for longer than this is reported while it lasts.
pub const STALL_THRESHOLD: Duration = Duration::from_millis(100);

/// What one loop did, told when it has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoopReport {
    /// Connections that the loop accepted, or that were handed to it and not taken back.
    pub connections: usize,
    /// Connections that waited for the loop while it was stuck, and were given to another.
    pub taken_back: usize,
    /// Requests that it read.
    pub requests: u64,
    /// Connections that were still open at the deadline of the shutdown, and were cut.
    pub cut: usize,
    /// What those were doing, of no more than twenty.
    pub held: Vec<Activity>,
}

impl Server {
    /// Listens at `address`, port 0 for any that is free. Of several addresses the first that
    /// works is taken.
    ///
    /// One acceptor, on the thread that calls [`Server::serve`], places each connection with the
    /// loop that has the fewest among those that turn. A single loop accepts for itself.
    ///
    /// # Errors
    /// What the last address failed with, with that address in the message: most likely
    /// `AddrInUse`.
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        Ok(Self::new(listen_at_first(address, listen)?, Accept::Placed))
    }

    /// Like [`Server::bind`], but each loop accepts for itself, from a listener of its own at the
    /// same port; the kernel spreads the connections over them by a hash of their addresses
    /// (`SO_REUSEPORT`, socket(7)). For many short connections: accepting costs least so, since
    /// no other thread is woken for it.
    ///
    /// The kernel knows nothing of the loops. Some get more connections than others, by chance;
    /// and what it gives to a loop that is stuck waits until that loop turns again, even if all
    /// others are idle. `docs/placement.md` has figures.
    ///
    /// Another process of the same user may bind the same port in this way, and then takes a part
    /// of the connections: a server that was started twice is not noticed.
    ///
    /// # Errors
    /// Like [`Server::bind`]; `AddrInUse` if a socket without this option, or of another user,
    /// listens there. `Unsupported` on systems other than Linux and Android.
    pub fn bind_per_loop(address: impl ToSocketAddrs) -> io::Result<Self> {
        Ok(Self::new(listen_at_first(address, listen_reuse_port)?, Accept::PerLoop))
    }

    /// Serves what comes to a socket that listens already, as [`Server::bind`] does: one that a
    /// service manager handed over, so that no connection is refused during a restart
    /// (sd_listen_fds(3)), or one with options that are not set here, such as `TCP_DEFER_ACCEPT`
    /// (tcp(7)). Its backlog becomes that of [`Server::bind`].
    ///
    /// # Errors
    /// If `listener` is at no address of the internet, and those of listen(2): `InvalidInput` for a
    /// connection, as a service manager hands over with `Accept=yes`.
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
    ///     server.run(|| Router::new().route("/", get(async |_| "Hello, World!")))?;
    ///     Ok(())
    /// }
    /// ```
    pub fn from_listener(listener: TcpListener) -> io::Result<Self> {
        listener.local_addr()?;
        Ok(Self::new(listen_on(listener)?, Accept::Placed))
    }

    fn new(listener: TcpListener, accept: Accept) -> Self {
        let options = Options {
            loops: default_loops(),
            pin: true,
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            event_loop: EventLoop::builder(),
            stall_threshold: Some(STALL_THRESHOLD),
            on_loop_death: OnLoopDeath::default(),
            report_on: None,
            server_timing: false,
            phases: ServerState::new(),
            stats: Stats::default(),
        };
        Self { listener, accept, options }
    }

    /// The address that the server listens at.
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// How many loops will serve.
    #[must_use]
    pub fn loop_count(&self) -> usize {
        self.options.loops
    }

    /// How many loops serve: one per core without this, and at least one.
    pub fn loops(mut self, loops: usize) -> Self {
        self.options.loops = loops.max(1);
        self
    }

    /// Whether each loop's thread is kept on a core of its own; so it is without this.
    pub fn pin(mut self, pin: bool) -> Self {
        self.options.pin = pin;
        self
    }

    /// What a peer may send at most.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.options.limits = limits;
        self
    }

    /// How long a peer may take.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.options.timeouts = timeouts;
        self
    }

    /// The options of each loop, such as its debug mode.
    pub fn event_loop(mut self, event_loop: event_loop::Builder) -> Self {
        self.options.event_loop = event_loop;
        self
    }

    /// After what time a loop that is stuck in one poll is reported, by a thread beside it, with
    /// the task and the route: [`STALL_THRESHOLD`] without this, never with `None`. New connections
    /// avoid such a loop in any case, and much earlier.
    pub fn stall_threshold(mut self, threshold: Option<Duration>) -> Self {
        self.options.stall_threshold = threshold;
        self
    }

    /// What becomes of the server when a loop dies; it ends with an error without this.
    pub fn on_loop_death(mut self, on_loop_death: OnLoopDeath) -> Self {
        self.options.on_loop_death = on_loop_death;
        self
    }

    /// Has every loop log what it is doing when the process receives `signal`: its tasks by name,
    /// its connections by state, the requests that have taken longest. Of a loop that is stuck,
    /// where. The event is at level INFO and its target `brigade::http`.
    pub fn report_on(mut self, signal: SignalKind) -> Self {
        self.options.report_on = Some(signal);
        self
    }

    /// Whether answers tell in a `Server-Timing` field (W3C Server Timing) where the time of their
    /// request went; off without this. Durations are in milliseconds of real time:
    ///
    /// ```text
    /// server-timing: intake;dur=0.412, loop;desc="2";dur=3.100, handler;dur=12.034
    /// ```
    ///
    /// - `intake`, on the first answer of a connection alone: from the time that it was accepted
    ///   to that when its loop began with it; where the loops accept for themselves, from when the
    ///   connection may have come, at the earliest. The later requests did not wait there.
    /// - `loop`: the number of the loop, and its lag: how long the connection's task waited for its
    ///   turn with this request, at most. That is until the request was begun, and while it was
    ///   handled each time from when the task may have been woken. The loop sees what arrives only
    ///   when it asks the system, so what it did just before counts, whenever within that the bytes
    ///   arrived: a handler of another connection that blocks the thread is seen here. What this
    ///   connection itself did meanwhile does not count; so a pipelined request does not tell how
    ///   long it waited for those before it.
    /// - `handler`: from the end of the request's head to the head of the answer, middleware and
    ///   waiting included, without the lag. Absent on the answer to what is no request.
    ///
    /// A field of that name that the handler sets is sent too; their entries form one list
    /// (RFC 9110 section 5.3). A body that follows the head in parts takes its time unseen.
    ///
    /// This tells every client how busy the server is, and how long its work on secrets takes:
    /// leave it off, or have a proxy remove the field, where clients are not to be trusted with
    /// that. Scripts of other origins see it only if the application sends `Timing-Allow-Origin`.
    /// It costs three readings of the clock a request, and a few allocations.
    pub fn server_timing(mut self, server_timing: bool) -> Self {
        self.options.server_timing = server_timing;
        self
    }

    /// Follows the server from its start to its end.
    #[must_use]
    pub fn phases(&self) -> ServerState {
        self.options.phases.clone()
    }

    /// What the server's loops do, in numbers: from any thread, also while a loop is stuck, and
    /// when the server has ended. A handler finds it with [`Stats::current`].
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.options.stats.clone()
    }

    /// Serves until SIGINT or SIGTERM, on this thread and those of the loops; a second signal
    /// ends the wait for the answers that are in flight. See [`Server::serve`].
    ///
    /// # Errors
    /// If a loop cannot be started, or died; see [`Server::on_loop_death`].
    ///
    /// # Panics
    /// If this thread has an event loop already: call [`Server::serve`] there.
    pub fn run<A>(self, app: A) -> io::Result<Vec<LoopReport>>
    where
        A: Fn() -> Router + Clone + Send + 'static,
    {
        let mut event_loop = EventLoop::builder().name("acceptor").build()?;
        event_loop.run_until_complete(async move {
            let signals = Signals::new([SignalKind::Interrupt, SignalKind::Terminate])?;
            self.serve(app, async move || {
                // A pipe that fails cannot tell of signals; then there is nothing to wait for.
                let signal = signals.recv().await;
                tracing::info!(target: "brigade", ?signal, "shutting down");
            })
            .await
        })
    }

    /// Serves until the future that `shutdown` gives is ready. The loops of a group serve; this one
    /// accepts for them, unless they do so for themselves ([`Server::bind_per_loop`]), and looks
    /// after them. `app` is called once on each of them, so that what it makes need not be
    /// `Send`, and needs no lock.
    ///
    /// Then no connection is accepted any more, what is in flight is answered with
    /// `Connection: close`, and idle connections are closed. When [`Timeouts::drain`] is over, or
    /// a second future of `shutdown` is ready, what is left is cut, and it is logged what that
    /// was. A loop that is stuck then is waited for and logged, and after that second future left
    /// behind.
    ///
    /// Returns what each loop did.
    ///
    /// # Errors
    /// If a loop cannot be started, or its listener cannot be had, or a loop died; see
    /// [`Server::on_loop_death`].
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    pub async fn serve<A, S>(self, app: A, shutdown: S) -> io::Result<Vec<LoopReport>>
    where
        A: Fn() -> Router + Clone + Send + 'static,
        S: AsyncFn(),
    {
        let Self { listener, accept, options } = self;
        let (mut acceptor, arrivals) = Acceptor::new(options.loops);
        let listeners = Listeners::new(listener, accept, options.loops)?;
        let entrances = arrivals.into_iter().enumerate();
        let entrances = entrances.map(|(index, arrivals)| listeners.entrance(index, arrivals));
        let entrances = entrances.collect::<io::Result<Vec<_>>>()?;
        let Options { phases, stats, report_on, .. } = options.clone();
        stats.count_turned_away(acceptor.turned_away_counter());
        let drain = options.timeouts.drain;
        let _ends = Ends(phases.clone());
        // A loop that accepts for itself may do so before this thread goes on.
        phases.enter(Phase::Accepting);
        let mut crew = start_crew(options, entrances, app)?;
        let reporter = report_on.map(|signal| report_on_signal(signal, &crew)).transpose()?;
        let shut_down = accept_until(&mut acceptor, &listeners, &mut crew, shutdown()).await;
        phases.enter(Phase::Draining);
        listeners.close(&mut acceptor).await;
        drop(acceptor);
        let reports = crew.finish(drain, &phases, shutdown()).await;
        if let Some(reporter) = reporter {
            reporter.abort();
        }
        shut_down.map(|()| reports)
    }
}

/// Says that the server has ended, however it does.
struct Ends(ServerState);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.enter(Phase::Ended);
    }
}

fn start_crew<A>(options: Options, entrances: Vec<LoopListener>, app: A) -> io::Result<Supervisor>
where
    A: Fn() -> Router + Clone + Send + 'static,
{
    let builder = group::Builder::new()
        .loops(options.loops)
        .pin(options.pin)
        .event_loop(options.event_loop.watch(options.stall_threshold));
    let Options { limits, timeouts, server_timing, stats, on_loop_death, .. } = options;
    let of_crew = stats.clone();
    Supervisor::start(builder, entrances, on_loop_death, of_crew, move |number, entrance| {
        // Within the task of the loop, so that its connections know whose they are.
        let (app, limits, timeouts) = (app.clone(), limits.clone(), timeouts.clone());
        let (timed_loop, stats) = (server_timing.then_some(number), stats.clone());
        async move {
            let acceptor = entrance.open();
            let counters = stats.enter(number, acceptor.arrivals().traffic());
            let routes = app().into_service();
            let server = LoopServer::new(routes, limits, timeouts, timed_loop, counters, stats);
            let server = Rc::new(server);
            serve_loop(server, acceptor).await
        }
    })
}

/// Accepts until `shutdown` is ready, and replaces loops that die.
///
/// # Errors
/// That a loop died, if it is not to be replaced or cannot be.
async fn accept_until(
    acceptor: &mut Acceptor,
    listeners: &Listeners,
    crew: &mut Supervisor,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut shutdown = pin!(shutdown);
    loop {
        let death = {
            let mut died = pin!(crew.died());
            let mut accept = pin!(listeners.accept(acceptor));
            std::future::poll_fn(|cx| {
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
        crew.replace(index, cause, || listeners.entrance(index, acceptor.replace(index)))?;
    }
}

fn report_on_signal(kind: SignalKind, crew: &Supervisor) -> io::Result<task::JoinHandle<()>> {
    let signals = Signals::new([kind])?;
    let (handles, stats) = (crew.handles(), crew.stats());
    Ok(task::Builder::new().name("report").spawn(async move {
        while signals.recv().await.is_ok() {
            let handles = handles.borrow().clone();
            report(handles, &stats).await;
        }
    }))
}

/// What each loop of the group runs.
async fn serve_loop(server: Rc<LoopServer>, mut acceptor: LoopAcceptor) -> LoopReport {
    server.install();
    while let Some(incoming) = acceptor.next_incoming().await {
        match incoming {
            Incoming::Connection(arrival) => begin_connection(&server, arrival),
            Incoming::Shed(count) => {
                let closed = server.shed(count).await;
                tracing::debug!(target: "brigade::http", closed, "closed idle connections");
            }
            _ => {}
        }
    }
    server.begin_drain();
    server.connections().for_each(task::wake);
    let drained = time::timeout(server.timeouts.drain, server.drained()).await;
    let (cut, held) = match drained {
        Ok(()) => (0, Vec::new()),
        Err(_) => cut(&server).await,
    };
    let traffic = acceptor.arrivals().traffic();
    LoopReport {
        connections: traffic.handed() - traffic.taken_back(),
        taken_back: traffic.taken_back(),
        requests: server.counters.requests(),
        cut,
        held,
    }
}

fn begin_connection(server: &Rc<LoopServer>, arrival: AcceptedConnection) {
    let connection = ConnectionTask::new(server.clone(), arrival);
    let task = task::Builder::new().name(CONNECTION);
    if connection.is_watched() {
        task.spawn(WatchedConnection(connection)).detach();
    } else {
        task.spawn(connection).detach();
    }
}

/// Cuts the connections that are left, and tells what they were doing.
async fn cut(server: &LoopServer) -> (usize, Vec<Activity>) {
    let mut held = server.connection_snapshot().await;
    held.sort_by_key(|activity| std::cmp::Reverse(activity.lasted));
    let cut = server.open();
    server.connections().for_each(task::abort);
    held.truncate(NAMED_MAX);
    if cut > 0 {
        let mut text = String::new();
        list(&mut text, held.iter());
        let event_loop = brigade_runtime::LoopHandle::current().name().to_owned();
        tracing::warn!(
            target: "brigade::http",
            "{cut} connections of event loop '{event_loop}' were cut at the deadline:{text}"
        );
    }
    // What they leave behind is dropped before the loop says that it is done.
    server.drained().await;
    (cut, held)
}

impl fmt::Display for LoopReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} connections, {} requests", self.connections, self.requests)
    }
}
