//! How a server passes requests on to another one. The tests of the example `proxy` show the rest.
#![forbid(unsafe_code)]

mod sockets;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use brigade_http::{Client, Headers, Request, Response, Router, StatusCode, any};
use sockets::{TestServer, get};

/// A server that forwards all requests to `backend`.
fn proxy(backend: SocketAddr) -> TestServer {
    TestServer::start(move || {
        let client = Client::new();
        Router::new().fallback(async move |request: Request| {
            let url = format!("http://{backend}{}", request.path());
            client.forward(request, url).send().await
        })
    })
}

/// Starts a server for one connection, which sends `response` to the first request and closes.
fn once(response: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        stream.write_all(response).unwrap();
    });
    address
}

#[test]
fn an_expectation_of_100_continue_is_passed_on() {
    let backend = TestServer::start(|| {
        let read = async |mut request: Request| request.body_mut().collect(100).await;
        let refuse = async || StatusCode::FORBIDDEN;
        Router::new().route("/read", any(read)).route("/refuse", any(refuse))
    });
    let proxy = proxy(backend.address);
    let head = |path| {
        format!(
            "PUT {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        )
    };
    let mut client = proxy.connect();
    client.send(head("/read"));
    assert_eq!(client.response().status, 100);
    client.send("hello");
    let response = client.response();
    assert_eq!((response.status, response.text()), (200, "hello"));

    let mut client = proxy.connect();
    client.send(head("/refuse"));
    assert_eq!(client.response().status, 403, "without a 100 before it");
}

#[test]
fn an_expectation_of_http_10_is_left_out() {
    let backend = TestServer::start(|| {
        Router::new().fallback(async |request: Request| {
            format!("{:?}", request.header("expect").map(String::from_utf8_lossy))
        })
    });
    let proxy = proxy(backend.address);
    let request = "PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello";
    assert!(proxy.exchange(request).ends_with("\r\n\r\nNone"));
}

#[test]
fn a_body_that_was_replaced_is_sent_on_in_its_place() {
    let backend = TestServer::start(|| {
        Router::new().fallback(async |mut request: Request| {
            let framing = request.head().framing();
            let body = request.body_mut().collect(100).await.unwrap();
            format!("{framing:?} {}", str::from_utf8(&body).unwrap())
        })
    });
    let url = format!("http://{}/", backend.address);
    let proxy = TestServer::start(move || {
        let (client, url) = (Client::new(), url.clone());
        Router::new().fallback(async move |request: Request| {
            client.forward(request.with_body("replaced"), &url).send().await
        })
    });
    let mut client = proxy.connect();
    for request in [
        get("/"),
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi".to_owned(),
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
            .to_owned(),
    ] {
        client.send(request);
        assert_eq!(client.response().text(), "Length(8) replaced");
    }
}

#[test]
fn a_body_that_ends_with_its_connection_is_sent_on_in_chunks() {
    let proxy = proxy(once(b"HTTP/1.0 200 OK\r\nX-A: 1\r\n\r\nall of it"));
    let mut client = proxy.connect();
    client.send(get("/"));
    let response = client.response();
    assert_eq!(response.header("transfer-encoding"), Some("chunked"));
    assert_eq!((response.text(), response.header("x-a")), ("all of it", Some("1")));
}

#[test]
fn an_empty_body_keeps_its_length() {
    let proxy = proxy(once(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"));
    let mut client = proxy.connect();
    client.send(get("/"));
    let response = client.response();
    assert_eq!((response.status, response.header("content-length")), (404, Some("0")));
}

#[test]
fn an_upgrade_that_nobody_offered_is_a_bad_gateway() {
    let proxy = proxy(once(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"));
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    assert_eq!(client.response().status, 502);
}

#[test]
fn an_upgrade_of_ones_own_does_not_become_a_response() {
    let backend = once(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n");
    let status = brigade_runtime::run(async move {
        let request = Client::new().get(format!("http://{backend}/")).header("upgrade", "x");
        Response::from(request.send().await.unwrap()).status
    });
    assert_eq!(status, StatusCode::BAD_GATEWAY);
}

#[test]
fn headers_to_send_on_are_in_the_order_in_which_they_came() {
    let request = Request::builder(http::Method::GET, "/")
        .header("x-b", "1")
        .header("x-a", "2")
        .header("x-b", "3")
        .build()
        .unwrap();
    let headers = Headers::from(request.head());
    let lines: Vec<_> =
        headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    assert_eq!(lines, [("host", "localhost"), ("x-b", "1"), ("x-a", "2"), ("x-b", "3")]);
}
