//! What a loop does with the connections of a server: the interface that a protocol implements.

use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

use crate::net::PeerAddr;
use crate::server::accepted::AcceptedConnection;
use crate::server::connections::Connections;
use crate::server::server_stream::ServerStream;
use crate::task::{TaskId, TaskInfo};

/// A protocol, as one loop of a server speaks it. [`TcpServer::serve_protocol`] makes one on each
/// loop, so it may hold an `Rc` and needs no lock.
///
/// A plain async function of a stream and an address is enough for most protocols: see
/// [`TcpServer::serve`]. This trait is for those that know more of their connections than that they
/// are open: which of them are idle, and what the others are doing.
///
/// [`TcpServer::serve_protocol`]: crate::server::TcpServer::serve_protocol
/// [`TcpServer::serve`]: crate::server::TcpServer::serve
pub trait Protocol: 'static {
    /// Describes one connection in reports.
    type Connection: fmt::Display + Send + 'static;

    /// Starts to serve a connection: spawns its task by [`Connections::spawn`]. The task first
    /// [claims](AcceptedConnection::claim) the connection, and keeps its guard until it is closed.
    ///
    /// If the peer has to send something before anything happens, claim the connection only then,
    /// see [`AcceptedConnection::into_unclaimed`]. The longer it is not claimed, the longer another
    /// loop can take it over if this one gets stuck.
    fn serve(self: &Rc<Self>, connection: AcceptedConnection, connections: &Connections);

    /// Called when the server starts to shut down, before every connection's task is polled once
    /// more. Does nothing by default.
    fn drain(&self) {}

    /// Closes up to `count` idle connections because the process has run out of descriptors, those
    /// that have been idle longest first. Returns how many were closed: none by default.
    fn shed(&self, count: usize, connections: &Connections) -> impl Future<Output = usize> {
        let _ = (count, connections);
        std::future::ready(0)
    }

    /// Describes the open connections, those that have waited longest first.
    fn snapshot(&self, connections: &Connections) -> impl Future<Output = Vec<Self::Connection>>;

    /// Describes a snapshot in a few lines, each preceded by a line break. By default, the number
    /// of connections and the first of them.
    fn summary(&self, connections: &[Self::Connection]) -> String {
        format!("\n  {} connections{}", connections.len(), first_lines(connections))
    }
}

/// Connections that a report describes one by one. Of more, only the number is given.
pub const DESCRIBED_MAX: usize = 20;

/// Returns the first [`DESCRIBED_MAX`] of `items`, each on a line of its own.
pub fn first_lines<T: fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().take(DESCRIBED_MAX).map(|item| format!("\n  {item}")).collect()
}

/// The protocol of [`TcpServer::serve`](crate::server::TcpServer::serve): an async function.
pub(super) struct Handler<H, S> {
    handler: Rc<H>,
    /// The peer of each open connection, by its task.
    peers: Peers,
    stream: PhantomData<fn(S)>,
}

type Peers = Rc<std::cell::RefCell<std::collections::HashMap<TaskId, PeerAddr>>>;

impl<H, S> Handler<H, S> {
    pub(super) fn new(handler: H) -> Self {
        Self { handler: Rc::new(handler), peers: Peers::default(), stream: PhantomData }
    }
}

impl<H: AsyncFn(S, S::Peer) + 'static, S: ServerStream> Protocol for Handler<H, S> {
    type Connection = ConnectionInfo;

    fn serve(self: &Rc<Self>, connection: AcceptedConnection, connections: &Connections) {
        let (handler, peers) = (self.handler.clone(), self.peers.clone());
        connections.spawn(async move {
            let peer = connection.peer;
            // The handler is called once for each connection, so it is claimed before that.
            let Some((stream, _guard)) = connection.claim() else { return };
            let _known = KnownPeer::new(peers, peer);
            // A server that listens at a Unix socket has a handler for both kinds.
            let Some((stream, peer)) = S::from_any(stream, peer) else { return };
            handler(stream, peer).await;
        });
    }

    async fn snapshot(&self, connections: &Connections) -> Vec<ConnectionInfo> {
        let peers = self.peers.borrow();
        let describe = |task: TaskInfo| ConnectionInfo {
            peer: peers.get(&task.label.id()).copied(),
            waiting: task.since_poll.unwrap_or(task.age),
            task: task.label.id(),
        };
        let mut connections: Vec<_> = connections.tasks().map(describe).collect();
        connections.sort_by_key(|connection| std::cmp::Reverse(connection.waiting));
        connections
    }
}

/// Remembers the peer of the task that is running until dropped.
struct KnownPeer {
    peers: Peers,
    task: Option<TaskId>,
}

impl KnownPeer {
    fn new(peers: Peers, peer: PeerAddr) -> Self {
        let task = crate::task::current().map(|task| task.label.id());
        peers.borrow_mut().extend(task.map(|task| (task, peer)));
        Self { peers, task }
    }
}

impl Drop for KnownPeer {
    fn drop(&mut self) {
        if let Some(task) = self.task {
            self.peers.borrow_mut().remove(&task);
        }
    }
}

/// One open connection of a server whose protocol is an async function.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// The task that serves the connection.
    pub task: TaskId,
    /// The address of the peer; `None` if the connection was not started yet.
    pub peer: Option<PeerAddr>,
    /// The time since the task was last polled.
    pub waiting: Duration,
}

impl fmt::Display for ConnectionInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}", self.task)?;
        self.peer.map_or(Ok(()), |peer| write!(f, " for {peer}"))?;
        write!(f, ": waiting for {:.1?}", self.waiting)
    }
}

#[cfg(all(test, not(brigade_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_peer_of_a_task_is_forgotten_when_its_connection_ends() {
        crate::run(async {
            let peers = Peers::default();
            let known = KnownPeer::new(peers.clone(), PeerAddr::Unix);
            assert_eq!(peers.borrow().len(), 1);
            drop(known);
            assert!(peers.borrow().is_empty());
        });
    }

    #[test]
    fn the_first_lines_of_a_report_follow_the_number_of_connections() {
        struct Numbers;
        impl Protocol for Numbers {
            type Connection = usize;
            fn serve(self: &Rc<Self>, _: AcceptedConnection, _: &Connections) {}
            async fn snapshot(&self, _: &Connections) -> Vec<usize> {
                Vec::new()
            }
        }
        assert_eq!(Numbers.summary(&[7, 8]), "\n  2 connections\n  7\n  8");
        assert_eq!(first_lines(0..100).lines().count(), 1 + DESCRIBED_MAX);
    }
}
