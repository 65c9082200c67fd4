//! What a loop does with the connections of an HTTP server.

use std::rc::Rc;
use std::time::Duration;

use brigade_runtime::server::{AcceptedConnection, Connections, Protocol};
use brigade_runtime::task;

use crate::server::activity::{ConnectionInfo, ConnectionState, summary};
use crate::server::connection::ConnectionTask;
use crate::server::connection::watched::WatchedConnection;
use crate::server::loop_context::LoopContext;

/// Only connections that have been idle for this long are closed when descriptors run out: the
/// next request of one that was busy until just now may be on its way.
const SHED_IDLE_MIN: Duration = Duration::from_millis(250);

impl Protocol for LoopContext {
    type Connection = ConnectionInfo;

    fn serve(self: &Rc<Self>, connection: AcceptedConnection, connections: &Connections) {
        let (connection, guard) = ConnectionTask::new(self.clone(), connection);
        if connection.is_watched() {
            connections.spawn(guard, WatchedConnection(connection));
        } else {
            connections.spawn(guard, connection);
        }
    }

    fn drain(&self) {
        self.drain();
    }

    async fn shed(&self, count: usize, connections: &Connections) -> usize {
        let mut idle = self.snapshot(connections).await;
        idle.retain(|one| one.state == ConnectionState::Idle && one.lasted >= SHED_IDLE_MIN);
        idle.truncate(count);
        idle.iter().for_each(|one| task::abort(one.task));
        idle.len()
    }

    async fn snapshot(&self, connections: &Connections) -> Vec<ConnectionInfo> {
        self.snapshot(connections).await
    }

    fn summary(&self, connections: &[ConnectionInfo]) -> String {
        summary(connections)
    }
}
