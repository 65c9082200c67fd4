//! Handlers that block their loop until the test says otherwise, and servers of which the outcome
//! is looked at.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, mpsc};

use brigade_http::{LoopReport, Router, Server};
use brigade_runtime::oneshot::{SyncSender, sync_channel};
use brigade_runtime::{LoopHandle, ThreadHandle, run_in_thread};

use super::PATIENCE;

/// Keeps loops from turning: each call of the handler waits for one release.
#[derive(Clone)]
pub struct Block {
    blocked: mpsc::Sender<String>,
    released: Arc<Mutex<mpsc::Receiver<()>>>,
}

pub fn block() -> (Block, mpsc::Receiver<String>, mpsc::Sender<()>) {
    let (blocked, is_blocked) = mpsc::channel();
    let (release, released) = mpsc::channel();
    (Block { blocked, released: Arc::new(Mutex::new(released)) }, is_blocked, release)
}

impl Block {
    pub fn wait(&self) {
        self.blocked.send(loop_name()).unwrap();
        let released = self.released.lock().unwrap();
        // A test that fails does not hang.
        let _ = released.recv_timeout(PATIENCE);
    }
}

pub fn loop_name() -> String {
    LoopHandle::current().name().to_owned()
}

/// A server of which the outcome is looked at.
pub fn serve(
    server: Server,
    app: impl Fn() -> Router + Clone + Send + 'static,
) -> (SocketAddr, SyncSender<()>, ThreadHandle<io::Result<Vec<LoopReport>>>) {
    let address = server.local_addr().unwrap();
    let (shutdown, told) = sync_channel::<()>();
    let thread = run_in_thread("acceptor", move || async move {
        server
            .serve(app, async {
                let _ = told.await;
            })
            .await
    });
    (address, shutdown, thread.unwrap())
}

pub fn ask(address: SocketAddr, path: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}
