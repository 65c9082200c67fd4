//! A server that serves: from its start to its end.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::executor::builder::Builder;
use crate::server::acceptor::Acceptor;
use crate::server::connections::Connections;
use crate::server::listeners::{BoundListener, Listeners, LoopListener};
use crate::server::phase::{Phase, ServerState};
use crate::server::protocol::Protocol;
use crate::server::report::{LoopReport, Observe, log_report};
use crate::server::serve_loop::{Cancelled, serve_loop};
use crate::server::stats::{LoopStats, Stats};
use crate::server::supervisor::{OnLoopDeath, Supervisor};
use crate::signal::{SignalKind, Signals};
use crate::task;
use crate::threads::group;
use crate::time::timeout;

/// The options of a server, see the methods of the same names.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) per_loop: bool,
    pub(super) loops: usize,
    pub(super) pin: bool,
    pub(super) event_loop: Builder,
    pub(super) stall_threshold: Option<Duration>,
    pub(super) on_loop_death: OnLoopDeath,
    pub(super) report_on: Option<SignalKind>,
    pub(super) drain_timeout: Duration,
    pub(super) state: ServerState,
    pub(super) stats: Stats,
    /// Describes a loop in reports.
    pub(super) observe: Observe,
}

/// Serves the connections of `listeners` until `shutdown` is ready, then drains, at most until
/// `force` is ready.
pub(super) async fn serve<M, P>(
    listeners: Vec<BoundListener>,
    options: Options,
    running: EnterOnDrop,
    make: M,
    report_signals: Signals,
    shutdown: impl Future<Output = ()>,
    force: impl Future<Output = ()>,
) -> io::Result<Vec<LoopReport<P::Connection>>>
where
    M: Fn(usize) -> P + Clone + Send + 'static,
    P: Protocol,
{
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

/// Enters a phase when dropped.
#[derive(Debug)]
pub(super) struct EnterOnDrop(pub(super) ServerState, pub(super) Phase);

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

#[cfg(all(test, not(brigade_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_aborted_with_its_owner() {
        crate::run(async {
            let owner = Abort(crate::spawn(std::future::pending()));
            assert_eq!(task::all().len(), 2);
            drop(owner);
            task::yield_now().await;
            assert_eq!(task::all().len(), 1);
        });
    }

    #[test]
    fn loops_that_never_started_are_reported_with_their_numbers() {
        let reports = reports::<()>(vec![None, None], &Stats::default());
        let numbers: Vec<_> = reports.iter().map(|report| report.stats.number).collect();
        assert_eq!(numbers, [0, 1]);
    }
}
