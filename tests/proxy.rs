//! The example `proxy` as a process, between clients and backends on plain sockets.
#![forbid(unsafe_code)]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::thread;

use brigade::http::{Body, Limits, Request, Response, Router, any};
use brigade::net::TcpSocket;
use brigade::oneshot::{SyncSender, sync_channel};
use bytes::Bytes;
use common::PATIENCE;
use common::client::Client;
use common::server::{Server, example};
use futures_util::stream;

/// A server behind the proxy, which ends when it is dropped.
struct Backend {
    address: SocketAddr,
    _shutdown: SyncSender<()>,
}

impl Backend {
    fn start() -> Self {
        let server = brigade::http::Server::bind("127.0.0.1:0").unwrap();
        let limits = Limits { body_bytes_max: u64::MAX, ..Limits::default() };
        let server = server.loops(1).pin(false).limits(limits);
        let address = server.local_addr().unwrap();
        let (shutdown, ended) = sync_channel::<()>();
        thread::spawn(move || {
            let ended = async {
                let _ = ended.await;
            };
            brigade::run(async move { server.serve(app, ended).await.unwrap() })
        });
        Self { address, _shutdown: shutdown }
    }
}

fn app() -> Router {
    Router::new()
        .route("/head", any(async |request: Request| head_of(&request)))
        .route(
            "/echo",
            any(async |request: Request| Response::new(Body::stream(request.into_parts().1))),
        )
        .route("/count", any(count))
        .route("/known", any(async || "known"))
        .route(
            "/chunks",
            any(async || {
                let parts = ["one ", "two"].map(|part| Ok::<_, std::io::Error>(Bytes::from(part)));
                Response::new(Body::stream(stream::iter(parts)))
            }),
        )
}

fn head_of(request: &Request) -> String {
    String::from_utf8(request.head().bytes().to_vec()).unwrap().to_lowercase()
}

/// Returns the number of bytes in the body, how it was framed, and the trailer `x-sum`.
async fn count(mut request: Request) -> String {
    let framing = request.head().framing();
    let mut bytes = 0;
    while let Some(part) = request.body_mut().chunk().await {
        bytes += part.unwrap().len();
    }
    let sum = request.body_mut().trailers().and_then(|trailers| trailers.get("x-sum").cloned());
    format!("{bytes} {framing:?} {sum:?}")
}

/// Starts the proxy in front of these addresses.
fn proxy(backends: &[SocketAddr]) -> Server {
    proxy_with(backends, &[])
}

fn proxy_with(backends: &[SocketAddr], options: &[&str]) -> Server {
    let mut command = example("proxy");
    command.args(["--listen", "127.0.0.1:0"]).args(options);
    for backend in backends {
        command.args(["--backend", &backend.to_string()]);
    }
    Server::start(command)
}

/// Returns an address that refuses connections while the socket is kept, which is bound to it and
/// does not listen.
fn nobody() -> (SocketAddr, TcpSocket) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    (socket.local_addr().unwrap(), socket)
}

/// Starts a backend that passes each head it receives to the test, and sends these bytes to the
/// first request of each connection before it closes that.
fn scripted(response: &'static [u8]) -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (heads, received) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.extend(byte);
            }
            stream.write_all(response).unwrap();
            if heads.send(String::from_utf8(head).unwrap()).is_err() {
                break;
            }
        }
    });
    (address, received)
}

#[test]
fn bodies_are_streamed_in_both_directions_at_once() {
    let backend = Backend::start();
    let proxy = proxy(&[backend.address]);
    let mut client = Client::connect(&proxy.address);
    client.send_raw(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send_raw(b"3\r\none\r\n");
    let response = client.read_head();
    assert_eq!((response.status, response.header("transfer-encoding")), (200, Some("chunked")));
    assert_eq!(client.read_bytes(8), b"3\r\none\r\n");
    for _ in 0..3 {
        client.send_raw(b"4\r\nmore\r\n");
        assert_eq!(client.read_bytes(9), b"4\r\nmore\r\n");
    }
    client.send_raw(b"0\r\n\r\n");
    assert_eq!(client.read_bytes(5), b"0\r\n\r\n");
    assert_eq!(client.request("GET /known").text(), "known", "the connection is kept");
    proxy.stop();
}

#[test]
fn uploads_keep_their_length_their_chunks_and_their_trailers() {
    let backend = Backend::start();
    let proxy = proxy(&[backend.address]);
    let mut client = Client::connect(&proxy.address);
    client.send("POST /count", "", &vec![b'x'; 3_000_000]);
    assert_eq!(client.read().text(), "3000000 Length(3000000) None");
    client.send("POST /count", "Content-Length: 0\r\n", b"");
    assert_eq!(client.read().text(), "0 Length(0) None");
    client.send("GET /count", "", b"");
    assert_eq!(client.read().text(), "0 None None");
    client.send_raw(b"PUT /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send_raw(b"5\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 11\r\nCookie: a\r\n\r\n");
    assert_eq!(client.read().text(), "11 Chunked Some(\"11\")");
}

#[test]
fn responses_keep_their_status_headers_length_and_trailers() {
    let (address, _heads) = scripted(
        b"HTTP/1.1 404 Not here\r\nX-A: 1\r\nX-a: 2\r\nConnection: x-hop, close\r\nX-Hop: 1\r\n\
          Keep-Alive: timeout=5\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
          2\r\nhi\r\n0\r\nX-Sum: 2\r\nContent-Type: late\r\n\r\n",
    );
    let backend = Backend::start();
    let proxy = proxy(&[address, backend.address]);
    let mut client = Client::connect(&proxy.address);
    let response = client.request("GET /");
    assert_eq!((response.status, response.text()), (404, "hi"));
    let values: Vec<_> = response.headers.iter().filter(|(name, _)| name == "x-a").collect();
    assert_eq!(values.len(), 2, "{response:?}");
    for name in ["x-hop", "keep-alive", "connection"] {
        assert_eq!(response.header(name), None, "{response:?}");
    }
    assert_eq!(response.trailers, [("x-sum".to_owned(), "2".to_owned())]);
    let response = client.request("GET /known");
    assert_eq!((response.header("content-length"), response.text()), (Some("5"), "known"));
    assert_eq!(response.header("content-type"), Some("text/plain; charset=utf-8"));
}

#[test]
fn responses_to_head_keep_the_length_that_they_announce() {
    let backend = Backend::start();
    let proxy = proxy(&[backend.address]);
    let mut client = Client::connect(&proxy.address);
    client.send("HEAD /known", "", b"");
    let response = client.read_head();
    assert_eq!((response.status, response.header("content-length")), (200, Some("5")));
    client.send("HEAD /chunks", "", b"");
    let response = client.read_head();
    let framing = (response.header("content-length"), response.header("transfer-encoding"));
    assert_eq!(framing, (None, Some("chunked")));
    let response = client.request("GET /chunks");
    assert_eq!((response.text(), response.header("content-length")), ("one two", None));
}

#[test]
fn a_304_keeps_its_length_and_a_204_has_none() {
    let (not_modified, _) =
        scripted(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"a\"\r\n\r\n");
    let (no_content, _) = scripted(b"HTTP/1.1 204 No Content\r\n\r\n");
    let proxy = proxy(&[not_modified, no_content]);
    let mut client = Client::connect(&proxy.address);
    client.send("GET /", "", b"");
    let response = client.read_head();
    assert_eq!((response.status, response.header("content-length")), (304, Some("5")));
    assert_eq!(response.header("etag"), Some("\"a\""));
    client.send("GET /", "", b"");
    let response = client.read_head();
    assert_eq!((response.status, response.header("content-length")), (204, None));
    assert_eq!(response.header("transfer-encoding"), None);
}

#[test]
fn a_backend_learns_about_the_client_and_nothing_of_its_connection() {
    let backend = Backend::start();
    let proxy = proxy(&[backend.address]);
    let mut client = Client::connect(&proxy.address);
    let headers = "Connection: keep-alive, X-Hop, TE\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n\
                   TE: trailers\r\nProxy-Authorization: Basic eA==\r\nUpgrade: h2c\r\n\
                   X-Forwarded-For: 10.0.0.1\r\nX-Mine: 2\r\n";
    client.send("GET /head?a=b%20c", headers, b"");
    let response = client.read();
    let head = response.text();
    assert!(head.starts_with("get /head?a=b%20c http/1.1\r\n"), "{head}");
    let host = &proxy.address;
    for line in [
        format!("host: {}", backend.address),
        format!("forwarded: for=127.0.0.1;host=\"{host}\";proto=http"),
        "x-forwarded-for: 10.0.0.1".to_owned(),
        "x-forwarded-for: 127.0.0.1".to_owned(),
        "via: 1.1 brigade".to_owned(),
        "x-mine: 2".to_owned(),
        "te: trailers".to_owned(),
        "connection: te".to_owned(),
    ] {
        assert_eq!(head.lines().filter(|known| **known == line).count(), 1, "{line}: {head}");
    }
    for name in ["x-hop", "keep-alive", "proxy-authorization", "upgrade"] {
        assert!(!head.contains(&format!("\r\n{name}:")), "{name}: {head}");
    }
}

#[test]
fn requests_go_to_the_backends_in_turn() {
    let backends = [Backend::start(), Backend::start()];
    let addresses = backends.each_ref().map(|backend| backend.address);
    let proxy = proxy(&addresses);
    let mut client = Client::connect(&proxy.address);
    let mut host = || {
        let response = client.request("GET /head");
        let line = response.text().lines().find(|line| line.starts_with("host: ")).unwrap();
        line.to_owned()
    };
    let (first, second) = (host(), host());
    assert_ne!(first, second);
    assert_eq!([host(), host()], [first, second]);
}

#[test]
fn a_backend_that_is_down_costs_no_request_whatever_its_body() {
    let backend = Backend::start();
    let (dead, _socket) = nobody();
    let proxy = proxy(&[dead, backend.address, dead]);
    let mut client = Client::connect(&proxy.address);
    for _ in 0..3 {
        assert_eq!(client.request("GET /known").text(), "known");
        client.send_raw(b"POST /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.send_raw(b"5\r\nhello\r\n0\r\nX-Sum: 5\r\n\r\n");
        assert_eq!(client.read().text(), "5 Chunked Some(\"5\")");
        client.send("PATCH /count", "", b"hello");
        assert_eq!(client.read().text(), "5 Length(5) None");
    }
}

#[test]
fn all_backends_down_is_a_502() {
    let (dead, _socket) = nobody();
    let proxy = proxy(&[dead, dead]);
    let mut client = Client::connect(&proxy.address);
    for _ in 0..2 {
        let response = client.request("GET /");
        assert_eq!(response.status, 502);
        assert!(!response.text().contains("127.0.0.1"), "{}", response.text());
    }
    drop(client);
    let log = proxy.stop();
    assert!(log.is_empty() || log.contains("connecting failed"), "{log}");
}

#[test]
fn a_backend_that_does_not_respond_in_time_is_a_504() {
    let slow = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = proxy_with(&[slow.local_addr().unwrap()], &["--timeout", "1"]);
    let mut client = Client::connect(&proxy.address);
    assert_eq!(client.request("GET /").status, 504);
}

#[test]
fn a_request_that_was_sent_does_not_go_to_another_backend() {
    let (dying, heads) = scripted(b"");
    let backend = Backend::start();
    let proxy = proxy(&[dying, backend.address]);
    let mut client = Client::connect(&proxy.address);
    client.send("POST /count", "", b"once");
    assert_eq!(client.read().status, 502);
    assert!(heads.recv_timeout(PATIENCE).unwrap().starts_with("POST /count "));
    assert_eq!(client.request("GET /known").text(), "known");
}

#[test]
fn a_response_that_breaks_off_breaks_off_for_the_client() {
    let (address, _heads) =
        scripted(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi");
    let proxy = proxy(&[address]);
    let mut client = Client::connect(&proxy.address);
    client.send("GET /", "", b"");
    assert_eq!(client.read_head().status, 200);
    let rest = client.read_rest();
    assert!(!rest.ends_with(b"0\r\n\r\n"), "{rest:?}");
}

#[test]
fn a_shutdown_waits_for_the_requests_in_flight() {
    let backend = Backend::start();
    let proxy = proxy(&[backend.address]);
    let mut client = Client::connect(&proxy.address);
    client.send_raw(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send_raw(b"3\r\none\r\n");
    assert_eq!(client.read_head().status, 200);
    assert_eq!(client.read_bytes(8), b"3\r\none\r\n");
    proxy.signal("TERM");
    client.send_raw(b"3\r\ntwo\r\n0\r\n\r\n");
    assert_eq!(client.read_bytes(13), b"3\r\ntwo\r\n0\r\n\r\n");
    assert!(client.read_rest().is_empty());
    let ended = proxy.ended();
    assert!(ended.status.success(), "{}", ended.stderr);
}
