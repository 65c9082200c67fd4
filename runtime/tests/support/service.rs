//! An acceptor and loops that are put together by hand, and loops that a test blocks.
//!
//! A callback blocks a loop until the test releases it, not for a fixed time. So a response that
//! arrives meanwhile comes from another loop.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use brigade_runtime::net::TcpListener;
use brigade_runtime::oneshot::{SyncSender, sync_channel};
use brigade_runtime::server::{
    AcceptedConnection, Acceptor, ConnectionCounts, ConnectionReceiver, LoopEvent,
};
use brigade_runtime::{EventLoopGroup, LoopHandle, ThreadHandle, run_in_thread, spawn, task};

/// How long a test waits for an event before it fails. Nothing takes that long.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The connections that a loop accepted, that were taken back, and that are open.
pub type Counts = (usize, usize, usize);

/// An acceptor, and loops that serve its connections.
pub struct Service {
    pub address: SocketAddr,
    pub acceptor: ThreadHandle<()>,
    pub acceptor_loop: LoopHandle,
    pub shutdown: SyncSender<()>,
    pub loops: EventLoopGroup<Counts>,
    counts: Vec<ConnectionCounts>,
}

/// Keeps a loop from turning until dropped.
pub struct Blocked {
    _release: mpsc::Sender<()>,
}

impl Service {
    /// Starts loops that call `serve` for each connection, with their number. It spawns the task of
    /// the connection.
    pub fn start(
        loops: usize,
        serve: impl Fn(usize, AcceptedConnection) + Clone + Send + 'static,
    ) -> Self {
        let (acceptor, receivers) = Acceptor::new(loops);
        let counts = receivers.iter().map(ConnectionReceiver::counts).collect();
        let (ready, is_ready) = mpsc::channel();
        let loops = EventLoopGroup::builder()
            .loops(loops)
            .pin(false)
            .start(receivers, move |number, receiver| {
                run_loop(number, receiver, serve.clone(), ready.clone())
            })
            .unwrap();
        loops.handles().for_each(|_| is_ready.recv_timeout(PATIENCE).unwrap());
        let (shutdown, signal) = sync_channel();
        let (bound, is_bound) = mpsc::channel();
        let acceptor = run_in_thread("acceptor", move || async move {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            bound.send((listener.local_addr().unwrap(), LoopHandle::current())).unwrap();
            accept_until(acceptor, listener, signal).await;
        });
        let (address, acceptor_loop) = is_bound.recv_timeout(PATIENCE).unwrap();
        Self { address, acceptor: acceptor.unwrap(), acceptor_loop, shutdown, loops, counts }
    }

    pub fn handle(&self, number: usize) -> &LoopHandle {
        self.loops.handles().nth(number).unwrap()
    }

    /// Blocks a loop. Once released, the loop calls `then`.
    pub fn block_then(&self, number: usize, then: impl FnOnce() + Send + 'static) -> Blocked {
        let (release, released) = mpsc::channel::<()>();
        let (blocked, is_blocked) = mpsc::channel();
        let block = move || {
            blocked.send(()).unwrap();
            let _ = released.recv();
            then();
        };
        self.handle(number).call_soon(block).unwrap();
        is_blocked.recv_timeout(PATIENCE).unwrap();
        Blocked { _release: release }
    }

    pub fn block(&self, number: usize) -> Blocked {
        self.block_then(number, || {})
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Returns the present counts of a loop, also while it is blocked.
    pub fn counts(&self, number: usize) -> Counts {
        read(&self.counts[number])
    }

    /// Shuts down, and returns the counts of the loops.
    pub fn shut_down(self) -> Vec<Counts> {
        drop(self.shutdown);
        self.acceptor.join().unwrap();
        self.loops.join().into_iter().map(|counts| counts.unwrap()).collect()
    }
}

fn read(counts: &ConnectionCounts) -> Counts {
    (counts.accepted(), counts.taken_back(), counts.open())
}

/// Accepts until `signal` is ready, then accepts what is left in the backlog.
async fn accept_until(
    mut acceptor: Acceptor,
    listener: TcpListener,
    signal: impl Future + 'static,
) {
    let mut signal = Box::pin(signal);
    let mut accept = Box::pin(acceptor.accept_from(std::slice::from_ref(&listener)));
    std::future::poll_fn(|cx| match signal.as_mut().poll(cx).is_ready() {
        true => std::task::Poll::Ready(()),
        false => accept.as_mut().poll(cx),
    })
    .await;
    drop(accept);
    acceptor.accept_waiting(&listener).await;
}

/// The main task of each loop. The first task that it spawns takes the connections.
async fn run_loop(
    number: usize,
    mut receiver: ConnectionReceiver,
    serve: impl Fn(usize, AcceptedConnection) + 'static,
    ready: mpsc::Sender<()>,
) -> Counts {
    let counts = receiver.counts();
    let taker = task::Builder::new().name("taker").spawn(async move {
        while let Some(LoopEvent::Connection(connection)) = receiver.recv().await {
            serve(number, connection);
        }
    });
    // The taker was ready before this task, so it waits for connections by now.
    spawn(async move { ready.send(()).unwrap() }).detach();
    if taker.await.is_err() {
        return (0, 0, 0);
    }
    while counts.open() > 0 {
        task::yield_now().await;
    }
    read(&counts)
}

/// Responds to each connection with the number of its loop.
pub fn serve_at_once(number: usize, connection: AcceptedConnection) {
    let serving = async move {
        let Some((stream, _guard)) = connection.claim() else { return };
        stream.write_all(&[number as u8]).await.unwrap();
    };
    spawn(serving).detach();
}

/// Sends a byte, and returns the number of the loop that serves the connection, which is the
/// response.
pub fn serving_loop(mut stream: &TcpStream) -> usize {
    let _ = stream.write_all(b"?");
    let mut number = [0];
    stream.read_exact(&mut number).unwrap();
    usize::from(number[0])
}
