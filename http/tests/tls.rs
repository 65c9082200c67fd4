//! HTTPS: the server with our client, and with what scanners and other clients send.
#![forbid(unsafe_code)]
#![cfg(feature = "tls")]

// std
use std::io::{Read, Write};
use std::sync::mpsc;
use std::time::Duration;

// crates
use brigade_http::{
    Body, Client, ClientErrorKind, ConnectionState, Request, Response, Router, Server, Stats,
    Timeouts, TlsInfo, get, post,
};
use brigade_runtime::tls::{TlsConfig, TlsConnector};
use brigade_runtime::{run, time};
use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use http::{HeaderValue, Version};

// ours
mod authority;
mod sockets;
use authority::Authority;
use sockets::{PATIENCE, TestServer};

const LARGE: usize = 3_000_000;

fn routes() -> Router {
    Router::new()
        .route("/", get(async || "hello"))
        .route("/large", get(async || vec![b'x'; LARGE]))
        .route("/echo", post(async |body: Body| body))
        .route("/tls", get(async |tls: TlsInfo| format!("{tls:?}")))
        .route("/maybe", get(async |tls: Option<TlsInfo>| tls.is_some().to_string()))
        .route("/stats", get(async || Stats::current().unwrap().handshakes().unwrap().to_string()))
        .route("/upgrade", get(async |_: Request| upgrade()))
}

fn upgrade() -> Response {
    Response::upgrade(HeaderValue::from_static("echo"), async |mut io| {
        let mut buffer = [0; 5];
        io.read_exact(&mut buffer).await.unwrap();
        io.write_all(&buffer).await.unwrap();
        io.close().await.unwrap();
    })
}

fn start(config: TlsConfig) -> TestServer {
    TestServer::start_with(|server| server.loops(1).pin(false).tls(config), routes)
}

/// Runs `client` with the URL of a server.
fn with_server(client: impl AsyncFnOnce(Client, String) + 'static) {
    let authority = Authority::new();
    let server = start(authority.config());
    let url = format!("https://localhost:{}", server.address.port());
    run(async move { client(authority.client().build(), url).await });
    drop(server);
}

#[test]
fn requests_and_responses_are_encrypted_and_connections_are_kept() {
    with_server(async |client, url| {
        for _ in 0..3 {
            let mut response = client.get(format!("{url}/")).send().await.unwrap();
            assert_eq!(response.text().await.unwrap(), "hello");
        }
        assert_eq!(client.connections_opened(), 1);
        let mut response = client.get(format!("{url}/tls")).send().await.unwrap();
        let text = response.text().await.unwrap();
        for part in [
            "version: Tls13",
            "cipher_suite: \"TLS13_AES_256_GCM_SHA384\"",
            "key_exchange_group: \"X25519", // or X25519MLKEM768, if the processor is fit for it
            "server_name: Some(\"localhost\")",
            "peer_certificates: None",
            "is_resumed: false",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    });
}

#[test]
fn large_bodies_pass_in_both_directions() {
    with_server(async |client, url| {
        let mut response = client.get(format!("{url}/large")).send().await.unwrap();
        assert_eq!(response.bytes().await.unwrap().len(), LARGE);
        let body = vec![b'y'; 1_000_000];
        let request = client.post(format!("{url}/echo")).body(body.clone());
        let mut response = request.send().await.unwrap();
        let echoed = response.bytes().await.unwrap();
        assert!(echoed == body, "{} bytes", echoed.len());
    });
}

#[test]
fn an_upgraded_connection_stays_encrypted() {
    with_server(async |client, url| {
        let request = client.get(format!("{url}/upgrade")).header("upgrade", "echo");
        let response = request.send().await.unwrap();
        let mut io = response.upgrade().unwrap();
        assert!(io.socket().is_none());
        io.write_all(b"early").await.unwrap();
        io.flush().await.unwrap();
        let mut received = Vec::new();
        io.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"early");
    });
}

#[test]
fn a_client_trusts_only_its_roots() {
    let server = start(Authority::new().config());
    let url = format!("https://localhost:{}/", server.address.port());
    let error = run(async move { Authority::new().client().build().get(&url).send().await });
    let error = error.unwrap_err();
    assert!(matches!(error.kind(), ClientErrorKind::Connect(_)), "{error:?}");
    assert!(error.to_string().contains("certificate"), "{error}");
}

#[test]
fn handshakes_are_counted_with_the_reason_of_those_that_fail() {
    let authority = Authority::new();
    let server = start(authority.config());
    let refused = server.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let (head, body) = refused.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{refused}");
    assert_eq!(server.exchange("\0\0\0garbage"), "");
    let url = format!("https://localhost:{}/stats", server.address.port());
    let client = authority.client();
    let text = run(async move { client.build().get(&url).send().await?.text().await });
    let expected = "1 TLS handshakes, 0 of them resumed, 2 failed: not_tls";
    assert_eq!(text.unwrap(), expected);
}

#[test]
fn a_request_without_tls_has_no_tls_info() {
    let server = TestServer::start(routes);
    let maybe = "GET /maybe HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert!(server.exchange(maybe).ends_with("\r\n\r\nfalse"));
    let required = "GET /tls HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert!(server.exchange(required).starts_with("HTTP/1.1 500 "));
}

#[test]
fn a_client_certificate_is_known_to_handlers() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue(&["localhost"]);
    let config = TlsConfig::builder()
        .certificate_pem(certificate, key)
        .require_client_certificates(authority.roots())
        .build()
        .unwrap();
    let chain = async |tls: TlsInfo| tls.peer_certificates.as_ref().map_or(0, Vec::len).to_string();
    let app = move || Router::new().route("/", get(chain));
    let server = TestServer::start_with(|server| server.loops(1).pin(false).tls(config), app);
    let url = format!("https://localhost:{}/", server.address.port());
    let (certificate, key) = authority.issue(&["client"]);
    let connector = TlsConnector::builder().roots(authority.roots());
    let connector = connector.certificate_pem(certificate, key).build().unwrap();
    run(async move {
        let known = Client::builder().tls(connector).build();
        assert_eq!(known.get(&url).send().await.unwrap().text().await.unwrap(), "1");
        // In TLS 1.3 the client learns only by its first read that it was refused.
        assert!(authority.client().build().get(&url).send().await.is_err());
    });
}

#[test]
fn a_silent_client_and_half_a_handshake_are_closed_at_the_deadline() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue(&["localhost"]);
    let config = TlsConfig::builder()
        .certificate_pem(certificate, key)
        .handshake_timeout(Duration::from_millis(50))
        .build()
        .unwrap();
    let server = start(config);
    for beginning in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let mut stream = std::net::TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(beginning).unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        // At most an alert.
        assert!(rest.len() <= 7, "{rest:?}");
    }
}

#[test]
fn a_handshake_that_outlasts_the_drain_is_cancelled_and_reported() {
    let timeouts = Timeouts { drain: Duration::from_millis(300), ..Timeouts::default() };
    let config = Authority::new().config();
    let options = |server: Server| server.loops(1).pin(false).timeouts(timeouts).tls(config);
    let server = TestServer::start_with(options, routes);
    let mut half = std::net::TcpStream::connect(server.address).unwrap();
    half.write_all(b"\x16\x03\x01\x02\x00\x01").unwrap();
    // The connection was accepted, since the one after it was.
    assert!(server.exchange("GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 400 "));
    let reports = server.join();
    assert_eq!(reports[0].cancelled, 1);
    assert_eq!(reports[0].cancelled_connections[0].state, ConnectionState::Handshaking);
}

#[test]
fn idle_connections_end_with_close_notify() {
    let authority = Authority::new();
    let timeouts = Timeouts { keep_alive: Duration::from_millis(50), ..Timeouts::default() };
    let options =
        |server: Server| server.loops(1).pin(false).timeouts(timeouts).tls(authority.config());
    let server = TestServer::start_with(options, routes);
    let connector = TlsConnector::builder().roots(authority.roots()).build().unwrap();
    run(async move {
        let socket = brigade_runtime::net::TcpStream::connect(server.address).await.unwrap();
        let stream = connector.connect(socket, "localhost").await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut received = Vec::new();
        // Without `close_notify` this would be an `UnexpectedEof`.
        (&stream).read_to_end(&mut received).await.unwrap();
        assert!(received.ends_with(b"hello"));
    });
}

#[test]
fn a_drain_lets_requests_end_and_closes_the_rest() {
    let authority = Authority::new();
    let (started, has_started) = mpsc::channel();
    let app = move || {
        let started = started.clone();
        let slow = async move || {
            started.send(()).unwrap();
            time::sleep(Duration::from_millis(50)).await;
            "done"
        };
        Router::new().route("/", get(slow))
    };
    let config = authority.config();
    let mut server = TestServer::start_with(|server| server.loops(1).pin(false).tls(config), app);
    let silent = std::net::TcpStream::connect(server.address).unwrap();
    let url = format!("https://localhost:{}/", server.address.port());
    let client = authority.client();
    let request = std::thread::spawn(move || {
        run(async move { client.build().get(&url).send().await.unwrap().text().await.unwrap() })
    });
    has_started.recv_timeout(PATIENCE).unwrap();
    server.begin_shutdown();
    assert_eq!(request.join().unwrap(), "done");
    let reports = server.join();
    assert_eq!(reports[0].cancelled, 0);
    drop(silent);
}

#[test]
fn the_protocols_of_a_connector_are_replaced_by_those_of_the_client() {
    let authority = Authority::new();
    let server = start(authority.config());
    let url = format!("https://localhost:{}/", server.address.port());
    run(async move {
        // Without the feature `http2`, an `h2` that is offered would be chosen and not be spoken.
        let connector = || TlsConnector::builder().roots(authority.roots()).alpn_protocols(["h2"]);
        let client = Client::builder().tls(connector().build().unwrap());
        let mut response = client.clone().build().get(&url).send().await.unwrap();
        let expected = if cfg!(feature = "http2") { Version::HTTP_2 } else { Version::HTTP_11 };
        assert_eq!(response.version(), expected);
        assert_eq!(response.text().await.unwrap(), "hello");

        let mut response = client.http1_only().build().get(&url).send().await.unwrap();
        assert_eq!(response.version(), Version::HTTP_11);
        assert_eq!(response.text().await.unwrap(), "hello");
    });
}
