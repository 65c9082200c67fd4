//! The lines of the access log.
#![forbid(unsafe_code)]

mod sockets;

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use brigade_http::middleware::{LogFormat, log_to, request_id};
use brigade_http::{
    Body, HandlerError, HeaderValue, Next, Request, RequestHead, Router, StatusCode, get as on_get,
};
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Value, json};
use sockets::{Client, PATIENCE, TestServer, get};

/// Where a log writes to: each write is a message.
#[derive(Clone)]
struct Lines(Sender<String>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A test that ends does not receive any more.
        let _ = self.0.send(String::from_utf8(bytes.to_vec()).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts a server with an access log. Returns the lines that it writes.
fn start(
    format: LogFormat,
    routes: impl Fn() -> Router + Clone + Send + 'static,
    outer: impl Fn(Router) -> Router + Clone + Send + 'static,
) -> (TestServer, Receiver<String>) {
    let (lines, written) = channel();
    let lines = Arc::new(Mutex::new(Lines(lines)));
    let server = TestServer::start(move || {
        let lines = lines.lock().unwrap().clone();
        outer(routes().layer(log_to(format, lines)))
    });
    (server, written)
}

fn start_json(
    routes: impl Fn() -> Router + Clone + Send + 'static,
) -> (TestServer, Receiver<String>) {
    start(LogFormat::Json, routes, |router| router.layer(request_id))
}

/// Returns the next line, parsed, without its time, and checks what differs from run to run.
fn next_json(lines: &Receiver<String>) -> Value {
    let line = lines.recv_timeout(PATIENCE).unwrap();
    assert_eq!(line.find('\n'), Some(line.len() - 1), "{line:?}");
    let mut entry: Value = serde_json::from_str(&line).unwrap();
    let entry_map = entry.as_object_mut().unwrap();
    let time = entry_map.remove("time").unwrap();
    let time = time.as_str().unwrap();
    assert!(time.starts_with("20") && time.ends_with('Z') && time.len() == 24, "{time}");
    let milliseconds = entry_map.remove("milliseconds").unwrap().as_f64().unwrap();
    assert!(milliseconds >= 0.0);
    let microseconds = milliseconds * 1000.0;
    assert!((microseconds - microseconds.round()).abs() < 1e-3, "{milliseconds} is not rounded");
    let peer = entry_map.remove("peer").unwrap();
    assert!(peer.as_str().unwrap().starts_with("127.0.0.1:"), "{peer}");
    entry
}

/// Sends a request, reads what arrives until the connection is closed, and returns its entry.
fn entry_of(server: &TestServer, lines: &Receiver<String>, request: &str) -> (Value, String) {
    let response = server.exchange(request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
    (next_json(lines), response)
}

fn streamed() -> Body {
    let parts = ["abc", "", "defg"].map(|part| Ok::<_, io::Error>(Bytes::from(part)));
    Body::stream(stream::iter(parts))
}

#[test]
fn a_line_has_what_was_sent() {
    let (server, lines) = start_json(|| {
        Router::new()
            .route("/items/{id}", on_get(async || "hello"))
            .route("/streamed", on_get(async || streamed()))
            .route("/large", on_get(async || "x".repeat(300_000)))
            .route("/same", on_get(async || (StatusCode::NOT_MODIFIED, "not sent")))
            .route("/invalid", on_get(async || StatusCode::CONTINUE))
    });
    let item = "GET /items/7?secret=1 HTTP/1.1\r\nHost: a\r\nX-Request-Id: id-1\r\n\r\n";
    let (entry, _) = entry_of(&server, &lines, item);
    let expected = json!({
        "method": "GET", "path": "/items/7", "route": "/items/{id}", "status": 200, "bytes": 5,
        "complete": true, "request_id": "id-1",
    });
    assert_eq!(entry, expected);
    for (request, route, status, bytes) in [
        (get("/streamed"), json!("/streamed"), 200, 7),
        (get("/large"), json!("/large"), 200, 300_000),
        (get("/same"), json!("/same"), 304, 0),
        (get("/large").replace("GET", "HEAD"), json!("/large"), 200, 0),
        (get("/streamed").replace("GET", "HEAD"), json!("/streamed"), 200, 0),
        // The second one takes the place of a response that cannot be sent.
        (get("/none"), Value::Null, 404, 14),
        (get("/invalid"), json!("/invalid"), 500, 26),
        (get("/streamed").replace("1.1", "1.0"), json!("/streamed"), 200, 7),
    ] {
        let (entry, response) = entry_of(&server, &lines, &request);
        let body = response.split_once("\r\n\r\n").unwrap().1.to_owned();
        assert_eq!(entry["route"], route, "{entry}");
        assert_eq!(
            (&entry["status"], &entry["complete"]),
            (&json!(status), &json!(true)),
            "{entry}"
        );
        if route != "/streamed" {
            assert_eq!(body.len(), bytes, "{body:?}");
        }
        assert_eq!(entry["bytes"], bytes, "{entry}");
    }
}

#[test]
fn pipelined_requests_have_a_line_each() {
    let (server, lines) = start_json(|| {
        Router::new().route("/{name}", on_get(async |request: Request| request.path().to_owned()))
    });
    let mut client = server.connect();
    client.send([get("/a"), get("/bc"), get("/def")].concat());
    for (path, bytes) in [("/a", 2), ("/bc", 3), ("/def", 4)] {
        assert_eq!(client.response().text(), path);
        let entry = next_json(&lines);
        assert_eq!((&entry["path"], &entry["bytes"]), (&json!(path), &json!(bytes)));
        assert_eq!(entry["complete"], true);
    }
}

/// Reads some of a response, and closes the connection. Returns how much of the body was read.
fn leave_midway(mut client: Client, bytes: usize) {
    client.until(b"\r\n\r\n");
    client.take(bytes);
}

#[test]
fn a_response_that_the_client_aborts_has_the_bytes_that_were_sent() {
    const LENGTH: usize = 64 * 1024 * 1024;
    let (server, lines) = start_json(|| {
        let first = || stream::iter([Ok::<_, io::Error>(Bytes::from_static(b"first"))]);
        Router::new().route("/large", on_get(async || vec![b'x'; LENGTH])).route(
            "/endless",
            on_get(async move || {
                Body::stream(stream::StreamExt::chain(first(), stream::pending()))
            }),
        )
    });
    let mut client = server.connect();
    client.send(get("/large"));
    leave_midway(client, 100_000);
    let entry = next_json(&lines);
    let bytes = entry["bytes"].as_u64().unwrap() as usize;
    assert!((100_000..LENGTH).contains(&bytes), "{entry}");
    assert_eq!((&entry["status"], &entry["complete"]), (&json!(200), &json!(false)));
    let mut client = server.connect();
    client.send(get("/endless"));
    leave_midway(client, 10);
    let entry = next_json(&lines);
    assert_eq!((&entry["bytes"], &entry["complete"]), (&json!(5), &json!(false)), "{entry}");
}

#[test]
fn a_body_that_fails_has_the_bytes_that_were_sent() {
    let (server, lines) = start_json(|| {
        let parts = || [Ok(Bytes::from_static(b"first")), Err(io::Error::other("broken"))];
        Router::new().route("/", on_get(async move || Body::stream(stream::iter(parts()))))
    });
    let (entry, response) = entry_of(&server, &lines, &get("/"));
    assert!(response.ends_with("5\r\nfirst\r\n"), "{response}");
    assert_eq!((&entry["bytes"], &entry["complete"]), (&json!(5), &json!(false)), "{entry}");
}

#[test]
fn a_handler_that_panics_is_logged_as_a_500() {
    async fn panics() -> &'static str {
        panic!("as expected")
    }
    let (server, lines) = start_json(|| Router::new().route("/", on_get(panics)));
    let (entry, response) = entry_of(&server, &lines, &get("/"));
    assert!(response.starts_with("HTTP/1.1 500 "), "{response}");
    assert_eq!((&entry["status"], &entry["complete"]), (&json!(500), &json!(false)), "{entry}");
}

#[test]
fn a_handler_whose_client_leaves_has_no_status() {
    let (begin, begun) = channel();
    let begin = Arc::new(Mutex::new(begin));
    let (server, lines) = start_json(move || {
        let begin = begin.clone();
        let handler = async move || {
            begin.lock().unwrap().send(()).unwrap();
            std::future::pending::<()>().await;
        };
        Router::new().route("/", on_get(handler))
    });
    let mut client = server.connect();
    client.send(get("/"));
    begun.recv_timeout(PATIENCE).unwrap();
    drop(client);
    let entry = next_json(&lines);
    assert_eq!((&entry["status"], &entry["bytes"]), (&Value::Null, &json!(0)), "{entry}");
}

#[test]
fn what_a_client_sends_cannot_break_a_line() {
    for format in [LogFormat::Json, LogFormat::Text] {
        let (server, lines) = start(format, Router::new, |router| router.layer(request_id));
        let paths: [&[u8]; 8] = [
            b"/%22%0a%5c%ff",
            b"/a\"b",
            b"/a\\b",
            b"/\xff\xfe",
            b"/\xc3\xa9",
            b"/\xe2\x80\xae",
            b"/a'b{c}|d^`",
            b"/%e2%80%a8=x",
        ];
        for path in paths {
            let head = b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Request-Id: a\" b\r\n\r\n";
            let request = [b"GET ".as_slice(), path, head].concat();
            let response = server.exchange(request);
            if response.starts_with("HTTP/1.1 400 ") {
                // The protocol refuses it, so no layer sees it.
                continue;
            }
            let sent = std::str::from_utf8(path).unwrap();
            if format == LogFormat::Json {
                let entry = next_json(&lines);
                assert_eq!(entry["path"], sent);
                assert!(!entry["request_id"].as_str().unwrap().contains('"'));
                continue;
            }
            let line = lines.recv_timeout(PATIENCE).unwrap();
            assert_eq!(line.find('\n'), Some(line.len() - 1), "{line:?}");
            assert!(line.is_ascii() && line.starts_with("time=20"), "{line:?}");
        }
        assert!(lines.try_recv().is_err());
    }
}

#[test]
fn the_text_form_has_the_same_values() {
    let routes = || Router::new().route("/items/{id}", on_get(async || "hello"));
    let (server, lines) = start(LogFormat::Text, routes, |router| router);
    let mut client = server.connect();
    let peer = client.stream.local_addr().unwrap();
    client.send(get("/items/7?a=b"));
    assert_eq!(client.response().text(), "hello");
    let line = lines.recv_timeout(PATIENCE).unwrap();
    let (_, line) = line.split_once("Z ").unwrap();
    let begin =
        "method=GET path=/items/7 route=/items/{id} status=200 bytes=5 complete=true milliseconds=";
    assert!(line.starts_with(begin), "{line}");
    assert!(line.ends_with(&format!(" peer={peer}\n")), "{line}");
}

#[test]
fn what_outer_layers_change_is_logged_as_it_was_sent() {
    async fn fails() -> Result<(), HandlerError> {
        Err(HandlerError::new(StatusCode::CONFLICT, "taken"))
    }
    let routes = || Router::new().route("/", on_get(fails));
    let (server, lines) = start(LogFormat::Json, routes, |router| {
        router
            .layer(async |request: Request, next: Next| {
                let response = next.run(request).await;
                response.with_header(brigade_http::header::SERVER, HeaderValue::from_static("a"))
            })
            .on_error(|_: &HandlerError, _: &RequestHead| {
                (StatusCode::IM_A_TEAPOT, "short and stout")
            })
    });
    let (entry, response) = entry_of(&server, &lines, &get("/"));
    assert!(response.starts_with("HTTP/1.1 418 ") && response.ends_with("short and stout"));
    assert_eq!((&entry["status"], &entry["bytes"]), (&json!(418), &json!(15)), "{entry}");
    assert_eq!(entry["complete"], true);
}

#[test]
fn two_logs_write_a_line_each() {
    let (inner, inner_lines) = channel();
    let inner = Arc::new(Mutex::new(Lines(inner)));
    let routes = move || {
        let inner = inner.lock().unwrap().clone();
        Router::new().route("/", on_get(async || "hello")).layer(log_to(LogFormat::Json, inner))
    };
    let (server, lines) = start(LogFormat::Json, routes, |router| router);
    let (entry, _) = entry_of(&server, &lines, &get("/"));
    assert_eq!((&entry["bytes"], &entry["complete"]), (&json!(5), &json!(true)));
    assert_eq!(next_json(&inner_lines), entry);
}

#[test]
fn a_log_that_cannot_be_written_disturbs_no_request() {
    struct Full;
    impl io::Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let server = TestServer::start(|| {
        Router::new().route("/", on_get(async || "hello")).layer(log_to(LogFormat::Text, Full))
    });
    let mut client = server.connect();
    for _ in 0..3 {
        client.send(get("/"));
        assert_eq!(client.response().text(), "hello");
    }
}
