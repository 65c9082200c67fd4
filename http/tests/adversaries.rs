//! Clients that disconnect, are slow, read nothing, or try to smuggle requests.
#![forbid(unsafe_code)]

mod sockets;

use std::cell::Cell;
use std::io::Read;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use brigade_http::Timeouts;
use brigade_http::{BodyError, Request, Router, any, get as on_get, post};
use brigade_runtime::net::TcpStream;
use brigade_runtime::{EventLoop, spawn, task, time};
use bytes::Bytes;
use sockets::{Client, TestServer, get};

/// How many connections end in each phase.
const TIMES: usize = 20;

fn app() -> Router {
    Router::new()
        .route("/", on_get(async || "root"))
        .route("/echo", post(echo))
        .route("/ignore", any(async || "ignored"))
        .route("/wait", any(async || std::future::pending::<()>().await))
        .route("/large", on_get(async || Bytes::from_static(&[b'x'; 1 << 20])))
}

async fn echo(mut request: Request) -> Result<Bytes, BodyError> {
    request.body_mut().collect(10_000_000).await
}

/// Returns the phases of a connection, with the bytes that lead to each.
fn phases() -> [(&'static str, String); 10] {
    let sized = |path| format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n123");
    let chunked = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12";
    [
        ("before the head", String::new()),
        ("in the head", "GET / HTTP/1.1\r\nHo".to_owned()),
        ("in a body", sized("/echo")),
        ("in a chunk", chunked.to_owned()),
        ("in a body that is dropped", sized("/ignore")),
        ("in a handler", get("/wait")),
        ("in a handler that does not read", sized("/wait")),
        ("in a response", get("/large").repeat(20)),
        ("in a pipeline", get("/").repeat(500)),
        ("after an error response", "BAD\r\n\r\n".to_owned()),
    ]
}

/// Closes the connection with a reset.
fn reset(client: Client) {
    brigade_runtime::run(async move {
        let stream = TcpStream::from_std(client.stream).unwrap();
        stream.set_linger(Some(Duration::ZERO)).unwrap();
    });
}

/// Ends connections in each of `phases` by `end`. Asserts that the server continues to serve, and
/// has no connection left at the end.
fn end_connections<'a>(phases: impl Iterator<Item = &'a (&'a str, String)>, end: impl Fn(Client)) {
    let server = TestServer::start(app);
    let mut connections = 0;
    for (phase, bytes) in phases {
        for _ in 0..TIMES {
            let mut client = server.connect();
            client.send(bytes);
            end(client);
        }
        let mut client = server.connect();
        client.send(get("/"));
        assert_eq!(client.response().text(), "root", "after connections that ended {phase}");
        connections += TIMES + 1;
    }
    // A connection that was left would be cut at the drain deadline.
    let report = &server.join()[0];
    assert_eq!((report.stats.tcp.accepted, report.cancelled), (connections, 0));
}

#[test]
fn a_reset_in_any_phase_of_a_connection_leaves_nothing_open() {
    end_connections(phases().iter(), reset);
}

#[test]
fn a_close_in_any_phase_of_a_connection_leaves_nothing_open() {
    end_connections(phases().iter(), drop);
}

#[test]
fn a_half_closed_client_still_gets_its_response() {
    let server = TestServer::start(app);
    let begins = |phase| match phase {
        "in a body" | "in a chunk" => "HTTP/1.1 400 ",
        "in a body that is dropped" => "HTTP/1.1 200 ",
        "in a pipeline" => "HTTP/1.1 200 ",
        "in a response" => "HTTP/1.1 200 ",
        "after an error response" => "HTTP/1.1 400 ",
        // There is no whole request, or the handler is cancelled because the client seems gone.
        _ => "",
    };
    for (phase, bytes) in phases() {
        let mut client = server.connect();
        client.send(&bytes);
        client.finish_sending();
        let all = client.rest();
        assert!(all.starts_with(begins(phase)), "{phase}: {all}");
        assert_eq!(all.is_empty(), begins(phase).is_empty(), "{phase}: {all}");
    }
}

#[test]
fn bytes_after_an_unread_malformed_body_are_not_read_as_a_request() {
    let server = TestServer::start(app);
    let bodies =
        ["zz\r\n\r\n", "3\r\nabcd\r\n0\r\n\r\n", "3 \r\nabc\r\n0\r\n\r\n", "1;\n\r\nx\r\n"];
    for body in bodies {
        let head = "POST /ignore HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let all = server.exchange([head, body, &get("/")].concat());
        assert_eq!(all.matches("HTTP/1.1 ").count(), 1, "{body:?}: {all}");
        assert!(all.ends_with("ignored"), "{body:?}: {all}");
    }
}

#[test]
fn a_client_that_reads_nothing_stops_the_handling_of_its_pipelined_requests() {
    const REQUESTS: usize = 100;
    let handled = Arc::new(AtomicUsize::new(0));
    let counter = handled.clone();
    let server = TestServer::start(move || {
        let counter = counter.clone();
        let large = on_get(move || {
            counter.fetch_add(1, Ordering::Relaxed);
            std::future::ready(Bytes::from_static(&[b'x'; 1 << 20]))
        });
        app().route("/counted", large)
    });
    let mut client = server.connect();
    client.send(get("/counted").repeat(REQUESTS));
    // The loop turns at least this often, enough to handle all requests if it did not wait.
    for _ in 0..50 {
        let mut other = server.connect();
        other.send(get("/"));
        assert_eq!(other.response().text(), "root");
    }
    let ahead = handled.load(Ordering::Relaxed);
    assert!(ahead < REQUESTS / 2, "{ahead} requests were handled for a client that reads nothing");
    let mut total = 0;
    let mut buffer = vec![0; 1 << 20];
    client.finish_sending();
    loop {
        match client.stream.read(&mut buffer).unwrap() {
            0 => break,
            read => total += read,
        }
    }
    assert!(total > REQUESTS << 20, "{total} bytes");
    assert_eq!(handled.load(Ordering::Relaxed), REQUESTS);
}

#[test]
fn time_in_which_the_handler_did_not_read_does_not_count_against_the_body_rate() {
    let options = |server: brigade_http::Server| {
        let never = Duration::MAX;
        let timeouts =
            Timeouts { head: never, body_gap: never, keep_alive: never, ..Timeouts::default() };
        let event_loop = EventLoop::builder().manual_clock(true);
        server.loops(1).pin(false).timeouts(timeouts).event_loop(event_loop)
    };
    let server = TestServer::start_with(options, || {
        let late = post(async |mut request: Request| {
            time::sleep(Duration::from_secs(3600)).await;
            // A manual clock stands still as long as a task is ready.
            let busy = Rc::new(Cell::new(true));
            let is_busy = busy.clone();
            spawn(async move {
                while is_busy.get() {
                    task::yield_now().await;
                }
            })
            .detach();
            let body = request.body_mut().collect(100).await;
            busy.set(false);
            body
        });
        Router::new().route("/", late)
    });
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    assert_eq!(client.until(b"\r\n\r\n"), b"HTTP/1.1 100 Continue\r\n\r\n");
    client.send("late");
    assert_eq!(client.response().text(), "late");
}
