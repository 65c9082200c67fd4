//! The loops of a server: started together, replaced when one dies, and waited for at the end.

use std::cell::RefCell;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use brigade_runtime::group::Builder;
use brigade_runtime::thread::ThreadHandle;
use brigade_runtime::time::{self, sleep, timeout};
use brigade_runtime::{EventLoopGroup, JoinError, LoopHandle};

use crate::server::listeners::LoopListener;
use crate::server::loop_context::describe_this_loop;
use crate::server::options::LoopReport;
use crate::server::phase::{Phase, ServerState};
use crate::server::stats::Stats;

/// What becomes of a server when one of its loops ends before it was told to: by a panic outside
/// of connections, in the application's factory say, or by a handler that stops its loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnLoopDeath {
    /// The server shuts down as if it were told to, and then ends with an error that names the
    /// loop. Whoever supervises the process starts it anew.
    #[default]
    Exit,
    /// Another loop takes its place, with an application that is made anew. The connections that
    /// were open on it are lost; what waits to be taken is not. A loop that dies more than ten
    /// times within a minute brings the server down.
    Restart,
}

/// So many deaths within [`DEATHS_WITHIN`] are too many: something is wrong that a new loop does
/// not mend.
const DEATHS_MAX: usize = 10;
const DEATHS_WITHIN: Duration = Duration::from_secs(60);

/// How long a loop that should have ended by now may take before it is told of, and how long one
/// may take to say what it does.
const GRACE: Duration = Duration::from_secs(1);

/// How one loop is started, with its number and where its connections come from.
type Start = Box<dyn Fn(usize, LoopListener) -> io::Result<ThreadHandle<LoopReport>>>;

/// The loops of one server.
pub(crate) struct Supervisor {
    group: EventLoopGroup<LoopReport>,
    start: Start,
    on_death: OnLoopDeath,
    deaths: Vec<Instant>,
    alive: usize,
    stats: Stats,
    /// Known also to whoever has them report.
    handles: Rc<RefCell<Vec<LoopHandle>>>,
}

impl Supervisor {
    pub(crate) fn start<M, F>(
        builder: Builder,
        entrances: Vec<LoopListener>,
        on_death: OnLoopDeath,
        stats: Stats,
        make: M,
    ) -> io::Result<Self>
    where
        M: Fn(usize, LoopListener) -> F + Clone + Send + 'static,
        F: Future<Output = LoopReport> + 'static,
    {
        let group = builder.clone().start(entrances, make.clone())?;
        let start = move |index, entrance| {
            let make = make.clone();
            builder.thread(index).run(move || make(index, entrance))
        };
        let handles: Vec<_> = group.handles().cloned().collect();
        Ok(Self {
            alive: group.len(),
            group,
            start: Box::new(start),
            on_death,
            deaths: Vec::new(),
            stats,
            handles: Rc::new(RefCell::new(handles)),
        })
    }

    pub(crate) fn handles(&self) -> Rc<RefCell<Vec<LoopHandle>>> {
        self.handles.clone()
    }

    pub(crate) fn stats(&self) -> Stats {
        self.stats.clone()
    }

    /// Waits until a loop dies. Returns its number, and why as far as that is known.
    pub(crate) async fn died(&mut self) -> (usize, Option<JoinError>) {
        let (index, outcome) = self.group.ended().await;
        self.alive -= 1;
        (index, outcome.err())
    }

    /// Puts a new loop in the place of one that died. `entrance` gives what that one was to serve.
    ///
    /// # Errors
    /// That the loop died, if none is to take its place; why none can.
    pub(crate) fn replace(
        &mut self,
        index: usize,
        cause: Option<JoinError>,
        entrance: impl FnOnce() -> io::Result<LoopListener>,
    ) -> io::Result<()> {
        let name = self.handles.borrow()[index].name().to_owned();
        let cause = cause.map_or_else(|| "it returned".to_owned(), |error| error.to_string());
        let death = format!("event loop '{name}' died: {cause}");
        let now = time::now();
        self.deaths.retain(|death| now.saturating_duration_since(*death) < DEATHS_WITHIN);
        self.deaths.push(now);
        if self.on_death == OnLoopDeath::Exit || self.deaths.len() > DEATHS_MAX {
            tracing::error!(target: "brigade::http", "{death}; the server shuts down");
            return Err(io::Error::other(death));
        }
        tracing::error!(target: "brigade::http", "{death}; another one takes its place");
        let thread = (self.start)(index, entrance()?)?;
        self.handles.borrow_mut()[index] = thread.loop_handle().clone();
        self.group.replace(index, thread);
        self.alive += 1;
        Ok(())
    }

    /// Waits for all loops to answer what is in flight, and tells of those that do not end. When
    /// `again` is ready it stops them, and leaves behind a loop that is stuck even then.
    pub(crate) async fn finish(
        mut self,
        drain: Duration,
        phases: &ServerState,
        again: impl Future<Output = ()>,
    ) -> Vec<LoopReport> {
        let (handles, stats) = (self.handles(), self.stats());
        let mut reports = vec![LoopReport::default(); self.group.len()];
        {
            let mut all = pin!(async {
                while self.alive > 0 {
                    let (index, outcome) = self.group.ended().await;
                    self.alive -= 1;
                    match outcome {
                        Ok(report) => reports[index] = report,
                        Err(error) => {
                            tracing::warn!(target: "brigade", "a loop was ended: {error}");
                        }
                    }
                }
            });
            let mut overdue = pin!(async {
                sleep(drain).await;
                phases.enter(Phase::Cutting);
                loop {
                    sleep(GRACE).await;
                    tell_unended(&handles.borrow(), &stats);
                }
            });
            let mut stop = pin!(async {
                again.await;
                phases.enter(Phase::Cutting);
                handles.borrow().iter().for_each(LoopHandle::stop);
                sleep(GRACE).await;
                tell_unended(&handles.borrow(), &stats);
            });
            std::future::poll_fn(|cx| {
                let _: Poll<()> = overdue.as_mut().poll(cx);
                let is_over = all.as_mut().poll(cx).is_ready() || stop.as_mut().poll(cx).is_ready();
                if is_over { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
        reports
    }
}

fn tell_unended(handles: &[LoopHandle], stats: &Stats) {
    let unended = handles.iter().enumerate().filter(|(_, handle)| !handle.is_ended());
    for (number, handle) in unended {
        let seen = seen(number, handle, stats);
        tracing::warn!(target: "brigade::http", "an event loop does not end: {seen}");
    }
}

/// What can be told of a loop without asking it.
fn seen(number: usize, handle: &LoopHandle, stats: &Stats) -> String {
    let of_loop = stats.of_loop(number);
    of_loop.map_or_else(|| handle.snapshot().to_string(), |stats| stats.to_string())
}

/// Has every loop log what it does; for one that does not answer, what can be seen from outside.
pub(crate) async fn report(handles: Vec<LoopHandle>, stats: &Stats) {
    for (number, handle) in handles.iter().enumerate() {
        let said = timeout(GRACE, handle.spawn(describe_this_loop)).await;
        let seen = seen(number, handle, stats);
        match said {
            Ok(Ok(said)) => tracing::info!(target: "brigade::http", "event loop {seen}{said}"),
            Ok(Err(error)) => {
                tracing::info!(target: "brigade::http", "event loop {seen}: {error}");
            }
            Err(_) => tracing::warn!(
                target: "brigade::http",
                "event loop {seen}\n  it did not answer within {GRACE:?}"
            ),
        }
    }
}
