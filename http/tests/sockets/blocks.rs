//! Handlers that block or stop their loop, and servers whose result a test examines.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, mpsc};

use brigade_http::{LoopReport, MethodRouter, Request, Router, Server, get};
use brigade_runtime::oneshot::{SyncSender, sync_channel};
use brigade_runtime::{LoopHandle, ThreadHandle, run_in_thread};

use super::{PATIENCE, connect, once};

/// Blocks the loop that calls [`Block::wait`] until the test releases it.
#[derive(Clone)]
pub struct Block {
    blocked: mpsc::Sender<String>,
    released: Arc<Mutex<mpsc::Receiver<()>>>,
}

/// Returns a block, a receiver of the names of the loops that it blocks, and a sender of releases.
/// Each value sent releases one loop; dropping the sender releases all.
pub fn block() -> (Block, mpsc::Receiver<String>, mpsc::Sender<()>) {
    let (blocked, is_blocked) = mpsc::channel();
    let (release, released) = mpsc::channel();
    (Block { blocked, released: Arc::new(Mutex::new(released)) }, is_blocked, release)
}

impl Block {
    pub fn wait(&self) {
        self.blocked.send(loop_name()).unwrap();
        let released = self.released.lock().unwrap();
        // The timeout lets a failed test end.
        let _ = released.recv_timeout(PATIENCE);
    }

    /// Returns a handler that blocks its loop, and responds with `done`.
    pub fn handler(&self) -> MethodRouter {
        let block = self.clone();
        get(move || {
            block.wait();
            std::future::ready("done")
        })
    }
}

pub fn loop_name() -> String {
    LoopHandle::current().name().to_owned()
}

/// A handler that stops its loop, which closes the connection.
pub async fn stop_loop(_: Request) {
    LoopHandle::current().stop();
    std::future::pending::<()>().await;
}

/// Starts `server` in a thread that returns the result of `serve`. Dropping the sender begins the
/// shutdown.
pub fn serve(
    server: Server,
    app: impl Fn() -> Router + Clone + Send + 'static,
) -> (SocketAddr, SyncSender<()>, ThreadHandle<io::Result<Vec<LoopReport>>>) {
    let address = server.local_addr().unwrap();
    let (shutdown, signal) = sync_channel::<()>();
    let thread =
        run_in_thread("acceptor", move || async move { server.serve(app, once(signal)).await });
    (address, shutdown, thread.unwrap())
}

/// Sends a request on a new connection. Returns all bytes that arrive until the connection ends,
/// also if it is reset.
pub fn ask(address: SocketAddr, path: &str) -> String {
    let mut client = connect(address);
    client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"));
    let mut response = String::new();
    let _ = client.stream.read_to_string(&mut response);
    response
}
