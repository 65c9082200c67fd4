//! A server on a thread of its own.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use brigade_runtime::oneshot::{SyncSender, sync_channel};
use brigade_runtime::server::{LoopReport, ServerState, ServerStream, Stats, TcpServer};
use brigade_runtime::{ThreadHandle, run_in_thread};

/// A hang is a failure: nothing here takes this long.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub type Outcome = std::io::Result<Vec<LoopReport>>;

/// A server on a thread of its own, which shuts down when `shutdown` is dropped and is forced to
/// when `force` is.
pub struct Running {
    pub addresses: Vec<SocketAddr>,
    pub state: ServerState,
    pub stats: Stats,
    pub shutdown: Option<SyncSender<()>>,
    pub force: Option<SyncSender<()>>,
    pub thread: ThreadHandle<Outcome>,
}

impl Running {
    pub fn start<S, H>(
        server: TcpServer<S>,
        factory: impl Fn() -> H + Clone + Send + 'static,
    ) -> Self
    where
        S: ServerStream,
        H: AsyncFn(S, S::Peer) + 'static,
    {
        let server = server.pin(false);
        let (addresses, state, stats) =
            (server.local_addrs().unwrap(), server.state(), server.stats());
        let (shutdown, shut_down) = sync_channel::<()>();
        let (force, forced) = sync_channel::<()>();
        let thread = run_in_thread("acceptor", move || async move {
            let shutdown = async {
                let _ = shut_down.await;
            };
            let force = async {
                let _ = forced.await;
            };
            server.serve_with_force(factory, shutdown, force).await
        });
        let thread = thread.unwrap();
        Self { addresses, state, stats, shutdown: Some(shutdown), force: Some(force), thread }
    }

    pub fn connect(&self) -> TcpStream {
        connect(self.addresses[0])
    }

    /// Shuts down, and returns what the server returns.
    pub fn end(mut self) -> Outcome {
        self.shutdown = None;
        self.join()
    }

    pub fn join(self) -> Outcome {
        self.thread.join().unwrap()
    }
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

pub fn bind() -> TcpServer {
    TcpServer::bind("127.0.0.1:0").unwrap()
}

/// Returns a function that blocks its loop, a receiver that reports each call of it, and a sender
/// that releases the loop when dropped.
pub fn blocking() -> (impl Fn() + Clone + Send + 'static, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (blocked, is_blocked) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let block = move || {
        blocked.send(()).unwrap();
        let _ = released.lock().unwrap().recv_timeout(PATIENCE);
    };
    (block, is_blocked, release)
}
