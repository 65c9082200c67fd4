//! A server and its clients, over real sockets.
#![forbid(unsafe_code)]

mod sockets;

use std::cell::Cell;
use std::io::Read;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use brigade_http::{
    Body, BodyError, LoopReport, Next, Part, Request, Response, Router, any, get as on_get, post,
};
use brigade_http::{Limits, Timeouts};
use brigade_runtime::{oneshot, time};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, StatusCode};
use sockets::{TestServer, get};

fn app() -> Router {
    Router::new()
        .route("/", on_get(async || "root"))
        .route("/echo", post(echo))
        .route("/ignore", post(async || "ignored"))
        .route(
            "/users/{id}/posts/{post}",
            any(async |request: Request| {
                format!("{} {}", request.param("id").unwrap(), request.param("post").unwrap())
            }),
        )
        .route("/count/{n}", on_get(count))
        .route("/panic", on_get(panics))
        .route("/status/{status}/{bytes}", on_get(status))
        .route("/status/{status}/stream", on_get(status))
        .route("/wait", on_get(async || std::future::pending::<()>().await))
}

async fn echo(mut request: Request) -> Result<Bytes, BodyError> {
    request.body_mut().collect(10_000_000).await
}

async fn count(request: Request) -> Response {
    let n = request.param("n").unwrap().parse().unwrap();
    let lines = (0..n).map(|line: u32| Ok::<_, std::io::Error>(Bytes::from(format!("{line}\n"))));
    Response::new(Body::stream(stream::iter(lines)))
}

async fn status(request: Request) -> Response {
    let status = request.param("status").unwrap().parse().unwrap();
    let body = match request.param("bytes") {
        Some(bytes) => vec![b'x'; bytes.parse().unwrap()].into(),
        None => Body::stream(stream::iter([Ok::<_, std::io::Error>(Bytes::from("x"))])),
    };
    Response::new(body).with_status(status)
}

async fn panics(_: Request) -> Response {
    panic!("as asked")
}

#[test]
fn pipelined_requests_get_responses_in_order_on_one_connection() {
    let server = TestServer::start(app);
    let mut client = server.connect();
    client.send([get("/"), get("/users/7/posts/x"), get("/none"), get("/")].concat());
    let responses: Vec<_> = (0..4).map(|_| client.response()).collect();
    let seen: Vec<_> =
        responses.iter().map(|response| (response.status, response.text())).collect();
    assert_eq!(seen, [(200, "root"), (200, "7 x"), (404, "404 Not Found\n"), (200, "root")]);
}

#[test]
fn a_request_that_arrives_byte_by_byte_gets_a_response() {
    let server = TestServer::start(app);
    let mut client = server.connect();
    for byte in get("/").bytes() {
        client.send([byte]);
    }
    assert_eq!(client.response().text(), "root");
}

#[test]
fn a_malformed_request_ends_the_connection_after_the_responses_before_it() {
    let server = TestServer::start(app);
    let all = server.exchange([get("/"), "BAD\r\n\r\n".to_owned(), get("/")].concat());
    assert_eq!(all.matches("HTTP/1.1 ").count(), 2, "{all}");
    assert!(all.contains("root") && all.contains("400 Bad Request"), "{all}");
    assert!(all.contains("connection: close"), "{all}");
}

#[test]
fn a_client_that_ends_its_side_gets_its_response_before_the_close() {
    let server = TestServer::start(app);
    let mut client = server.connect();
    client.send([get("/"), get("/")].concat());
    client.finish_sending();
    assert_eq!(client.rest().matches("root").count(), 2);
}

#[test]
fn methods_without_a_handler_get_405_with_allow_and_options_204() {
    let server = TestServer::start(app);
    let mut client = server.connect();
    client.send("DELETE /echo HTTP/1.1\r\nHost: a\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status, response.header("allow")), (405, Some("post, options")));
    client.send("OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\nOPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status, response.header("allow")), (204, Some("get, head, options")));
    assert_eq!(client.response().status, 204);
}

#[test]
fn an_informational_status_of_a_handler_is_replaced_by_a_500() {
    let server = TestServer::start(app);
    let mut client = server.connect();
    let upgrade = "\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    for status in ["101", "103"] {
        for body in ["0", "5", "100000", "stream"] {
            let request = get(&format!("/status/{status}/{body}"));
            for request in [request.replace("\r\n\r\n", upgrade), request] {
                client.send(&request);
                assert_eq!(client.response().status, 500, "{request}");
            }
        }
    }
    client.send(get("/"));
    assert_eq!(client.response().text(), "root");
}

#[test]
fn head_gets_the_response_of_get_without_the_body() {
    let server = TestServer::start(app);
    let all = server.exchange("HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(all.contains("content-length: 4\r\n") && all.ends_with("\r\n\r\n"), "{all}");
}

#[test]
fn a_streamed_body_to_a_1_0_client_ends_with_the_connection() {
    let server = TestServer::start(app);
    let all = server.exchange("GET /count/3 HTTP/1.0\r\n\r\n");
    assert!(all.ends_with("\r\n\r\n0\n1\n2\n") && !all.contains("chunked"), "{all}");
}

#[test]
fn a_streamed_body_of_any_size_is_sent_in_chunks() {
    let server = TestServer::start(app);
    let mut client = server.connect();
    client.send(get("/count/100000"));
    let response = client.response();
    assert_eq!(response.header("transfer-encoding"), Some("chunked"));
    assert_eq!(response.text().lines().count(), 100_000);
    client.send(get("/"));
    assert_eq!(client.response().text(), "root");
}

#[test]
fn a_large_body_is_received_and_sent() {
    let options = |server: brigade_http::Server| {
        let limits = Limits { body_bytes_max: 8 << 20, ..Limits::default() };
        server.loops(1).pin(false).limits(limits)
    };
    let server = TestServer::start_with(options, app);
    let body: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
    let mut client = server.connect();
    client
        .send(format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()));
    client.send(&body);
    assert!(client.response().body == body);
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for chunk in body.chunks(70_000) {
        client.send(format!("{:x}\r\n", chunk.len()));
        client.send(chunk);
        client.send("\r\n");
    }
    client.send("0\r\n\r\n");
    assert!(client.response().body == body);
}

#[test]
fn a_request_after_a_large_body_gets_a_response() {
    let server = TestServer::start(app);
    let mut client = server.connect();
    for length in [16_000, 16_384, 40_000, 65_536, 200_000] {
        let body: Vec<u8> = (0..length).map(|n: u32| (n % 251) as u8).collect();
        let with_length = format!("Content-Length: {length}\r\n\r\n").into_bytes();
        let chunked = format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n").into_bytes();
        let cases =
            [[&with_length[..], &body].concat(), [&chunked, &body, &b"\r\n0\r\n\r\n"[..]].concat()];
        for rest in cases {
            let head = b"POST /echo HTTP/1.1\r\nHost: a\r\n";
            client.send([&head[..], &rest, get("/").as_bytes()].concat());
            assert!(client.response().body == body, "{length}");
            assert_eq!(client.response().body, b"root", "{length}");
        }
    }
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_is_sent() {
    let server = TestServer::start(app);
    let all = server.exchange("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n");
    assert!(all.starts_with("HTTP/1.1 413 ") && all.contains("connection: close"), "{all}");
}

#[test]
fn a_route_may_allow_a_longer_body_than_its_server() {
    let server = TestServer::start(|| Router::new().route("/", post(echo).body_limit(3 << 20)));
    let body = vec![b'x'; 2 << 20];
    let mut client = server.connect();
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()));
    client.send(&body);
    assert_eq!(client.response().body.len(), body.len());
}

#[test]
fn a_short_unread_body_is_discarded_and_the_connection_kept() {
    let server = TestServer::start(app);
    let mut client = server.connect();
    client.send("POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n");
    client.send(vec![b'x'; 60_000]);
    client.send(get("/"));
    assert_eq!(client.response().text(), "ignored");
    assert_eq!(client.response().text(), "root");
}

#[test]
fn the_response_to_a_long_unread_body_is_not_lost_to_a_reset() {
    let server = TestServer::start(app);
    for _ in 0..20 {
        let mut client = server.connect();
        client.send("POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
        client.send(vec![b'x'; 1_000_000]);
        let all = client.rest();
        assert!(all.contains("connection: close") && all.ends_with("ignored"), "{all}");
    }
}

#[test]
fn a_truncated_body_is_an_error_for_the_handler_and_the_client() {
    let server = TestServer::start(app);
    let mut client = server.connect();
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    client.finish_sending();
    assert!(client.rest().starts_with("HTTP/1.1 400 "));
}

#[test]
fn a_client_that_expects_100_gets_it_when_the_handler_reads_the_body() {
    let server = TestServer::start(app);
    let mut client = server.connect();
    let head = "Host: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    client.send(format!("POST /echo HTTP/1.1\r\n{head}"));
    assert_eq!(client.until(b"\r\n\r\n"), b"HTTP/1.1 100 Continue\r\n\r\n");
    client.send("ok");
    assert_eq!(client.response().text(), "ok");
    client.send(format!("POST /ignore HTTP/1.1\r\n{head}"));
    let all = client.rest();
    assert!(all.starts_with("HTTP/1.1 200 ") && all.contains("connection: close"), "{all}");
}

#[test]
fn a_panic_sends_a_500_and_does_not_affect_other_clients() {
    let server = TestServer::start(app);
    let mut other = server.connect();
    other.send(get("/"));
    assert_eq!(other.response().status, 200);
    let all = server.exchange(get("/panic"));
    assert!(all.starts_with("HTTP/1.1 500 ") && all.contains("connection: close"), "{all}");
    other.send(get("/"));
    assert_eq!(other.response().status, 200);
}

/// Panics when it is dropped, with itself as the payload.
struct PanicsInDrop(u8);

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        if let Some(next) = self.0.checked_sub(1) {
            std::panic::panic_any(PanicsInDrop(next));
        }
    }
}

/// A future that is ready, or panics, and that panics when it is dropped.
struct Dropped {
    is_ready: bool,
    _value: PanicsInDrop,
}

impl Future for Dropped {
    type Output = &'static str;

    fn poll(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<&'static str> {
        assert!(self.is_ready, "as asked");
        std::task::Poll::Ready("ready")
    }
}

#[test]
fn a_panic_sends_a_500_also_if_its_payload_or_the_handler_panics_when_it_is_dropped() {
    let server = TestServer::start(|| {
        let dropped = |is_ready| move || Dropped { is_ready, _value: PanicsInDrop(3) };
        let at_once = || -> std::future::Ready<()> { std::panic::panic_any(PanicsInDrop(3)) };
        let later = async || -> StatusCode {
            brigade_runtime::task::yield_now().await;
            std::panic::panic_any(PanicsInDrop(3))
        };
        app()
            .route("/payload/at-once", on_get(at_once))
            .route("/payload/later", on_get(later))
            .route("/handler/ready", on_get(dropped(true)))
            .route("/handler/panicked", on_get(dropped(false)))
    });
    for path in ["/payload/at-once", "/payload/later", "/handler/ready", "/handler/panicked"] {
        let all = server.exchange(get(path));
        assert!(all.starts_with("HTTP/1.1 500 ") && all.contains("connection: close"), "{all}");
    }
}

/// Asserts that what a client of HTTP/1.0 receives of the response to `path` ends in a reset, since
/// an orderly close would look like the end of the body.
fn assert_reset_midway(server: TestServer, path: &str) {
    let mut client = server.connect();
    client.send(format!("GET {path} HTTP/1.0\r\n\r\n"));
    client.until(b"first");
    drop(server);
    let error = client.stream.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{path}");
}

#[test]
fn a_body_of_unknown_length_that_is_cut_ends_in_a_reset_for_http_1_0() {
    use futures_util::{StreamExt, stream};
    let options = |server: brigade_http::Server| {
        let timeouts = Timeouts { drain: Duration::from_millis(20), ..Timeouts::default() };
        server.loops(1).pin(false).timeouts(timeouts)
    };
    let app = || {
        let first = || stream::iter([Ok(Bytes::from_static(b"first"))]);
        // Not at once, so that the first part is sent before.
        let moment = || brigade_runtime::time::sleep(Duration::from_millis(1));
        let fails = move || {
            let failure = stream::once(async move {
                moment().await;
                Err::<Bytes, _>("as asked")
            });
            std::future::ready(Response::new(Body::stream(first().chain(failure))))
        };
        let panics = move || {
            let panic = stream::once(async move {
                moment().await;
                panic!("as asked")
            });
            std::future::ready(Response::new(Body::stream(first().chain(panic))))
        };
        let waits = move || {
            let body = Body::stream(first().chain(stream::pending::<Result<_, &str>>()));
            std::future::ready(Response::new(body))
        };
        Router::new()
            .route("/fails", on_get(fails))
            .route("/panics", on_get(panics))
            .route("/waits", on_get(waits))
    };
    for path in ["/fails", "/panics", "/waits"] {
        assert_reset_midway(TestServer::start_with(options, app), path);
    }
}

#[test]
fn a_handler_whose_client_has_gone_is_dropped() {
    struct Dropped(Option<std::sync::mpsc::Sender<&'static str>>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.take().unwrap().send("dropped").unwrap();
        }
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    let server = TestServer::start(move || {
        let sender = sender.clone();
        Router::new().route(
            "/",
            on_get(move || {
                let sender = sender.clone();
                async move {
                    sender.send("began").unwrap();
                    let _dropped = Dropped(Some(sender));
                    std::future::pending::<()>().await;
                }
            }),
        )
    });
    let mut client = server.connect();
    client.send(get("/"));
    assert_eq!(receiver.recv_timeout(sockets::PATIENCE), Ok("began"));
    drop(client);
    assert_eq!(receiver.recv_timeout(sockets::PATIENCE), Ok("dropped"));
}

#[test]
fn a_detached_handler_runs_on_without_its_client() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let (release, released) = oneshot::sync_channel::<()>();
    let released = Arc::new(std::sync::Mutex::new(Some(released)));
    let server = TestServer::start(move || {
        let (sender, released) = (sender.clone(), released.clone());
        let handler = move || {
            let (sender, released) = (sender.clone(), released.lock().unwrap().take());
            async move {
                sender.send("began").unwrap();
                let _ = released.unwrap().await;
                sender.send("ended").unwrap();
            }
        };
        Router::new().route("/", on_get(handler).detach_on_disconnect())
    });
    let mut client = server.connect();
    client.send(get("/"));
    assert_eq!(receiver.recv_timeout(sockets::PATIENCE), Ok("began"));
    drop(client);
    release.send(()).unwrap();
    assert_eq!(receiver.recv_timeout(sockets::PATIENCE), Ok("ended"));
}

#[test]
fn trailers_and_parts_are_sent() {
    let server = TestServer::start(|| {
        Router::new().route(
            "/",
            on_get(async || {
                let mut trailers = HeaderMap::new();
                trailers.insert("x-sum", HeaderValue::from_static("3"));
                let parts = [Part::Data(Bytes::from_static(b"abc")), Part::Trailers(trailers)];
                let parts = stream::iter(parts.map(Ok));
                Response::new(Body::parts(parts, brigade_http::BodyLength::Unknown))
            }),
        )
    });
    let all = server.exchange("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(all.ends_with("3\r\nabc\r\n0\r\nx-sum: 3\r\n\r\n"), "{all}");
}

#[test]
fn a_body_that_fails_midway_ends_the_connection_before_its_end() {
    let server = TestServer::start(|| {
        Router::new().route(
            "/",
            on_get(async || {
                let parts = [Ok(Bytes::from_static(b"abc")), Err(std::io::Error::other("broken"))];
                Response::new(Body::stream(stream::iter(parts)))
            }),
        )
    });
    let all = server.exchange(get("/"));
    assert!(all.ends_with("3\r\nabc\r\n"), "{all}");
}

#[test]
fn request_trailers_can_be_read_at_the_end() {
    let server = TestServer::start(|| {
        Router::new().route(
            "/",
            post(async |mut request: Request| {
                while let Some(part) = request.body_mut().next().await {
                    part.unwrap();
                }
                let trailers = request.body_mut().trailers().unwrap();
                trailers["x-sum"].to_str().unwrap().to_owned()
            }),
        )
    });
    let mut client = server.connect();
    let chunks = "3\r\nabc\r\n0\r\nX-Sum: 42\r\n\r\n";
    client
        .send(format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"));
    assert_eq!(client.response().text(), "42");
}

#[test]
fn middleware_sees_the_request_before_and_the_response_after_the_handler() {
    async fn tag(request: Request, next: Next) -> Response {
        let path = HeaderValue::try_from(request.path()).unwrap();
        next.run(request).await.with_header("x-path".parse().unwrap(), path)
    }
    let server = TestServer::start(|| app().layer(tag));
    let mut client = server.connect();
    client.send([get("/"), get("/none")].concat());
    assert_eq!(client.response().header("x-path"), Some("/"));
    assert_eq!(client.response().header("x-path"), Some("/none"));
}

#[test]
fn nested_routes_are_found_below_their_prefix_with_their_layers() {
    async fn deny(_: Request, _: Next) -> StatusCode {
        StatusCode::FORBIDDEN
    }
    let server = TestServer::start(|| {
        let inner =
            Router::new().route("/", on_get(async || "in")).route("/a", on_get(async || "a"));
        let closed = Router::new().route("/x", on_get(async || "x")).layer(deny);
        app().nest("/in", inner).nest("/closed", closed)
    });
    let mut client = server.connect();
    client.send([get("/in"), get("/in/a"), get("/closed/x"), get("/")].concat());
    let seen: Vec<_> = (0..4).map(|_| client.response()).map(|a| (a.status, a.body)).collect();
    let expected = [(200, "in"), (200, "a"), (403, ""), (200, "root")];
    assert_eq!(seen, expected.map(|(status, body)| (status, body.as_bytes().to_vec())));
}

#[test]
fn each_loop_builds_its_own_application() {
    static BUILT: AtomicUsize = AtomicUsize::new(0);
    let server = TestServer::start_with(
        |server| server.loops(3).pin(false),
        || {
            BUILT.fetch_add(1, Ordering::Relaxed);
            let calls = Rc::new(Cell::new(0));
            Router::new().route(
                "/",
                on_get(move || {
                    calls.set(calls.get() + 1);
                    std::future::ready(calls.get().to_string())
                }),
            )
        },
    );
    let mut clients: Vec<_> = (0..6).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(get("/"));
        client.response();
    }
    let mut counts: Vec<usize> = Vec::new();
    for client in &mut clients {
        client.send(get("/"));
        counts.push(client.response().text().parse().unwrap());
    }
    counts.sort_unstable();
    drop(clients);
    let reports = server.join();
    // Two connections on each of three loops, unless the machine kept a loop from running.
    assert_eq!(reports.iter().map(|report| report.stats.tcp.accepted).sum::<usize>(), 6);
    let second_calls =
        |loop_: &LoopReport| loop_.stats.tcp.accepted + 1..=2 * loop_.stats.tcp.accepted;
    let mut expected: Vec<usize> = reports.iter().flat_map(second_calls).collect();
    expected.sort_unstable();
    assert_eq!(counts, expected, "each loop counts its own calls");
    assert_eq!(reports.iter().map(|report| report.stats.requests.total).sum::<u64>(), 12);
    assert_eq!(BUILT.load(Ordering::Relaxed), 3);
}

#[test]
fn an_upgraded_connection_speaks_another_protocol_from_its_first_byte() {
    let server = TestServer::start(|| {
        Router::new().route(
            "/",
            on_get(async |request: Request| {
                assert_eq!(request.upgrade(), Some("shout"));
                Response::upgrade(HeaderValue::from_static("shout"), async |mut io| {
                    use futures_util::{AsyncReadExt, AsyncWriteExt};
                    let mut buffer = [0; 100];
                    while let Ok(read @ 1..) = io.read(&mut buffer).await {
                        let loud = buffer[..read].to_ascii_uppercase();
                        io.write_all(&loud).await.unwrap();
                    }
                })
            }),
        )
    });
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: shout\r\n\r\nearly ");
    let head = String::from_utf8(client.until(b"\r\n\r\n")).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("upgrade: shout"), "{head}");
    assert_eq!(client.take(6), b"EARLY ");
    client.send("late");
    client.finish_sending();
    assert_eq!(client.rest(), "LATE");
}

#[test]
fn shutdown_completes_requests_in_flight_and_closes_idle_connections() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let (release, released) = oneshot::sync_channel::<()>();
    let released = Arc::new(std::sync::Mutex::new(Some(released)));
    let mut server = TestServer::start(move || {
        let (sender, released) = (sender.clone(), released.clone());
        app().route(
            "/slow",
            on_get(move || {
                let (sender, released) = (sender.clone(), released.lock().unwrap().take());
                async move {
                    sender.send(()).unwrap();
                    let _ = released.unwrap().await;
                    "slow"
                }
            }),
        )
    });
    let mut idle = server.connect();
    idle.send(get("/"));
    idle.response();
    let mut busy = server.connect();
    busy.send(get("/slow"));
    receiver.recv_timeout(sockets::PATIENCE).unwrap();
    busy.send(get("/"));
    server.begin_shutdown();
    assert_eq!(idle.rest(), "");
    release.send(()).unwrap();
    // A request pipelined after the last response gets none, and does not reset the connection.
    let all = busy.rest();
    assert!(all.contains("connection: close") && all.ends_with("slow"), "{all}");
    let reports = server.join();
    assert_eq!((reports[0].stats.tcp.accepted, reports[0].cancelled), (2, 0));
}

#[test]
fn a_request_after_the_last_response_does_not_reset_the_connection() {
    for last in ["/close", "/panic"] {
        let (began, has_begun) = std::sync::mpsc::channel();
        let (release, released) = oneshot::sync_channel::<()>();
        let released = Arc::new(std::sync::Mutex::new(Some(released)));
        let server = TestServer::start(move || {
            let (began, released) = (began.clone(), released.clone());
            let end = move |request: Request| {
                began.send(()).unwrap();
                let released = released.lock().unwrap().take();
                async move {
                    let _ = released.unwrap().await;
                    assert_ne!(request.path(), "/panic", "as asked");
                    let close = HeaderValue::from_static("close");
                    Response::new("last").with_header(http::header::CONNECTION, close)
                }
            };
            Router::new().route("/{end}", on_get(end))
        });
        let mut client = server.connect();
        client.send(get(last));
        has_begun.recv_timeout(sockets::PATIENCE).unwrap();
        // The server reads it after its last response, or never.
        client.send(get("/"));
        release.send(()).unwrap();
        let all = client.rest();
        assert!(all.contains("connection: close"), "{all}");
        assert_eq!(all.matches("HTTP/1.1 ").count(), 1, "{all}");
    }
}

#[test]
fn connections_left_at_the_drain_deadline_are_cut_and_counted() {
    let timeouts = Timeouts { drain: Duration::from_millis(20), ..Timeouts::default() };
    let server =
        TestServer::start_with(|server| server.loops(1).pin(false).timeouts(timeouts), app);
    let mut client = server.connect();
    client.send([get("/"), get("/wait")].concat());
    client.response();
    assert_eq!(server.join()[0].cancelled, 1);
    assert_eq!(client.rest(), "");
}

#[test]
fn a_head_that_is_too_slow_gets_a_408() {
    let timeouts = Timeouts { head: Duration::from_millis(20), ..Timeouts::default() };
    let server =
        TestServer::start_with(|server| server.loops(1).pin(false).timeouts(timeouts), app);
    let all = server.exchange([&get("/"), "GET / HTTP/1.1\r\nHo"].concat());
    assert!(all.contains("root") && all.contains("HTTP/1.1 408 "), "{all}");
}

#[test]
fn a_body_that_stops_gets_a_408() {
    let timeouts = Timeouts { body_gap: Duration::from_millis(20), ..Timeouts::default() };
    let server =
        TestServer::start_with(|server| server.loops(1).pin(false).timeouts(timeouts), app);
    let all = server.exchange("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
    assert!(all.starts_with("HTTP/1.1 408 ") && all.contains("connection: close"), "{all}");
}

#[test]
fn an_idle_connection_is_closed_without_a_response() {
    let timeouts = Timeouts { keep_alive: Duration::from_millis(20), ..Timeouts::default() };
    let server =
        TestServer::start_with(|server| server.loops(1).pin(false).timeouts(timeouts), app);
    let mut client = server.connect();
    client.send(get("/"));
    assert_eq!(client.response().text(), "root");
    assert_eq!(client.rest(), "");
}

#[test]
fn a_client_that_reads_nothing_is_reset_and_its_body_dropped() {
    struct Told(std::sync::mpsc::Sender<()>);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.send(()).unwrap();
        }
    }
    let timeouts = Timeouts { write: Duration::from_millis(50), ..Timeouts::default() };
    let (sender, dropped) = std::sync::mpsc::channel();
    let server = TestServer::start_with(
        |server| server.loops(1).pin(false).timeouts(timeouts),
        move || {
            let sender = sender.clone();
            let endless = move || {
                let told = Told(sender.clone());
                let parts = stream::repeat_with(move || {
                    let _held = &told;
                    Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 30_000]))
                });
                std::future::ready(Response::new(Body::stream(parts)))
            };
            Router::new().route("/", on_get(endless))
        },
    );
    let mut client = server.connect();
    client.send(get("/"));
    // Neither the client nor a shutdown has ended it: both come later.
    assert_eq!(dropped.recv_timeout(sockets::PATIENCE), Ok(()));
    assert_eq!(server.join()[0].cancelled, 0);
    drop(client);
}

#[test]
fn a_client_that_pipelines_without_end_does_not_starve_others() {
    let server = TestServer::start(app);
    let mut greedy = server.connect();
    let mut writer = greedy.stream.try_clone().unwrap();
    let pipelined = std::thread::spawn(move || {
        use std::io::Write;
        let batch = get("/").repeat(1000);
        (0..100).for_each(|_| writer.write_all(batch.as_bytes()).unwrap());
    });
    let reader = std::thread::spawn(move || {
        (0..100_000).for_each(|_| assert_eq!(greedy.response().status, 200));
    });
    let mut others = 0;
    while !reader.is_finished() {
        let mut client = server.connect();
        client.send(get("/"));
        assert_eq!(client.response().text(), "root");
        others += 1;
    }
    pipelined.join().unwrap();
    reader.join().unwrap();
    assert!(others > 10, "only {others} others were served meanwhile");
}

#[test]
fn a_waiting_handler_does_not_block_the_loop() {
    let server = TestServer::start(|| {
        app().route("/hour", on_get(async || time::sleep(Duration::from_secs(3600)).await))
    });
    let mut waiting: Vec<_> = (0..50).map(|_| server.connect()).collect();
    waiting.iter_mut().for_each(|client| client.send(get("/hour")));
    let mut client = server.connect();
    client.send(get("/"));
    assert_eq!(client.response().text(), "root");
}
