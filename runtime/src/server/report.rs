//! Reports on the loops of a server: while it runs, and at its end.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use crate::executor::handle::LoopHandle;
use crate::server::connections::Connections;
use crate::server::protocol::ConnectionInfo;
use crate::server::stats::LoopStats;
use crate::task;
use crate::time::timeout;

/// A loop that takes longer to describe itself is described from outside.
const REPLY_TIMEOUT: Duration = Duration::from_secs(1);

/// What one loop of a server did, returned when the server has ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoopReport<C = ConnectionInfo> {
    /// The loop's counters, all zero if it never started.
    pub stats: LoopStats,
    /// How many connections were still open at the drain deadline, and were cancelled.
    pub cancelled: usize,
    /// Descriptions of those connections, at most [`DESCRIBED_MAX`](super::DESCRIBED_MAX), those
    /// that had waited longest first.
    pub cancelled_connections: Vec<C>,
}

impl<C> fmt::Display for LoopReport<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} connections, {} cancelled", self.stats.accepted, self.cancelled)
    }
}

/// Describes the loop with a number by its counters: all that can be known without its help.
#[derive(Clone)]
pub(super) struct Observe(pub(super) Arc<dyn Fn(usize) -> Option<String> + Send + Sync>);

impl fmt::Debug for Observe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observe")
    }
}

pub(super) fn describe_from_outside(
    number: usize,
    handle: &LoopHandle,
    observe: &Observe,
) -> String {
    observe.0(number).unwrap_or_else(|| handle.snapshot().to_string())
}

/// Logs what every loop is doing. A loop that does not reply is described from outside.
pub(super) async fn log_report(handles: Vec<LoopHandle>, observe: &Observe) {
    for (number, handle) in handles.iter().enumerate() {
        let reply = timeout(REPLY_TIMEOUT, handle.spawn(describe_this_loop)).await;
        let seen = describe_from_outside(number, handle, observe);
        match reply {
            Ok(Ok(reply)) => tracing::info!(target: "brigade::server", "event loop {seen}{reply}"),
            Ok(Err(error)) => {
                tracing::info!(target: "brigade::server", "event loop {seen}: {error}");
            }
            Err(_) => tracing::warn!(
                target: "brigade::server",
                "event loop {seen}\n  no reply within {REPLY_TIMEOUT:?}"
            ),
        }
    }
}

async fn describe_this_loop() -> String {
    let mut text = describe_tasks();
    if let Some(connections) = Connections::current() {
        text += &connections.describe().await;
    }
    text
}

/// Describes the tasks of this thread's loop, a line for each name and spawn site.
fn describe_tasks() -> String {
    let mut kinds: BTreeMap<String, (usize, Duration)> = BTreeMap::new();
    for info in task::all() {
        let name = info.label.name().unwrap_or("unnamed");
        let kind = format!("'{name}' (spawned at {})", info.label.site());
        let (count, oldest) = kinds.entry(kind).or_default();
        *count += 1;
        *oldest = info.age.max(*oldest);
    }
    let mut text = String::new();
    for (kind, (count, oldest)) in kinds {
        // Writing to a string does not fail.
        let _ = write!(text, "\n  {count} x task {kind}, oldest {oldest:.1?}");
    }
    text
}

#[cfg(all(test, not(brigade_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_how_many_connections_there_were_and_how_many_were_cancelled() {
        let stats = LoopStats { accepted: 3, ..LoopStats::default() };
        let report =
            LoopReport::<ConnectionInfo> { stats, cancelled: 1, cancelled_connections: Vec::new() };
        assert_eq!(report.to_string(), "3 connections, 1 cancelled");
    }

    #[test]
    fn a_loop_describes_its_tasks_by_name_and_site_and_then_its_connections() {
        crate::run(async {
            let connections = Connections::new();
            connections
                .set_describe(std::rc::Rc::new(|| Box::pin(async { "\n  more".to_owned() })));
            for _ in 0..2 {
                task::Builder::new().name("pair").spawn(std::future::pending::<()>()).detach();
            }
            let text = describe_this_loop().await;
            let lines: Vec<_> = text.lines().collect();
            assert_eq!((lines.len(), lines[0], lines[3]), (4, "", "  more"));
            assert!(lines[1].starts_with("  1 x task 'main' (spawned at "), "{text}");
            assert!(lines[2].starts_with("  2 x task 'pair' (spawned at "), "{text}");
        });
    }

    #[test]
    fn every_loop_is_logged_with_what_is_known_of_it() {
        let lines = crate::server::logged::logged(|| {
            crate::run(async {
                let ended = std::thread::spawn(|| crate::run(async { LoopHandle::current() }));
                let handles = vec![LoopHandle::current(), ended.join().unwrap()];
                let observe = Observe(Arc::new(|number| (number == 0).then(|| "first".to_owned())));
                log_report(handles, &observe).await;
            });
        });
        let lines: Vec<_> = lines.iter().filter(|line| line.starts_with("INFO")).collect();
        assert!(lines.len() == 2 && lines[0].starts_with("INFO event loop first\n  1 x task "));
        assert!(lines[1].starts_with("INFO event loop ") && !lines[1].contains("xyzzy"));
    }
}
