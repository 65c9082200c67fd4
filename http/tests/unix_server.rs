//! The server at Unix sockets, beside TCP.
#![forbid(unsafe_code)]

mod sockets;
mod unix;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use brigade_http::{
    Body, Limits, Peer, PeerAddr, Request, Response, Router, Server, Stats, Timeouts, UnixPath,
    get as on_get, post,
};
use bytes::Bytes;
use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use sockets::blocks::block;
use sockets::{PATIENCE, TestServer, get};
use unix::Folder;

/// A connection to a socket file.
struct UnixClient(UnixStream);

impl UnixClient {
    fn connect(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).unwrap();
    }

    /// Reads up to and including `end`.
    fn until(&mut self, end: &str) -> String {
        let mut text = Vec::new();
        while !text.ends_with(end.as_bytes()) {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            text.push(byte[0]);
        }
        String::from_utf8(text).unwrap()
    }

    /// Returns all that arrives until the server closes the connection.
    fn rest(mut self) -> String {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).unwrap();
        rest
    }
}

/// Starts a server of two loops at a TCP address and at `path`.
fn start(
    path: &Path,
    options: impl FnOnce(Server) -> Server,
    app: impl Fn() -> Router + Clone + Send + 'static,
) -> TestServer {
    let server = Server::bind("127.0.0.1:0").unwrap().and_bind_unix(path).unwrap();
    TestServer::of(options(server.loops(2).pin(false)), app)
}

#[test]
fn requests_over_a_unix_socket_are_served_like_those_over_tcp() {
    let folder = Folder::new("server-requests");
    let path = folder.path("socket");
    let server = start(
        &path,
        |server| server,
        || {
            Router::new()
                .route("/", on_get(async || "hello"))
                .route("/upload", post(async |body: Bytes| body))
                .route("/large", on_get(async || Bytes::from(vec![b'x'; 2_000_000])))
        },
    );
    let mut unix = UnixClient::connect(&path);
    let mut tcp = server.connect();
    for _ in 0..3 {
        unix.send(get("/"));
        assert!(unix.until("hello").starts_with("HTTP/1.1 200 OK\r\n"));
        tcp.send(get("/"));
        assert_eq!(tcp.response().text(), "hello");
    }
    // Pipelined, and the body in a piece of its own.
    unix.send(get("/").repeat(2) + "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n");
    unix.until("hello");
    unix.until("hello");
    unix.send("data");
    assert!(unix.until("data").starts_with("HTTP/1.1 200 OK\r\n"));
    // More than the socket takes at once.
    unix.send("GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let large = unix.rest();
    assert_eq!(large.split_once("\r\n\r\n").unwrap().1.len(), 2_000_000);
    let reports = server.join();
    assert_eq!(reports.iter().map(|report| report.stats.tcp.accepted).sum::<usize>(), 2);
    assert!(!path.exists());
}

#[test]
fn the_address_of_a_unix_client_is_a_peer_addr_and_no_peer() {
    let folder = Folder::new("server-peer");
    let path = folder.path("socket");
    let server = start(
        &path,
        |server| server,
        || {
            Router::new()
                .route("/any", on_get(async |peer: PeerAddr| peer.to_string()))
                .route("/option", on_get(async |peer: Option<Peer>| format!("{}", peer.is_some())))
                .route("/request", on_get(async |request: Request| request.peer_addr().to_string()))
                .route("/tcp", on_get(async |Peer(address): Peer| address.ip().to_string()))
        },
    );
    let texts = |path: &str, unix: &mut UnixClient, end: &str| {
        unix.send(get(path));
        unix.until(end);
        let mut tcp = server.connect();
        tcp.send(get(path));
        (tcp.response().text().to_owned(), tcp.stream.local_addr().unwrap().to_string())
    };
    let unix = &mut UnixClient::connect(&path);
    let (tcp, address) = texts("/any", unix, "unix:");
    assert_eq!(tcp, address);
    let (tcp, address) = texts("/request", unix, "unix:");
    assert_eq!(tcp, address);
    assert_eq!(texts("/option", unix, "false").0, "true");
    unix.send(get("/tcp"));
    assert!(unix.until("\r\n\r\n").starts_with("HTTP/1.1 500 "));
    assert_eq!(texts("/any", unix, "unix:").0.split(':').next(), Some("127.0.0.1"));
    let mut tcp = server.connect();
    tcp.send(get("/tcp"));
    assert_eq!(tcp.response().text(), "127.0.0.1");
}

#[test]
fn limits_and_timeouts_hold_for_unix_sockets() {
    let folder = Folder::new("server-limits");
    let path = folder.path("socket");
    let options = |server: Server| {
        let short = Duration::from_millis(20);
        let timeouts = Timeouts { keep_alive: short, head: short, ..Timeouts::default() };
        let limits = Limits { body_bytes_max: 3, ..Limits::default() };
        server.timeouts(timeouts).limits(limits)
    };
    let _server = start(&path, options, || Router::new().route("/", post(async |_: Bytes| "")));
    let mut large = UnixClient::connect(&path);
    large.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n1234");
    assert!(large.rest().starts_with("HTTP/1.1 413 "));
    let mut slow = UnixClient::connect(&path);
    slow.send("GET / HT");
    assert!(slow.rest().starts_with("HTTP/1.1 408 "));
    assert_eq!(UnixClient::connect(&path).rest(), "");
}

#[test]
fn a_unix_client_that_disconnects_cancels_its_handler() {
    struct Dropped(std::sync::mpsc::Sender<()>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let folder = Folder::new("server-disconnect");
    let path = folder.path("socket");
    let (begin, begun) = std::sync::mpsc::channel();
    let (cancel, cancelled) = std::sync::mpsc::channel();
    let channels = Arc::new(Mutex::new((begin, cancel)));
    let _server = start(
        &path,
        |server| server,
        move || {
            let channels = channels.clone();
            Router::new().route(
                "/",
                on_get(async move || {
                    let (begin, cancel) = channels.lock().unwrap().clone();
                    let _dropped = Dropped(cancel);
                    begin.send(()).unwrap();
                    std::future::pending::<()>().await;
                }),
            )
        },
    );
    let mut client = UnixClient::connect(&path);
    client.send(get("/"));
    begun.recv_timeout(PATIENCE).unwrap();
    drop(client);
    cancelled.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn unix_connections_that_sent_nothing_are_taken_over_from_a_loop_that_is_stuck() {
    let folder = Folder::new("server-taken");
    let path = folder.path("socket");
    let (block, is_blocked, release) = block();
    let server = start(
        &path,
        |server| server,
        move || Router::new().route("/block", block.handler()).route("/", on_get(async || "hello")),
    );
    let accepted = || {
        let mut client = server.connect();
        client.send(get("/accepted"));
        client.response();
    };
    // As many for each loop.
    let mut waiting: Vec<_> = (0..4).map(|_| UnixClient::connect(&path)).collect();
    accepted();
    let mut stuck = UnixClient::connect(&path);
    stuck.send(get("/block"));
    is_blocked.recv_timeout(PATIENCE).unwrap();
    for client in &mut waiting {
        client.send(get("/"));
        client.until("hello");
    }
    drop(release);
    stuck.until("done");
    drop(waiting);
    let reports = server.join();
    let taken_back = |report: &brigade_http::LoopReport| report.stats.tcp.taken_back;
    assert!(reports.iter().map(taken_back).sum::<usize>() > 0, "{reports:?}");
}

#[test]
fn a_mixed_server_drains_both_kinds_of_connections() {
    let folder = Folder::new("server-drain");
    let path = folder.path("socket");
    let (parts, sent) = std::sync::mpsc::channel::<()>();
    let parts = Arc::new(Mutex::new(parts));
    let mut server = start(
        &path,
        |server| server,
        move || {
            let parts = parts.clone();
            Router::new().route(
                "/",
                on_get(async move || {
                    parts.lock().unwrap().send(()).unwrap();
                    brigade_http::draining().await;
                    let open: usize = Stats::current()
                        .map_or(0, |stats| stats.loops().iter().map(|stats| stats.tcp.open).sum());
                    format!("{open} open.")
                }),
            )
        },
    );
    let mut idle = [UnixClient::connect(&path), UnixClient::connect(&path)];
    let (mut unix, mut tcp) = (UnixClient::connect(&path), server.connect());
    unix.send(get("/"));
    tcp.send(get("/"));
    sent.recv_timeout(PATIENCE).unwrap();
    sent.recv_timeout(PATIENCE).unwrap();
    server.begin_shutdown();
    for response in [unix.rest(), tcp.rest()] {
        assert!(response.to_lowercase().contains("connection: close\r\n"), "{response}");
        assert!(response.ends_with("open."), "{response}");
    }
    for client in &mut idle {
        assert_eq!(client.0.read(&mut [0]).unwrap(), 0);
    }
    assert!(!path.exists());
    assert_eq!(server.join().iter().map(|report| report.cancelled).sum::<usize>(), 0);
}

#[test]
fn a_connection_over_a_unix_socket_can_be_upgraded() {
    async fn echo() -> Response {
        Response::upgrade(brigade_http::HeaderValue::from_static("echo"), async |mut io| {
            assert!(io.socket().unwrap().is_unix());
            let mut buffer = [0; 64];
            while let Ok(read @ 1..) = io.read(&mut buffer).await {
                io.write_all(&buffer[..read]).await.unwrap();
            }
        })
    }
    let folder = Folder::new("server-upgrade");
    let path = folder.path("socket");
    let server = Server::bind_unix(UnixPath::new(&path).mode(0o600)).unwrap();
    let server = server.and_bind("127.0.0.1:0").unwrap().loops(1);
    let _server = TestServer::of(server, || Router::new().route("/", on_get(echo)));
    let mut client = UnixClient::connect(&path);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nearly ");
    assert!(client.until("\r\n\r\n").starts_with("HTTP/1.1 101 "));
    client.send("late");
    client.until("early late");
}

#[test]
fn a_client_of_brigade_talks_to_a_server_of_brigade_over_a_unix_socket() {
    let folder = Folder::new("server-client");
    let path = folder.path("socket");
    let _server = start(
        &path,
        |server| server,
        || {
            Router::new()
                .route("/", post(async |request: Request| Body::stream(request.into_parts().1)))
        },
    );
    brigade_runtime::run(async move {
        let client = brigade_http::Client::unix(&path);
        let body = vec![7_u8; 1_000_000];
        let mut response = client.post("http://app/").body(body.clone()).send().await.unwrap();
        assert_eq!(response.bytes().await.unwrap(), body);
    });
}
