//! Handlers whose client disconnects.
#![forbid(unsafe_code)]

mod sockets;

use std::sync::mpsc::{Receiver, Sender, channel};

use brigade_http::{Request, Router, any};
use sockets::{PATIENCE, TestServer, get};

/// A server whose handler reports that it has begun, and then that its client has gone.
fn reporting(
    handler: impl AsyncFn(Request, Sender<&'static str>) + Copy + Send + 'static,
) -> (TestServer, Receiver<&'static str>) {
    let (sender, receiver) = channel();
    let server = TestServer::start(move || {
        let sender = sender.clone();
        let handler = move |request| {
            let sender = sender.clone();
            async move { handler(request, sender).await }
        };
        Router::new().route("/", any(handler).detach_on_disconnect())
    });
    (server, receiver)
}

async fn wait(request: Request, sender: Sender<&'static str>) {
    let disconnected = request.disconnected();
    assert!(!disconnected.is_ready());
    sender.send("began").unwrap();
    disconnected.clone().await;
    assert!(disconnected.is_ready() && request.disconnected().is_ready());
    sender.send("gone").unwrap();
}

#[test]
fn a_detached_handler_notices_that_its_client_has_gone() {
    let (server, told) = reporting(wait);
    let mut client = server.connect();
    client.send(get("/"));
    assert_eq!(told.recv_timeout(PATIENCE), Ok("began"));
    drop(client);
    assert_eq!(told.recv_timeout(PATIENCE), Ok("gone"));
}

#[test]
fn a_detached_handler_notices_a_disconnect_after_it_has_read_the_body() {
    let (server, told) = reporting(async |mut request: Request, sender| {
        assert_eq!(request.body_mut().collect(10).await.unwrap(), "hello");
        wait(request, sender).await;
    });
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(told.recv_timeout(PATIENCE), Ok("began"));
    drop(client);
    assert_eq!(told.recv_timeout(PATIENCE), Ok("gone"));
}

/// Sends `request` to a handler that ignores its body, and closes in an orderly way. Asserts that
/// the handler is told, or dropped.
fn close_unread(request: &str) {
    let (server, told) = reporting(wait);
    let mut client = server.connect();
    client.send(request);
    assert_eq!(told.recv_timeout(PATIENCE), Ok("began"));
    drop(client);
    assert_eq!(told.recv_timeout(PATIENCE), Ok("gone"));

    let (sender, told) = channel();
    let server = TestServer::start(move || {
        let sender = sender.clone();
        let handler = move |request| wait(request, sender.clone());
        Router::new().route("/", any(handler))
    });
    let mut client = server.connect();
    client.send(request);
    assert_eq!(told.recv_timeout(PATIENCE), Ok("began"));
    drop(client);
    // The handlers of this server have the only senders.
    let connections = || server.connect().stream;
    let _other = connections();
    drop(server);
    assert!(told.recv_timeout(PATIENCE).is_err(), "the handler went on");
}

#[test]
fn a_handler_that_ignores_the_body_notices_a_disconnect() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
    close_unread(&format!("{head}hello"));
    close_unread(&format!("{head}he"));
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    close_unread(&format!("{chunked}5\r\nhello\r\n0\r\n\r\n"));
}

#[test]
fn a_handler_that_stops_reading_the_body_notices_a_disconnect() {
    let (server, told) = reporting(async |mut request: Request, sender| {
        assert_eq!(request.body_mut().chunk().await.unwrap().unwrap(), "hel");
        wait(request, sender).await;
    });
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n");
    assert_eq!(told.recv_timeout(PATIENCE), Ok("began"));
    client.send("2\r\nlo\r\n0\r\n\r\n");
    drop(client);
    assert_eq!(told.recv_timeout(PATIENCE), Ok("gone"));
}

#[test]
fn a_half_closed_client_gets_a_large_response_that_precedes_a_handler_that_waits() {
    const LENGTH: usize = 8 << 20;
    let (sender, has_begun) = channel();
    let server = TestServer::start(move || {
        let sender = sender.clone();
        let begin = move || {
            sender.send("began").unwrap();
            std::future::pending::<()>()
        };
        let large = async || vec![b'x'; LENGTH];
        Router::new().route("/large", any(large)).route("/wait", any(begin))
    });
    let mut client = server.connect();
    client.send([get("/large"), get("/wait")].concat());
    client.finish_sending();
    assert_eq!(client.response().body.len(), LENGTH);
    assert_eq!(has_begun.recv_timeout(PATIENCE), Ok("began"));
    assert_eq!(client.rest(), "");
}

#[test]
fn a_half_closed_client_whose_body_is_being_read_gets_its_response() {
    const LENGTH: usize = 1_000_000;
    let server = TestServer::start(|| {
        let count = async |mut request: Request| {
            let mut count = 0;
            while let Some(part) = request.body_mut().chunk().await {
                count += part.unwrap().len();
            }
            count.to_string()
        };
        Router::new().route("/", any(count))
    });
    let mut client = server.connect();
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LENGTH}\r\n\r\n"));
    client.send(vec![b'x'; LENGTH]);
    client.finish_sending();
    assert_eq!(client.response().text(), LENGTH.to_string());
}

#[test]
fn another_task_of_the_loop_can_wait_for_the_disconnect() {
    let (server, told) = reporting(async |request: Request, sender: Sender<_>| {
        let ended = sender.clone();
        brigade_runtime::spawn(async move { wait(request, sender).await }).await.unwrap();
        ended.send("ended").unwrap();
    });
    let mut client = server.connect();
    client.send(get("/"));
    assert_eq!(told.recv_timeout(PATIENCE), Ok("began"));
    drop(client);
    assert_eq!(told.recv_timeout(PATIENCE), Ok("gone"));
    assert_eq!(told.recv_timeout(PATIENCE), Ok("ended"));
}

#[test]
fn waiting_for_the_disconnect_ends_when_the_response_is_complete() {
    let (server, told) = reporting(async |request: Request, sender| {
        brigade_runtime::spawn(async move { wait(request, sender).await }).detach();
        brigade_runtime::task::yield_now().await;
    });
    let mut client = server.connect();
    client.send(get("/"));
    assert_eq!(client.response().status, 200);
    assert_eq!(told.recv_timeout(PATIENCE), Ok("began"));
    assert_eq!(told.recv_timeout(PATIENCE), Ok("gone"));
    client.send(get("/"));
    assert_eq!(client.response().status, 200);
}

#[test]
fn a_detached_handler_whose_client_stays_responds_and_keeps_the_connection() {
    let (server, told) = reporting(async |request: Request, sender: Sender<_>| {
        let disconnected = request.disconnected();
        brigade_runtime::task::yield_now().await;
        sender.send(if disconnected.is_ready() { "gone" } else { "there" }).unwrap();
    });
    let mut client = server.connect();
    for _ in 0..3 {
        client.send(get("/"));
        assert_eq!(client.response().status, 200);
        assert_eq!(told.recv_timeout(PATIENCE), Ok("there"));
    }
}

#[test]
fn a_handler_that_is_not_detached_is_dropped_on_disconnect() {
    let (sender, told) = channel();
    let server = TestServer::start(move || {
        let sender = sender.clone();
        Router::new().route(
            "/",
            any(move |request: Request| {
                let sender = sender.clone();
                async move {
                    sender.send("began").unwrap();
                    request.disconnected().await;
                    sender.send("told").unwrap();
                }
            }),
        )
    });
    let mut client = server.connect();
    client.send(get("/"));
    assert_eq!(told.recv_timeout(PATIENCE), Ok("began"));
    drop(client);
    drop(server);
    assert!(told.recv_timeout(PATIENCE).is_err(), "the handler is gone, and with it its sender");
}
