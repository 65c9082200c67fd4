//! The server: a listener, a group of loops, and what each of them does.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use brigade_runtime::event_loop::{self, EventLoop};
use brigade_runtime::group::{self, default_loops};
use brigade_runtime::net::listen;
use brigade_runtime::signal::{SignalKind, Signals};
use brigade_runtime::{Acceptor, Arrivals, EventLoopGroup, task, time};

use crate::connection_task::ConnectionTask;
use crate::limits::{Limits, Timeouts};
use crate::loop_server::LoopServer;
use crate::router::Router;

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
    options: Options,
}

#[derive(Clone, Debug)]
struct Options {
    loops: usize,
    pin: bool,
    limits: Limits,
    timeouts: Timeouts,
    event_loop: event_loop::Builder,
}

/// What one loop did, told when it has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoopReport {
    /// Connections that were handed to the loop.
    pub connections: usize,
    /// Requests that it read.
    pub requests: u64,
    /// Connections that were still open at the deadline of the shutdown, and were cut.
    pub cut: usize,
}

impl Server {
    /// Listens at `address`, port 0 for any that is free. Of several addresses the first that
    /// works is taken.
    ///
    /// # Errors
    /// What the last address failed with, with that address in the message: most likely
    /// `AddrInUse`.
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        let mut last = io::Error::new(io::ErrorKind::InvalidInput, "the name has no address");
        for address in address.to_socket_addrs()? {
            match listen(address) {
                Ok(listener) => return Ok(Self::new(listener)),
                Err(error) => {
                    let message = format!("cannot listen at {address}: {error}");
                    last = io::Error::new(error.kind(), message);
                }
            }
        }
        Err(last)
    }

    fn new(listener: TcpListener) -> Self {
        let options = Options {
            loops: default_loops(),
            pin: true,
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            event_loop: EventLoop::builder(),
        };
        Self { listener, options }
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

    /// Serves until SIGINT or SIGTERM, on this thread and those of the loops; a second signal
    /// ends the wait for the answers that are in flight. See [`Server::serve`].
    ///
    /// # Errors
    /// If a loop cannot be started.
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

    /// Serves until the future that `shutdown` gives is ready. This loop accepts; the loops of a
    /// group serve. `app` is called once on each of them, so that what it makes need not be
    /// `Send`, and needs no lock.
    ///
    /// Then no connection is accepted any more, what is in flight is answered with
    /// `Connection: close`, and idle connections are closed. When [`Timeouts::drain`] is over, or
    /// a second future of `shutdown` is ready, what is left is cut.
    ///
    /// Returns what each loop did.
    ///
    /// # Errors
    /// If a loop cannot be started.
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    pub async fn serve<A, S>(self, app: A, shutdown: S) -> io::Result<Vec<LoopReport>>
    where
        A: Fn() -> Router + Clone + Send + 'static,
        S: AsyncFn(),
    {
        let Self { listener, options } = self;
        let listener = brigade_runtime::net::TcpListener::from_std(listener)?;
        let (mut acceptor, arrivals) = Acceptor::new(options.loops);
        let group = start_loops(options, arrivals, app)?;
        either(acceptor.accept_from(&listener), shutdown()).await;
        acceptor.accept_waiting(&listener).await;
        drop(listener);
        drop(acceptor);
        finish(group, shutdown).await
    }
}

fn start_loops<A>(
    options: Options,
    arrivals: Vec<Arrivals>,
    app: A,
) -> io::Result<EventLoopGroup<LoopReport>>
where
    A: Fn() -> Router + Clone + Send + 'static,
{
    group::Builder::new()
        .loops(options.loops)
        .pin(options.pin)
        .event_loop(options.event_loop.clone())
        .start(arrivals, move |_, arrivals| {
            let server =
                LoopServer::new(app().build(), options.limits.clone(), options.timeouts.clone());
            serve_loop(Rc::new(server), arrivals)
        })
}

/// Waits for the loops to answer what is in flight. A second call for shutdown stops them.
async fn finish<S: AsyncFn()>(
    group: EventLoopGroup<LoopReport>,
    shutdown: S,
) -> io::Result<Vec<LoopReport>> {
    let handles: Vec<_> = group.handles().cloned().collect();
    let mut outcomes = pin!(group.outcomes());
    let mut again = pin!(async {
        shutdown().await;
        handles.iter().for_each(brigade_runtime::LoopHandle::stop);
        std::future::pending::<()>().await;
    });
    let outcomes = std::future::poll_fn(|cx| {
        let _ = again.as_mut().poll(cx);
        outcomes.as_mut().poll(cx)
    })
    .await;
    let report = |outcome: Result<LoopReport, brigade_runtime::JoinError>| match outcome {
        Ok(report) => report,
        Err(error) => {
            tracing::warn!(target: "brigade", "a loop was ended: {error}");
            LoopReport::default()
        }
    };
    Ok(outcomes.into_iter().map(report).collect())
}

/// What each loop of the group runs.
async fn serve_loop(server: Rc<LoopServer>, mut arrivals: Arrivals) -> LoopReport {
    while let Some(arrival) = arrivals.next().await {
        match ConnectionTask::new(server.clone(), arrival) {
            Ok(connection) => task::Builder::new().name("connection").spawn(connection).detach(),
            Err(error) => {
                tracing::warn!(target: "brigade::http", %error, "a connection was not taken");
            }
        }
    }
    server.begin_drain();
    connections().for_each(task::wake);
    let cut = match time::timeout(server.timeouts.drain, server.drained()).await {
        Ok(()) => 0,
        Err(_) => {
            let cut = server.open();
            tracing::warn!(target: "brigade::http", cut, "connections were cut at the deadline");
            connections().for_each(task::abort);
            cut
        }
    };
    LoopReport { connections: arrivals.handed(), requests: server.requests.get(), cut }
}

/// The tasks that this one spawned: the connections.
fn connections() -> impl Iterator<Item = task::TaskId> {
    let parent = task::current().map(|task| task.label.id());
    let children = task::all().into_iter().filter(move |task| task.parent == parent);
    children.map(|task| task.label.id())
}

/// Awaits whichever is ready first, and drops the other.
async fn either(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    std::future::poll_fn(|cx| {
        if one.as_mut().poll(cx).is_ready() || other.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        Poll::Pending
    })
    .await;
}

impl fmt::Display for LoopReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} connections, {} requests", self.connections, self.requests)
    }
}
