//! The loops of a server: started together, replaced when one dies, and waited for at the end.

use std::cell::RefCell;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::executor::handle::LoopHandle;
use crate::server::listeners::LoopListener;
use crate::server::phase::{Phase, ServerState};
use crate::server::report::{Observe, describe_from_outside};
use crate::task::JoinError;
use crate::threads::group::{Builder, EventLoopGroup};
use crate::time::{self, sleep};

/// What a server does when one of its loops dies: by a panic outside of connections, in the
/// application's factory for instance, or because a handler stops its loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnLoopDeath {
    /// The server shuts down gracefully, and then returns an error that names the loop. A process
    /// supervisor can restart it.
    #[default]
    Exit,
    /// Another loop replaces it, with a new application from the factory. The connections that
    /// were open on it are lost; those that waited to be started are not. If loops die more than
    /// ten times within a minute, the server shuts down as with [`OnLoopDeath::Exit`].
    Restart,
}

/// More deaths than this within [`DEATHS_WITHIN`] mean that a new loop does not help.
const DEATHS_MAX: usize = 10;
const DEATHS_WITHIN: Duration = Duration::from_secs(60);

/// How long a loop may overrun the drain deadline before it is reported, and again after that.
const OVERRUN_REPORTED_AFTER: Duration = Duration::from_secs(1);

/// Replaces the loop with this number.
type Restart<T> = Box<dyn Fn(&mut EventLoopGroup<T>, usize, LoopListener) -> io::Result<()>>;

/// The loops of one server, each returning a `T`.
pub(super) struct Supervisor<T: 'static> {
    group: EventLoopGroup<T>,
    restart: Restart<T>,
    on_death: OnLoopDeath,
    deaths: Deaths,
    alive: usize,
    observe: Observe,
    /// Shared with the task that logs reports.
    handles: Rc<RefCell<Vec<LoopHandle>>>,
}

impl<T: Send + 'static> Supervisor<T> {
    /// Starts a loop for each of `listeners`, which runs the future that `make` returns there.
    ///
    /// # Errors
    /// If a thread or its loop cannot be started.
    pub(super) fn start<M, F>(
        builder: Builder,
        listeners: Vec<LoopListener>,
        on_death: OnLoopDeath,
        observe: Observe,
        make: M,
    ) -> io::Result<Self>
    where
        M: Fn(usize, LoopListener) -> F + Clone + Send + 'static,
        F: Future<Output = T> + 'static,
    {
        let group = builder.clone().start(listeners, make.clone())?;
        let restart = move |group: &mut EventLoopGroup<T>, index, listener| {
            let make = make.clone();
            group.replace(index, builder.thread(index), move || make(index, listener))
        };
        let handles: Vec<_> = group.handles().cloned().collect();
        Ok(Self {
            alive: group.len(),
            group,
            restart: Box::new(restart),
            on_death,
            deaths: Deaths::default(),
            observe,
            handles: Rc::new(RefCell::new(handles)),
        })
    }

    pub(super) fn handles(&self) -> Rc<RefCell<Vec<LoopHandle>>> {
        self.handles.clone()
    }

    /// Waits until a loop dies. Returns its number, and the cause as far as it is known.
    pub(super) async fn died(&mut self) -> (usize, Option<JoinError>) {
        let (index, outcome) = self.group.ended().await;
        self.alive -= 1;
        (index, outcome.err())
    }

    /// Replaces a loop that died. `listener` returns where its connections come from.
    ///
    /// # Errors
    /// The death itself, if the loop is not to be replaced; otherwise why it cannot be.
    pub(super) fn replace(
        &mut self,
        index: usize,
        cause: Option<JoinError>,
        listener: impl FnOnce() -> io::Result<LoopListener>,
    ) -> io::Result<()> {
        let name = self.handles.borrow()[index].name().to_owned();
        let cause = cause.map_or_else(|| "it returned".to_owned(), |error| error.to_string());
        let death = format!("event loop '{name}' died: {cause}");
        let are_too_many = self.deaths.record(time::now());
        if self.on_death == OnLoopDeath::Exit || are_too_many {
            tracing::error!(target: "brigade::server", "{death}; shutting down");
            return Err(io::Error::other(death));
        }
        tracing::error!(target: "brigade::server", "{death}; replacing it");
        (self.restart)(&mut self.group, index, listener()?)?;
        *self.handles.borrow_mut() = self.group.handles().cloned().collect();
        self.alive += 1;
        Ok(())
    }

    /// Waits until all loops have ended, and reports those that overrun the drain deadline. When
    /// `force` is ready, stops the loops, and leaves behind those that are stuck even then.
    /// Returns the output of each loop that has ended by itself.
    pub(super) async fn finish(
        mut self,
        drain: Duration,
        state: &ServerState,
        force: impl Future<Output = ()>,
    ) -> Vec<Option<T>> {
        let (handles, observe) = (self.handles(), self.observe.clone());
        let mut outputs: Vec<_> = (0..self.group.len()).map(|_| None).collect();
        {
            let mut all_ended = pin!(async {
                while self.alive > 0 {
                    let (index, outcome) = self.group.ended().await;
                    self.alive -= 1;
                    match outcome {
                        Ok(output) => outputs[index] = Some(output),
                        Err(error) => {
                            tracing::warn!(target: "brigade::server", "event loop ended: {error}");
                        }
                    }
                }
            });
            let mut overrun = pin!(async {
                sleep(drain).await;
                state.enter(Phase::Cancelling);
                loop {
                    sleep(OVERRUN_REPORTED_AFTER).await;
                    report_running(&handles.borrow(), &observe);
                }
            });
            let mut forced = pin!(async {
                force.await;
                state.enter(Phase::Cancelling);
                handles.borrow().iter().for_each(LoopHandle::stop);
                sleep(OVERRUN_REPORTED_AFTER).await;
                report_running(&handles.borrow(), &observe);
            });
            std::future::poll_fn(|cx| {
                let _: Poll<()> = overrun.as_mut().poll(cx);
                let is_over =
                    all_ended.as_mut().poll(cx).is_ready() || forced.as_mut().poll(cx).is_ready();
                if is_over { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
        outputs
    }
}

/// When loops died, as far as it matters for those that die next.
#[derive(Debug, Default)]
struct Deaths(Vec<Instant>);

impl Deaths {
    /// Records a death. Returns `true` if too many loops died in a short time.
    fn record(&mut self, now: Instant) -> bool {
        self.0.retain(|death| now.saturating_duration_since(*death) < DEATHS_WITHIN);
        self.0.push(now);
        self.0.len() > DEATHS_MAX
    }
}

fn report_running(handles: &[LoopHandle], observe: &Observe) {
    let running = handles.iter().enumerate().filter(|(_, handle)| !handle.is_ended());
    for (number, handle) in running {
        let seen = describe_from_outside(number, handle, observe);
        tracing::warn!(target: "brigade::server", "event loop does not end: {seen}");
    }
}

#[cfg(all(test, not(brigade_loom)))]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::run;
    use crate::server::logged::logged;

    #[test]
    fn more_than_ten_deaths_within_a_minute_are_too_many() {
        let begin = Instant::now();
        let mut deaths = Deaths::default();
        assert!((0..DEATHS_MAX).all(|_| !deaths.record(begin)));
        assert!(deaths.record(begin + DEATHS_WITHIN / 2));
        let later = begin + DEATHS_WITHIN;
        assert!((1..DEATHS_MAX).all(|_| !deaths.record(later)));
        assert!(deaths.record(later));
    }

    #[test]
    fn loops_that_have_not_ended_are_reported() {
        let ended = run(async { LoopHandle::current() });
        let observe = Observe(Arc::new(|number| Some(format!("loop {number}"))));
        let lines = logged(|| {
            run(async move { report_running(&[ended, LoopHandle::current()], &observe) });
        });
        assert!(lines.iter().any(|line| line == "WARN event loop does not end: loop 1"));
        assert!(!lines.iter().any(|line| line.ends_with("loop 0")));
    }
}
