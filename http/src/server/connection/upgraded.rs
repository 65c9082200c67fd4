//! A connection after an upgrade: another protocol has the socket, and little else is left.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use brigade_runtime::net::PeerAddr;
use brigade_runtime::server::ConnectionGuard;
use brigade_runtime::task::Note;
use brigade_runtime::{task, time};

use crate::message::pipe::Pipe;
use crate::server::activity::{ConnectionInfo, ConnectionState};
use crate::server::connection::watch::Watch;
use crate::server::loop_context::LoopContext;

/// What the upgrade starts.
pub(super) type UpgradedProtocol = Pin<Box<dyn Future<Output = ()>>>;

/// A connection over which another protocol runs. As a task of its own it is a third of the size of
/// the connection's first task.
pub(super) struct UpgradedConnection {
    pub(super) server: Rc<LoopContext>,
    pub(super) peer: PeerAddr,
    pub(super) since: Instant,
    /// Present until this is dropped.
    pub(super) protocol: Option<UpgradedProtocol>,
    /// The body of the request that asked for the upgrade.
    pub(super) body: Option<Rc<Pipe>>,
    pub(super) watch: Option<Box<Watch>>,
    /// What the loop reports of the route if the protocol blocks it.
    pub(super) note: Option<Note>,
    /// Declared last: the connection counts as open until everything else was dropped.
    pub(super) _guard: Option<ConnectionGuard>,
}

impl UpgradedConnection {
    /// Polls the protocol, within the spans of the connection and of its request.
    pub(super) fn poll_protocol(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(protocol) = &mut self.protocol else { return Poll::Ready(()) };
        match &self.watch {
            None => protocol.as_mut().poll(cx),
            Some(watch) => watch.within_both(|| protocol.as_mut().poll(cx)),
        }
    }

    /// Adds what the connection does to the snapshot that is being taken.
    #[cold]
    fn report(&self) {
        let Some(task) = task::current() else { return };
        self.server.add_to_snapshot(ConnectionInfo {
            task: task.label.id(),
            peer: self.peer,
            state: ConnectionState::Upgraded,
            route: None,
            lasted: time::now().saturating_duration_since(self.since),
        });
    }
}

impl Future for UpgradedConnection {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.server.notebook.set(this.note);
        let polled = this.poll_protocol(cx);
        if polled.is_pending() && this.server.is_taking_snapshot() {
            this.report();
        }
        polled
    }
}

impl Drop for UpgradedConnection {
    fn drop(&mut self) {
        if let Some(body) = &self.body {
            body.leave();
        }
        let protocol = self.protocol.take();
        match self.watch.take() {
            Some(watch) => watch.end(protocol),
            None => drop(protocol),
        }
    }
}
