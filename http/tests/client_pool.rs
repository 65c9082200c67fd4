//! Which connections the client keeps and reuses, and when it sends a request twice.
#![forbid(unsafe_code)]

mod scripted;
mod sockets;

use std::time::Duration;

use brigade_http::{
    Body, Client, ClientError, ClientErrorKind, ClientRequest, Request, Response, Router, any,
    get as on_get,
};
use brigade_runtime::{gather_all, run, spawn, task, time};
use bytes::Bytes;
use futures_util::stream;
use http::{Method, StatusCode};
use scripted::{Host, answering, ok, on_loop, script};
use sockets::TestServer;

fn app() -> Router {
    Router::new()
        .route("/peer", any(async |request: Request| request.peer_addr().to_string()))
        .route("/empty", any(async || StatusCode::NO_CONTENT))
        .route("/bytes/{n}", on_get(bytes))
        .route("/chunks/{n}", on_get(chunks))
}

async fn bytes(request: Request) -> Vec<u8> {
    vec![b'x'; request.param("n").unwrap().parse().unwrap()]
}

async fn chunks(request: Request) -> Response {
    let n = request.param("n").unwrap().parse().unwrap();
    let parts = (0..n).map(|_: u32| Ok::<_, std::io::Error>(Bytes::from_static(b"0123456789")));
    Response::new(Body::stream(stream::iter(parts)))
}

async fn text(client: &Client, url: &str) -> String {
    client.get(url).send().await.unwrap().text().await.unwrap()
}

#[test]
fn successive_requests_share_a_connection() {
    let server = TestServer::start(app);
    let root = format!("http://{}", server.address);
    run(async move {
        let client = Client::new();
        let peers = [text(&client, &format!("{root}/peer")).await];
        for _ in 0..10 {
            assert_eq!(text(&client.clone(), &format!("{root}/peer")).await, peers[0]);
            let post = client.post(format!("{root}/peer")).body("x").send().await;
            assert_eq!(post.unwrap().text().await.unwrap(), peers[0]);
        }
        assert_eq!((client.connections_opened(), client.connections_idle()), (1, 1));
    });
    assert_eq!(server.join()[0].stats.tcp.accepted, 1);
}

#[test]
fn a_response_without_a_body_frees_its_connection_at_once() {
    let server = TestServer::start(app);
    let root = format!("http://{}", server.address);
    run(async move {
        let client = Client::new();
        for method in [Method::HEAD, Method::GET, Method::POST, Method::DELETE] {
            let path = if method == Method::HEAD { "/bytes/9" } else { "/empty" };
            let response = client.request(method, format!("{root}{path}")).send().await.unwrap();
            assert_eq!(client.connections_idle(), 1);
            drop(response);
        }
        assert_eq!(client.connections_opened(), 1);
    });
}

#[test]
fn concurrent_requests_have_a_connection_each_and_some_are_kept() {
    let server = TestServer::start(app);
    let root = format!("http://{}", server.address);
    run(async move {
        let client = Client::new();
        let urls: Vec<_> = (0..100).map(|n| format!("{root}/bytes/{n}")).collect();
        let lengths = gather_all(urls.iter().map(async |url| text(&client, url).await.len())).await;
        assert_eq!(lengths, (0..100).collect::<Vec<_>>());
        assert!((1..=100).contains(&client.connections_opened()));
        assert!((1..=32).contains(&client.connections_idle()), "{client:?}");
        let before = client.connections_opened();
        text(&client, &urls[7]).await;
        assert_eq!(client.connections_opened(), before);
    });
}

#[test]
fn the_connection_that_became_idle_last_is_used_first() {
    let server = TestServer::start(app);
    let url = format!("http://{}/peer", server.address);
    run(async move {
        let client = Client::new();
        let mut first = client.get(&url).send().await.unwrap();
        let mut second = client.get(&url).send().await.unwrap();
        first.text().await.unwrap();
        let last = second.text().await.unwrap();
        assert_eq!((client.connections_opened(), client.connections_idle()), (2, 2));
        for _ in 0..3 {
            assert_eq!(text(&client, &url).await, last);
        }
    });
}

#[test]
fn idle_connections_are_limited_per_host_and_in_total() {
    let servers = [TestServer::start(app), TestServer::start(app)];
    let urls = servers.each_ref().map(|server| format!("http://{}/peer", server.address));
    run(async move {
        let client = Client::builder().idle_per_host_max(2).idle_max(3).build();
        let burst = |url: String| {
            let client = client.clone();
            async move {
                let mut open = Vec::new();
                for _ in 0..4 {
                    open.push(client.get(&url).send().await.unwrap());
                }
                let mut peer = String::new();
                for mut response in open {
                    peer = response.text().await.unwrap();
                }
                peer
            }
        };
        let last = burst(urls[0].clone()).await;
        assert_eq!(client.connections_idle(), 2, "per host");
        assert_eq!(text(&client, &urls[0]).await, last, "the last ones are kept");
        let other = burst(urls[1].clone()).await;
        assert_eq!(client.connections_idle(), 3, "in all");
        assert_eq!([text(&client, &urls[0]).await, text(&client, &urls[1]).await], [last, other]);
        assert_eq!(client.connections_opened(), 8);
        client.close_idle();
        assert_eq!(client.connections_idle(), 0);
        let frugal = Client::builder().idle_max(0).build();
        text(&frugal, &urls[0]).await;
        assert_eq!(frugal.connections_idle(), 0);
    });
}

#[test]
fn idle_connections_are_closed_after_the_idle_timeout() {
    on_loop(async {
        let (url, server) = answering(ok("hi"));
        let client = Client::builder().idle_timeout(Duration::from_secs(60)).build();
        assert_eq!(text(&client, &url).await, "hi");
        let peer = server.await.unwrap();
        let began = time::now();
        assert_eq!(peer.rest().await, b"");
        let idle = (time::now() - began).as_secs();
        assert!((60..=65).contains(&idle), "{idle} s");
        assert_eq!(client.connections_idle(), 0);
    });
}

#[test]
fn a_dropped_client_does_not_keep_the_loop_running() {
    let mut event_loop = brigade_runtime::EventLoop::new().unwrap();
    event_loop.run_until_complete(async {
        let (url, server) = answering(ok("hi"));
        let client = Client::new();
        assert_eq!(text(&client, &url).await, "hi");
        server.await.unwrap();
    });
    event_loop.run();
}

#[test]
fn a_connection_that_the_server_closed_is_swept() {
    on_loop(async {
        let (url, server) = answering(ok("hi"));
        let client = Client::new();
        assert_eq!(text(&client, &url).await, "hi");
        drop(server.await.unwrap());
        time::sleep(Duration::from_secs(6)).await;
        assert_eq!(client.connections_idle(), 0);
    });
}

#[test]
fn a_connection_that_the_server_closed_is_not_reused() {
    on_loop(async {
        let (url, server) = script(async |host| {
            for answer in ["first", "second"] {
                let mut peer = host.accept().await;
                peer.head().await;
                peer.send(ok(answer)).await;
            }
        });
        let client = Client::new();
        assert_eq!(text(&client, &url).await, "first");
        task::yield_now().await;
        let response = client.post(&url).body("not to be sent twice").send().await;
        assert_eq!(response.unwrap().text().await.unwrap(), "second");
        server.await.unwrap();
        assert_eq!(client.connections_opened(), 2);
    });
}

/// Responds to one request, reads the next one on the same connection, sends `parting` and closes.
/// Responds to requests on later connections. Returns the methods of all requests.
async fn fickle(host: Host, parting: &str) -> Vec<String> {
    let method = |head: String| head.split(' ').next().unwrap().to_owned();
    let mut peer = host.accept().await;
    let mut methods = vec![method(peer.head().await)];
    peer.send(ok("first")).await;
    methods.push(method(peer.head().await));
    peer.send(parting).await;
    drop(peer);
    while let Ok(mut peer) = time::timeout(Duration::from_secs(1), host.accept()).await {
        methods.push(method(peer.head().await));
        peer.send(ok("again")).await;
    }
    methods
}

/// Returns the result of a request on a connection that ends before its response, and the methods
/// that the server received.
fn after_the_first(
    parting: &'static str,
    request: impl FnOnce(&Client, &str) -> ClientRequest + 'static,
) -> (Result<String, ClientError>, Vec<String>) {
    on_loop(async move {
        let (url, server) = script(|host| fickle(host, parting));
        let client = Client::new();
        assert_eq!(text(&client, &url).await, "first");
        let outcome = match request(&client, &url).send().await {
            Ok(mut response) => response.text().await,
            Err(error) => Err(error),
        };
        (outcome, server.await.unwrap())
    })
}

#[test]
fn an_idempotent_request_is_sent_again_on_a_new_connection() {
    let (outcome, methods) = after_the_first("", |client, url| client.get(url));
    assert_eq!((outcome.unwrap().as_str(), methods), ("again", vec_of(["GET", "GET", "GET"])));
    let (outcome, methods) = after_the_first("", |client, url| client.put(url).body("all there"));
    assert_eq!((outcome.unwrap().as_str(), methods), ("again", vec_of(["GET", "PUT", "PUT"])));
}

#[test]
fn a_request_that_is_not_idempotent_is_not_sent_again() {
    let (outcome, methods) = after_the_first("", |client, url| client.post(url).body("once"));
    let error = outcome.unwrap_err();
    let is_lost = matches!(error.kind(), ClientErrorKind::NoResponse | ClientErrorKind::Broken(_));
    assert!(is_lost && error.to_string().starts_with("POST http://127.0.0.1:"), "{error}");
    assert_eq!(methods, vec_of(["GET", "POST"]));
}

#[test]
fn a_request_with_a_stream_for_a_body_is_not_sent_again() {
    let parts = || stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"once"))]);
    let (outcome, methods) =
        after_the_first("", move |client, url| client.put(url).body(Body::stream(parts())));
    assert!(outcome.is_err());
    assert_eq!(methods, vec_of(["GET", "PUT"]));
}

#[test]
fn a_request_is_not_sent_again_after_a_response_has_begun() {
    for parting in ["HTTP/1.1 2", "HTTP/1.1 102 Processing\r\n\r\n"] {
        let (outcome, methods) = after_the_first(parting, |client, url| client.get(url));
        assert!(outcome.is_err(), "{parting}");
        assert_eq!(methods, vec_of(["GET", "GET"]), "{parting}");
    }
}

#[test]
fn a_request_that_fails_on_a_new_connection_is_not_sent_again() {
    on_loop(async {
        let (url, server) = script(async |host| host.accept().await.head().await);
        let client = Client::new();
        let error = client.get(&url).send().await.unwrap_err();
        assert!(matches!(error.kind(), ClientErrorKind::NoResponse), "{error}");
        assert!(!error.is_timeout() && !error.is_connect());
        server.await.unwrap();
        assert_eq!(client.connections_opened(), 1);
    });
}

fn vec_of<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}

#[test]
fn a_connection_that_either_side_closes_is_not_kept() {
    on_loop(async {
        for answer in [
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
            "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        ] {
            let (url, server) = answering(answer);
            let client = Client::new();
            assert_eq!(text(&client, &url).await, "hi");
            assert_eq!(client.connections_idle(), 0, "{answer}");
            assert_eq!(server.await.unwrap().rest().await, b"");
        }
        let (url, server) = answering(ok("hi"));
        let client = Client::new();
        let mut response = client.get(&url).header("connection", "close").send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), "hi");
        assert_eq!(client.connections_idle(), 0);
        server.await.unwrap();
    });
}

#[test]
fn a_connection_with_unexpected_bytes_is_not_reused() {
    on_loop(async {
        let (url, server) = answering(ok("hi") + "HTTP/1.1 200 OK\r\n\r\nsmuggled");
        let client = Client::new();
        assert_eq!(text(&client, &url).await, "hi");
        assert_eq!(client.connections_idle(), 0, "they came with the answer");
        server.await.unwrap();

        let (url, server) = script(async |host| {
            let mut peer = host.accept().await;
            peer.head().await;
            peer.send(ok("first")).await;
            time::sleep(Duration::from_secs(1)).await;
            peer.send("HTTP/1.1 408 Request Timeout\r\n\r\n").await;
            let mut second = host.accept().await;
            second.head().await;
            second.send(ok("second")).await;
            peer.rest().await
        });
        assert_eq!(text(&client, &url).await, "first");
        time::sleep(Duration::from_secs(2)).await;
        assert_eq!(text(&client, &url).await, "second", "they came while it was idle");
        assert_eq!(server.await.unwrap(), b"");
    });
}

#[test]
fn the_rest_of_a_short_response_is_discarded_when_its_connection_is_reused() {
    let server = TestServer::start(app);
    let root = format!("http://{}", server.address);
    run(async move {
        let client = Client::new();
        for path in ["/bytes/100", "/chunks/100"] {
            let url = format!("{root}{path}");
            let response = client.get(&url).send().await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            drop(response);
            assert_eq!(client.connections_idle(), 1, "{path}");
        }
    });
}

#[test]
fn a_response_that_is_dropped_early_does_not_leak_into_the_next_one() {
    on_loop(async {
        let (url, server) = script(async |host| {
            let mut peer = host.accept().await;
            peer.head().await;
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").await;
            time::sleep(Duration::from_secs(1)).await;
            peer.send("world").await;
            peer.head().await;
            peer.send(ok("second")).await;
        });
        let client = Client::new();
        let mut first = client.get(&url).send().await.unwrap();
        assert_eq!(first.chunk().await.unwrap().unwrap(), "hello");
        drop(first);
        time::sleep(Duration::from_secs(2)).await;
        assert_eq!(text(&client, &url).await, "second");
        assert_eq!(client.connections_opened(), 1);
        server.await.unwrap();
    });
}

#[test]
fn a_response_that_is_dropped_long_before_its_end_closes_its_connection() {
    on_loop(async {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n";
        let (url, server) = answering(head);
        let client = Client::new();
        drop(client.get(&url).send().await.unwrap());
        assert_eq!(client.connections_idle(), 0);
        server.await.unwrap().rest().await;

        let (url, server) = script(async |host| {
            for parting in [70_000, 0] {
                let mut peer = host.accept().await;
                peer.head().await;
                peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
                let chunk = format!("{parting:x}\r\n{}\r\n", "x".repeat(parting));
                spawn(async move { peer.stream.write_all(chunk.as_bytes()).await.is_ok() })
                    .detach();
            }
        });
        drop(client.get(&url).send().await.unwrap());
        time::sleep(Duration::from_secs(1)).await;
        assert_eq!(text(&client, &url).await, "", "more was left than is worth reading");
        assert_eq!(client.connections_opened(), 3);
        server.await.unwrap();
    });
}

#[test]
fn dropping_the_future_of_a_request_closes_its_connection() {
    on_loop(async {
        let (url, server) = script(async |host| {
            let mut peer = host.accept().await;
            peer.head().await;
            peer.rest().await
        });
        let client = Client::new();
        let cancelled = time::timeout(Duration::from_secs(1), client.get(&url).send()).await;
        assert!(cancelled.is_err());
        assert_eq!(server.await.unwrap(), b"");
        assert_eq!(client.connections_idle(), 0);
    });
}

#[test]
fn a_client_that_outlives_its_loop_opens_new_connections_on_the_next() {
    let client = Client::new();
    for _ in 0..2 {
        let client = client.clone();
        on_loop(async move {
            let (url, server) = answering(ok("hi"));
            assert_eq!(text(&client, &url).await, "hi");
            drop(server.await.unwrap());
        });
    }
    assert_eq!(client.connections_opened(), 2);
}

#[test]
fn a_response_may_be_dropped_outside_of_a_loop() {
    let response = on_loop(async {
        let (url, server) = answering("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        let response = Client::new().get(&url).send().await.unwrap();
        server.await.unwrap();
        response
    });
    drop(response);
}
