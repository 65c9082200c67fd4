//! What each loop of a server runs.

use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use crate::executor::handle::LoopHandle;
use crate::server::connection_queue::LoopEvent;
use crate::server::connections::Connections;
use crate::server::loop_acceptor::LoopAcceptor;
use crate::server::protocol::{DESCRIBED_MAX, Protocol, first_lines};
use crate::task::yield_now;
use crate::time::timeout;

/// The connections of a loop that were cancelled at the drain deadline.
pub(super) struct Cancelled<C> {
    pub(super) count: usize,
    /// Descriptions of the first of them.
    pub(super) connections: Vec<C>,
}

/// Serves connections until the acceptor is gone, and then drains: waits until the connections
/// have ended, for `drain` at most, and cancels the rest.
pub(super) async fn serve_loop<P: Protocol>(
    protocol: Rc<P>,
    connections: Connections,
    mut acceptor: LoopAcceptor,
    drain: Duration,
) -> Cancelled<P::Connection> {
    connections.set_describe(describe(&protocol, &connections));
    while let Some(event) = acceptor.recv().await {
        match event {
            LoopEvent::Connection(connection) => protocol.serve(connection, &connections),
            LoopEvent::Shed(count) => {
                let closed = protocol.shed(count, &connections).await;
                tracing::debug!(target: "brigade::server", closed, "closed idle connections");
            }
        }
    }
    connections.start_drain();
    protocol.drain();
    connections.wake_all();
    // Tasks that wait for the drain run before the loop ends, even if no connection is open.
    yield_now().await;
    match timeout(drain, connections.closed()).await {
        Ok(()) => Cancelled { count: 0, connections: Vec::new() },
        Err(_) => cancel(&*protocol, &connections).await,
    }
}

/// Cancels the connections that are left, and logs what they were doing.
async fn cancel<P: Protocol>(protocol: &P, connections: &Connections) -> Cancelled<P::Connection> {
    let mut left = protocol.snapshot(connections).await;
    let count = connections.open();
    connections.abort_all();
    left.truncate(DESCRIBED_MAX);
    if count > 0 {
        tracing::warn!(
            target: "brigade::server",
            "cancelled {count} connections of event loop '{}' at the drain deadline:{}",
            LoopHandle::current().name(),
            first_lines(&left)
        );
    }
    // What they hold is dropped before the loop ends.
    connections.closed().await;
    Cancelled { count, connections: left }
}

type Describe = Rc<dyn Fn() -> Pin<Box<dyn Future<Output = String>>>>;

/// Returns a function that describes the connections of the loop, for reports. It keeps neither the
/// protocol nor the connections alive.
fn describe<P: Protocol>(protocol: &Rc<P>, connections: &Connections) -> Describe {
    let (protocol, connections) = (Rc::downgrade(protocol), connections.downgrade());
    Rc::new(move || {
        let (protocol, connections) = (protocol.upgrade(), connections.upgrade());
        Box::pin(async move {
            let (Some(protocol), Some(connections)) = (protocol, connections) else {
                return String::new();
            };
            let snapshot = protocol.snapshot(&connections).await;
            protocol.summary(&snapshot)
        })
    })
}

#[cfg(all(test, not(brigade_loom)))]
mod tests {
    use std::future::pending;

    use super::*;
    use crate::run;
    use crate::server::accepted::AcceptedConnection;
    use crate::server::logged::logged;

    /// Serves nothing.
    struct Nothing;

    impl Protocol for Nothing {
        type Connection = &'static str;

        fn serve(self: &Rc<Self>, _: AcceptedConnection, _: &Connections) {}

        async fn snapshot(&self, connections: &Connections) -> Vec<&'static str> {
            vec!["a connection"; connections.open()]
        }
    }

    #[test]
    fn connections_that_are_cancelled_are_logged() {
        let lines = logged(|| {
            run(async {
                let connections = Connections::new();
                assert_eq!(cancel(&Nothing, &connections).await.count, 0);
                for _ in 0..DESCRIBED_MAX + 5 {
                    connections.spawn(pending());
                }
                let cancelled = cancel(&Nothing, &connections).await;
                assert_eq!(cancelled.count, DESCRIBED_MAX + 5);
                assert_eq!(cancelled.connections.len(), DESCRIBED_MAX);
                assert_eq!(connections.open(), 0);
            });
        });
        let lines: Vec<_> = lines.iter().filter(|line| line.starts_with("WARN")).collect();
        assert!(lines.len() == 1 && lines[0].starts_with("WARN cancelled 25 connections of "));
    }
}
