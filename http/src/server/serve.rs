//! What a loop does with the connections of an HTTP server.

use std::rc::Rc;
use std::time::Duration;

use brigade_runtime::server::{AcceptedConnection, Connections, Protocol};

use crate::server::activity::{ConnectionInfo, ConnectionState, summary};
use crate::server::connection::ConnectionTask;
use crate::server::http2;
use crate::server::loop_context::LoopContext;
use crate::server::opening::Opening;

/// Only connections that have been idle for this long are closed when descriptors run out: the
/// next request of one that was busy until just now may be on its way.
const SHED_IDLE_MIN: Duration = Duration::from_millis(250);

impl Protocol for LoopContext {
    type Connection = ConnectionInfo;

    fn serve(self: &Rc<Self>, connection: AcceptedConnection, connections: &Connections) {
        if self.handshake.is_some() || http2::is_detected(&self.http2) {
            connections.spawn(Opening::new(self.clone(), connection, connections));
        } else {
            ConnectionTask::new(self.clone(), connection).spawn(connections);
        }
    }

    fn drain(&self) {
        self.drain();
    }

    async fn shed(&self, count: usize, connections: &Connections) -> usize {
        let mut idle = self.snapshot(connections).await;
        idle.retain(|one| one.state == ConnectionState::Idle && one.lasted >= SHED_IDLE_MIN);
        idle.truncate(count);
        self.close_idle(idle.iter().map(|one| one.task)).await
    }

    async fn snapshot(&self, connections: &Connections) -> Vec<ConnectionInfo> {
        self.snapshot(connections).await
    }

    fn summary(&self, connections: &[ConnectionInfo]) -> String {
        summary(connections)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use brigade_runtime::net::TcpListener;
    use brigade_runtime::server::{Acceptor, LoopEvent};
    use brigade_runtime::{run, spawn, spawn_blocking, task};

    use super::*;
    use crate::routing::method_router::get;
    use crate::routing::router::Router;
    use crate::server::loop_context::Options;
    use crate::server::stats::Stats;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    /// Serves one connection with `context`, in a task of this name.
    async fn serve_one(context: &Rc<LoopContext>, name: &'static str) -> TcpStream {
        let (mut acceptor, mut receivers) = Acceptor::new(1);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let accepting = spawn(async move { acceptor.accept_from(&[listener]).await });
        let Some(LoopEvent::Connection(accepted)) = receivers[0].recv().await else {
            panic!("no connection");
        };
        accepting.abort();
        let connection = ConnectionTask::new(context.clone(), accepted);
        task::Builder::new().name(name).spawn(connection).detach();
        client
    }

    /// Sends a request, unless it was sent, and returns the response, which is empty if the server
    /// has closed.
    async fn response(mut client: TcpStream, request: &'static [u8]) -> (TcpStream, String) {
        let exchange = move || {
            client.write_all(request).unwrap();
            let mut buffer = [0; 1024];
            let read = client.read(&mut buffer).unwrap_or(0);
            (client, String::from_utf8_lossy(&buffer[..read]).into_owned())
        };
        spawn_blocking(exchange).await.unwrap()
    }

    #[test]
    fn an_idle_connection_whose_next_request_has_just_arrived_is_not_closed() {
        run(async {
            let routes = Router::new().route("/", get(async || "hello")).into_service();
            let stats = Stats::new(Default::default());
            let counters = stats.register(0);
            let context = LoopContext::new(routes, Options::default(), 0, counters, Some(stats));
            let context = Rc::new(context);
            let mut clients = Vec::new();
            for name in ["busy", "idle"] {
                let (client, first) = response(serve_one(&context, name).await, REQUEST).await;
                assert!(first.ends_with("hello"), "{first}");
                clients.push(client);
            }
            // From here on the selector is not asked before the connections are closed.
            clients[0].write_all(REQUEST).unwrap();
            let is_connection =
                |task: &task::TaskInfo| matches!(task.label.name(), Some("busy" | "idle"));
            let tasks = task::all().into_iter().filter(is_connection).map(|task| task.label.id());
            assert_eq!(context.close_idle(tasks).await, 1);
            let idle = clients.pop().unwrap();
            let (_, second) = response(clients.pop().unwrap(), b"").await;
            assert!(second.ends_with("hello"), "{second}");
            let (_, end) = response(idle, b"").await;
            assert_eq!(end, "");
        });
    }
}
