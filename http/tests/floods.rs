//! Peers and streams that are always ready: other connections, timers and deadlines get their turn.
#![forbid(unsafe_code)]

mod scripted;
mod sockets;

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use brigade_http::{
    Body, BodyError, BoxError, Client, ClientErrorKind, ProtocolError, Request, Response, Router,
    TimeoutKind, Upgraded, get as on_get, post,
};
use brigade_runtime::{run, spawn, task};
use bytes::Bytes;
use futures_util::{AsyncReadExt, AsyncWriteExt, stream};
use http::HeaderValue;
use scripted::script;
use sockets::{PATIENCE, TestServer, get};

/// More operations than three polls complete.
const MANY: usize = 300;

/// Counts the turns of another task while `work` runs.
async fn turns_during(work: impl Future) -> usize {
    let turns = Rc::new(Cell::new(0));
    let count = turns.clone();
    let counter = spawn(async move {
        loop {
            count.update(|turns| turns + 1);
            task::yield_now().await;
        }
    });
    work.await;
    counter.abort();
    turns.get()
}

/// Runs `main` in another thread, and panics if it takes too long.
fn within_patience<F>(main: impl FnOnce() -> F + Send + 'static)
where
    F: Future<Output = ()> + 'static,
{
    let (done, is_done) = mpsc::channel();
    let thread = thread::spawn(move || {
        run(async move { main().await });
        done.send(()).unwrap();
    });
    match is_done.recv_timeout(PATIENCE) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("a task holds its loop"),
        _ => thread.join().unwrap(),
    }
}

/// Writes `piece` to a new connection until that fails, after `begin`. Reads in another thread.
fn flood(address: SocketAddr, begin: impl Into<Vec<u8>>, piece: Vec<u8>) -> thread::JoinHandle<()> {
    let mut client = sockets::connect(address);
    client.send(begin.into());
    let mut reader = client.stream.try_clone().unwrap();
    thread::spawn(move || while let Ok(1..) = reader.read(&mut [0; 64 * 1024]) {});
    thread::spawn(move || while client.stream.write_all(&piece).is_ok() {})
}

/// Asserts that `server` responds to another client while the first one floods it.
fn assert_served_beside(server: TestServer, begin: impl Into<Vec<u8>>, piece: &[u8]) {
    let flooding = flood(server.address, begin, piece.repeat(64 * 1024 / piece.len()));
    for _ in 0..20 {
        let mut other = server.connect();
        other.send(get("/"));
        assert_eq!(other.response().text(), "root");
    }
    // At the end of the drain, what is left of the flood is cancelled.
    drop(server);
    flooding.join().unwrap();
}

fn app() -> Router {
    let upgrade = async |_: Request| {
        Response::upgrade(HeaderValue::from_static("echo"), async |io| drop(echo(io).await))
    };
    let collect = async |mut request: Request| -> Result<Bytes, BodyError> {
        while request.body_mut().chunk().await.transpose()?.is_some() {}
        Ok(Bytes::new())
    };
    Router::new()
        .route("/", on_get(async || "root"))
        .route("/upgrade", on_get(upgrade))
        .route("/collect", post(collect).body_limit(u64::MAX))
}

async fn echo(mut io: Upgraded) -> std::io::Result<()> {
    let mut buffer = [0; 16];
    loop {
        let read = io.read(&mut buffer).await?;
        io.write_all(&buffer[..read]).await?;
    }
}

fn start() -> TestServer {
    let timeouts =
        brigade_http::Timeouts { drain: Duration::from_millis(20), ..Default::default() };
    TestServer::start_with(|server| server.loops(1).pin(false).timeouts(timeouts), app)
}

#[test]
fn clients_are_served_beside_an_upgraded_connection_that_floods() {
    let upgrade =
        "GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    assert_served_beside(start(), upgrade, b"0123456789abcdef");
}

#[test]
fn clients_are_served_beside_one_that_pipelines_without_end() {
    assert_served_beside(start(), "", get("/").as_bytes());
}

#[test]
fn clients_are_served_beside_a_body_without_end() {
    let head = "POST /collect HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let piece = [b"1000\r\n".as_slice(), &[b'x'; 4096], b"\r\n"].concat();
    assert_served_beside(start(), head, &piece);
}

#[test]
fn reading_what_was_received_before_an_upgrade_is_fair() {
    let (sender, turns) = mpsc::channel();
    let server = TestServer::start(move || {
        let sender = sender.clone();
        let upgrade = move |_: Request| {
            let sender = sender.clone();
            let protocol = async move |mut io: Upgraded| {
                let read = async {
                    for _ in 0..MANY {
                        io.read_exact(&mut [0]).await.unwrap();
                    }
                };
                sender.send(turns_during(read).await).unwrap();
            };
            std::future::ready(Response::upgrade(HeaderValue::from_static("bytes"), protocol))
        };
        Router::new().route("/", on_get(upgrade))
    });
    let head = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: bytes\r\n\r\n";
    let mut client = server.connect();
    client.send([head.as_bytes(), &[b'x'; MANY]].concat());
    assert!(turns.recv_timeout(PATIENCE).unwrap() >= 3);
}

#[test]
fn reading_a_body_that_has_ended_is_fair() {
    within_patience(async || {
        let mut request = Request::builder(http::Method::POST, "/").body("x").build().unwrap();
        let read = async {
            for _ in 0..MANY {
                let _ = request.body_mut().chunk().await;
            }
        };
        assert!(turns_during(read).await >= 3);
    });
}

#[test]
fn collecting_a_stream_of_empty_parts_is_fair() {
    within_patience(async || {
        let parts = stream::iter((0..MANY).map(|_| Ok::<_, BoxError>(Bytes::new())));
        let collect = async { Body::stream(parts).collect(10).await.unwrap() };
        assert!(turns_during(collect).await >= 3);
    });
}

#[test]
fn requests_that_fail_at_once_are_fair() {
    within_patience(async || {
        let client = Client::new();
        let fail = async {
            for _ in 0..MANY {
                client.get("ftp://host/").send().await.unwrap_err();
            }
        };
        assert!(turns_during(fail).await >= 3);
    });
}

#[test]
fn informational_responses_without_end_are_an_error() {
    within_patience(async || {
        let (url, server) = script(async |host| {
            let mut peer = host.accept().await;
            peer.head().await;
            let many = "HTTP/1.1 102 P\r\n\r\n".repeat(1000);
            while peer.stream.write_all(many.as_bytes()).await.is_ok() {}
        });
        let error = Client::new().get(&url).send().await.unwrap_err();
        let too_many = ClientErrorKind::Protocol(ProtocolError::TooManyInformational);
        assert_eq!(format!("{:?}", error.kind()), format!("{too_many:?}"));
        server.await.unwrap();
    });
}

#[test]
fn a_hundred_informational_responses_are_skipped() {
    within_patience(async || {
        let (url, server) = script(async |host| {
            let mut peer = host.accept().await;
            for _ in 0..2 {
                peer.head().await;
                peer.send("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100)).await;
                peer.send(scripted::ok("hello")).await;
            }
        });
        let client = Client::new();
        for _ in 0..2 {
            let mut response = client.get(&url).send().await.unwrap();
            assert_eq!(response.text_with_limit(10).await.unwrap(), "hello");
        }
        server.await.unwrap();
    });
}

/// Serves one connection, to which it writes `piece` without end after `head`. Returns the URL.
fn endless(head: &'static str, piece: Vec<u8>) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        while stream.write_all(&piece).is_ok() {}
    });
    url
}

#[test]
fn the_total_time_ends_a_response_that_floods() {
    within_patience(async || {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let url = endless(head, b"2\r\nhi\r\n".repeat(10_000));
        let limits =
            brigade_http::Limits { chunk_overhead_bytes_max: u32::MAX, ..Default::default() };
        let client = Client::builder().limits(limits).build();
        let request = client.get(&url).timeout(Duration::from_secs(1));
        let mut response = request.send().await.unwrap();
        let error = loop {
            if let Err(error) = response.chunk().await.unwrap() {
                break error;
            }
        };
        assert!(matches!(error.kind(), ClientErrorKind::Timeout(TimeoutKind::Total, _)), "{error}");
    });
}

#[test]
fn a_client_that_sends_after_its_last_response_is_cut_off() {
    let server = start();
    let mut client = server.connect();
    client.send("BAD\r\n\r\n");
    client.until(b"400 ");
    let piece = vec![b'x'; 1024 * 1024];
    let mut sent = 0;
    while client.stream.write_all(&piece).is_ok() {
        sent += piece.len();
        assert!(sent < 256 * piece.len(), "the server reads without end");
    }
}
