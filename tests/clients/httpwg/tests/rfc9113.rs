//! Runs the cases of httpwg against the server at $BASE, which speaks HTTP/2 by prior knowledge.

use std::env;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use buffet::IntoHalves;
use buffet::bufpool::initialize_allocator_with_num_bufs;
use httpwg::{Config, Conn};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::runtime;
use tokio::task::LocalSet;

/// How long a case waits for a frame.
const PATIENCE: Duration = Duration::from_secs(10);
/// 4 KiB each. The longest case takes a few.
const BUFFERS: u32 = 1024;

httpwg_macros::tests! {{ crate::run(test); }}

/// Runs a case on a connection of its own.
fn run<F>(case: impl FnOnce(Conn<Socket>) -> F)
where
    F: Future<Output: Succeeds>,
{
    let base = env::var("BASE").expect("BASE is the URL of the server");
    let authority = base.strip_prefix("http://").expect("BASE begins with http://");
    let (host, port) = authority.split_once(':').expect("BASE has a port");
    let config = Config {
        host: host.to_owned(),
        port: port.parse().expect("the port is a number"),
        path: "/anything".to_owned(),
        timeout: PATIENCE,
        ..Config::default()
    };
    initialize_allocator_with_num_bufs(BUFFERS).unwrap();
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let stream = TcpStream::connect(authority).await.unwrap();
        stream.set_nodelay(true).unwrap();
        case(Conn::new(Rc::new(config), Socket(stream))).await.check();
    });
}

/// The result of a case.
trait Succeeds {
    fn check(self);
}

impl<E: std::fmt::Debug> Succeeds for Result<(), E> {
    fn check(self) {
        self.unwrap();
    }
}

/// A socket of tokio as httpwg wants it.
struct Socket(TcpStream);

impl IntoHalves for Socket {
    type Read = OwnedReadHalf;
    type Write = OwnedWriteHalf;

    fn into_halves(self) -> (Self::Read, Self::Write) {
        self.0.into_split()
    }
}
