//! HTTP/2: our routes and options, by the client of hyper.
#![forbid(unsafe_code)]
#![cfg(feature = "http2")]

mod http2_client;
mod http2_frames;
mod sockets;

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::mpsc;
use std::task::{Context, Poll};
use std::time::Duration;

use brigade_http::{
    Body, BodyError, BodyLength, BoxError, Bytes, Http2Options, Part, Request, Response, Router,
    StatusCode, Version, get, post,
};
use brigade_runtime::{run, spawn, time};
use futures_util::future::join_all;
use futures_util::{Stream, StreamExt, stream};
use http::header::CONNECTION;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

use http2_client::{Client, allowed, channel_body, full, request, start, text, with_body};
use http2_frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, Raw,
    SETTINGS, block, frame, header,
};
use sockets::{PATIENCE, TestServer};

const NO_ERROR: u32 = 0x0;
const PROTOCOL_ERROR: u32 = 0x1;
const INTERNAL_ERROR: u32 = 0x2;
const ENHANCE_YOUR_CALM: u32 = 0xb;

/// Sends when it is dropped.
struct OnDrop(mpsc::Sender<&'static str>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        let _ = self.0.send("dropped");
    }
}

async fn describe(request: Request) -> String {
    let headers = request.header_lines().map(|(name, value)| {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        format!("{}: {}", text(name), text(value))
    });
    let headers = headers.collect::<Vec<_>>().join(", ");
    let is_local = request.peer_addr().ip().is_some_and(|ip| ip.is_loopback());
    let (method, target, version) = (request.method(), request.target(), request.version());
    format!("{method} {target} {version:?} {is_local} [{headers}]")
}

async fn echo(request: Request) -> Body {
    request.into_body()
}

/// Responds with the number of bytes, and with the trailers of the request.
async fn count(mut request: Request) -> Result<Response, BodyError> {
    let mut bytes = 0;
    while let Some(part) = request.body_mut().chunk().await {
        bytes += part?.len();
    }
    let trailers = request.body_mut().trailers().cloned().unwrap_or_default();
    let parts: [Result<Part, BoxError>; 2] =
        [Ok(Part::Data(bytes.to_string().into())), Ok(Part::Trailers(trailers))];
    Ok(Response::new(Body::parts(stream::iter(parts), BodyLength::Unknown)))
}

#[test]
fn a_request_has_its_method_target_host_headers_and_address() {
    let server = start(|| Router::new().route("/path", get(describe)));
    run(async move {
        let client = Client::connect(server.address).await;
        let mut request = request("GET", "/path?query=1");
        let headers = request.headers_mut();
        headers.insert("x-name", HeaderValue::from_static("value"));
        headers.append("cookie", HeaderValue::from_static("a=1"));
        headers.append("cookie", HeaderValue::from_static("b=2"));
        headers.insert("te", HeaderValue::from_static("trailers"));
        let response = client.send(request).await;
        assert_eq!((response.status(), response.version()), (StatusCode::OK, Version::HTTP_2));
        assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
        assert!(response.headers().contains_key("date"));
        let length = response.headers()["content-length"].to_str().unwrap().to_owned();
        let text = text(response).await;
        assert_eq!(length, text.len().to_string());
        let headers = "[host: host.example, x-name: value, te: trailers, cookie: a=1; b=2]";
        assert_eq!(text, format!("GET /path?query=1 HTTP/2.0 true {headers}"));
    });
}

#[test]
fn bodies_of_any_size_pass_in_both_directions() {
    let server = start(|| Router::new().route("/", post(echo).body_limit(u64::MAX)));
    run(async move {
        let client = Client::connect(server.address).await;
        for size in [0, 1, 4096, 4097, 5000, 100_000, 3_000_000_usize] {
            let sent = Bytes::from((0..size).map(|at| at as u8).collect::<Vec<_>>());
            let response = client.send(with_body("POST", "/", full(sent.clone()))).await;
            let received = response.into_body().collect().await.unwrap().to_bytes();
            assert!(received == sent, "{size}");
        }
    });
}

#[test]
fn trailers_pass_in_both_directions() {
    let server = start(|| Router::new().route("/", post(count)));
    run(async move {
        let client = Client::connect(server.address).await;
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("123"));
        let parts = [Frame::data(Bytes::from(vec![7; 70_000])), Frame::trailers(trailers.clone())];
        let body = StreamBody::new(stream::iter(parts.map(Ok))).boxed_unsync();
        let response = client.send(with_body("POST", "/", body)).await;
        let received = response.into_body().collect().await.unwrap();
        assert_eq!(received.trailers(), Some(&trailers));
        assert_eq!(received.to_bytes(), "70000");
    });
}

#[test]
fn trailers_beyond_their_limit_get_a_431() {
    let server = start(|| Router::new().route("/", post(count)));
    run(async move {
        let client = Client::connect(server.address).await;
        for (length, status) in [(8000, 200), (8200, 431)] {
            let mut trailers = HeaderMap::new();
            trailers.insert("x-large", HeaderValue::try_from("v".repeat(length)).unwrap());
            let parts = [Frame::data(Bytes::from("part")), Frame::trailers(trailers)];
            let body = StreamBody::new(stream::iter(parts.map(Ok))).boxed_unsync();
            let response = client.send(with_body("POST", "/", body)).await;
            assert_eq!(response.status(), status, "{length}");
        }
    });
}

#[test]
fn the_length_of_a_response_without_a_body_depends_on_its_status() {
    let server = start(|| {
        let respond = |status: u16, length: Option<&'static str>| {
            get(async move || {
                let status = StatusCode::from_u16(status).unwrap();
                let mut response = Response::empty(status);
                if let Some(length) = length {
                    response.headers.try_insert("content-length", length).unwrap();
                }
                response
            })
        };
        Router::new()
            .route("/200", respond(200, None))
            .route("/204", respond(204, None))
            .route("/205", respond(205, None))
            .route("/304", respond(304, None))
            .route("/304/length", respond(304, Some("7")))
    });
    run(async move {
        let client = Client::connect(server.address).await;
        for (path, status, length) in [
            ("/200", 200, Some("0")),
            ("/204", 204, None),
            ("/205", 205, Some("0")),
            ("/304", 304, None),
            ("/304/length", 304, Some("7")),
        ] {
            let response = client.get(path).await;
            let sent = response.headers().get("content-length").cloned();
            let expected = length.map(HeaderValue::from_static);
            assert_eq!((response.status().as_u16(), sent), (status, expected), "{path}");
            assert_eq!(text(response).await, "", "{path}");
        }
    });
}

#[test]
fn a_part_of_a_response_arrives_before_the_next_part_of_the_request_is_sent() {
    let server = start(|| Router::new().route("/", post(echo)));
    run(async move {
        let client = Client::connect(server.address).await;
        let (parts, body) = channel_body();
        let response = client.send(with_body("POST", "/", body)).await;
        let mut body = response.into_body();
        for part in ["a", "b", "c"] {
            parts.send(Frame::data(part.into())).await.unwrap();
            let frame = body.frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), part);
        }
        drop(parts);
        assert!(body.collect().await.unwrap().to_bytes().is_empty());
    });
}

#[test]
fn head_has_the_length_of_the_body_and_no_body() {
    let server = start(|| Router::new().route("/", get(async || "hello")));
    run(async move {
        let client = Client::connect(server.address).await;
        let response = client.send(request("HEAD", "/")).await;
        assert_eq!(response.headers()["content-length"], "5");
        assert_eq!(text(response).await, "");
        assert_eq!(text(client.get("/").await).await, "hello");
    });
}

#[test]
fn other_paths_and_methods_get_404_and_405() {
    let server = start(|| Router::new().route("/", get(async || "hello")));
    run(async move {
        let client = Client::connect(server.address).await;
        assert_eq!(client.get("/other").await.status(), 404);
        let response = client.send(request("DELETE", "/")).await;
        assert_eq!(response.status(), 405);
        assert_eq!(response.headers()["allow"], "GET, HEAD, OPTIONS");
        assert_eq!(client.send(request("OPTIONS", "/")).await.status(), 204);
        let traced = client.send(request("TRACE", "/")).await;
        assert_eq!(traced.status(), 501);
    });
}

#[test]
fn a_body_over_the_limit_of_its_route_gets_a_413() {
    let server = start(|| {
        Router::new().route("/", post(count).body_limit(1000)).layer(async |request, next| {
            let next: brigade_http::Next = next;
            let mut response = next.run(request).await;
            response.headers.try_insert("x-layer", "1").unwrap();
            response
        })
    });
    run(async move {
        let client = Client::connect(server.address).await;
        let response = client.send(with_body("POST", "/", full(vec![1; 1000]))).await;
        assert_eq!(text(response).await, "1000");
        let response = client.send(with_body("POST", "/", full(vec![1; 1001]))).await;
        assert_eq!(
            (response.status(), response.headers().contains_key("x-layer")),
            (413.try_into().unwrap(), true)
        );
        // Of unknown length.
        let (parts, body) = channel_body();
        parts.send(Frame::data(vec![1; 600].into())).await.unwrap();
        parts.send(Frame::data(vec![1; 600].into())).await.unwrap();
        assert_eq!(client.send(with_body("POST", "/", body)).await.status(), 413);
    });
}

#[test]
fn the_error_of_a_body_takes_the_place_of_a_success_only() {
    let server = start(|| {
        let respond = |status: StatusCode| {
            let read = async move |mut request: Request| {
                while let Some(Ok(_)) = request.body_mut().chunk().await {}
                status
            };
            post(read).body_limit(10)
        };
        Router::new()
            .route("/ok", respond(StatusCode::OK))
            .route("/conflict", respond(StatusCode::CONFLICT))
    });
    run(async move {
        let client = Client::connect(server.address).await;
        for (path, status) in [("/ok", 413), ("/conflict", 409)] {
            let (parts, body) = channel_body();
            parts.send(Frame::data(vec![1; 20].into())).await.unwrap();
            assert_eq!(client.send(with_body("POST", path, body)).await.status(), status, "{path}");
        }
    });
}

#[test]
fn the_panic_of_a_handler_is_a_500_on_its_stream_only() {
    let server = start(|| {
        let panicking = async |request: Request| -> () { panic!("{}", request.path()) };
        Router::new().route("/panic", get(panicking)).route("/", get(async || "hello"))
    });
    run(async move {
        let client = Client::connect(server.address).await;
        let (panicked, other) =
            futures_util::future::join(client.get("/panic"), client.get("/")).await;
        assert_eq!((panicked.status(), other.status()), (500.try_into().unwrap(), StatusCode::OK));
        assert_eq!(text(client.get("/").await).await, "hello");
    });
}

/// Panics when it is polled, and again when it is dropped.
struct Panicking;

impl Stream for Panicking {
    type Item = Result<Bytes, BoxError>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        panic!("a body panics");
    }
}

impl Drop for Panicking {
    fn drop(&mut self) {
        panic!("the destructor of a body panics");
    }
}

#[test]
fn the_panic_of_a_body_ends_its_stream_only() {
    let server = start(|| {
        let late = async || {
            brigade_runtime::task::yield_now().await;
            Body::stream(Panicking)
        };
        Router::new()
            .route("/at-once", get(async || Body::stream(Panicking)))
            .route("/late", get(late))
            .route("/", get(async || "hello"))
    });
    let mut raw = Raw::plain(server.address);
    for (id, path) in [(1, "/at-once"), (3, "/late")] {
        raw.send(&http2_frames::get(id, path));
        assert_eq!(raw.until(RST_STREAM).stream, id, "{path}");
    }
    raw.send(&http2_frames::get(5, "/"));
    assert_eq!(raw.until(DATA).payload, b"hello");
}

#[test]
fn a_hundred_requests_in_one_write_are_all_handled() {
    let server = start(|| Router::new().route("/", get(async || "hello")));
    let mut raw = Raw::plain(server.address);
    let requests: Vec<u8> = (0..100).flat_map(|n| http2_frames::get(2 * n + 1, "/")).collect();
    raw.send(&requests);
    let mut streams: Vec<_> = (0..100).map(|_| raw.until(DATA).stream).collect();
    streams.sort_unstable();
    assert!(streams.into_iter().eq((0..100).map(|n| 2 * n + 1)));
}

#[test]
fn a_handler_is_dropped_when_its_stream_is_reset_or_its_connection_ends() {
    let (events, seen) = mpsc::channel();
    let server = start(move || {
        let events = events.clone();
        let wait = async move |_: Request| {
            let _on_drop = OnDrop(events.clone());
            events.send("began").unwrap();
            std::future::pending::<()>().await;
        };
        Router::new().route("/wait", get(wait)).route("/", get(async || "hello"))
    });
    run(async move {
        let client = Client::connect(server.address).await;
        let mut waiting = Box::pin(client.get("/wait"));
        for end in ["reset", "close"] {
            assert!(futures_util::poll!(&mut waiting).is_pending());
            while seen.try_recv() != Ok("began") {
                assert!(futures_util::poll!(&mut waiting).is_pending());
                time::sleep(Duration::from_millis(1)).await;
            }
            // hyper resets the stream.
            drop(waiting);
            if end == "close" {
                client.connection.abort();
            }
            while seen.try_recv() != Ok("dropped") {
                time::sleep(Duration::from_millis(1)).await;
            }
            waiting = Box::pin(client.get("/wait"));
            if end == "reset" {
                assert_eq!(text(client.get("/").await).await, "hello");
            }
        }
    });
}

#[test]
fn a_detached_handler_runs_on_after_its_stream_is_reset() {
    let (events, seen) = mpsc::channel();
    let server = start(move || {
        let events = events.clone();
        let work = async move |request: Request| {
            events.send("began").unwrap();
            request.disconnected().await;
            time::sleep(Duration::from_millis(1)).await;
            events.send("finished").unwrap();
        };
        Router::new().route("/", post(work).detach_on_disconnect())
    });
    run(async move {
        let client = Client::connect(server.address).await;
        let mut waiting = Box::pin(client.send(request("POST", "/")));
        while seen.try_recv() != Ok("began") {
            assert!(futures_util::poll!(&mut waiting).is_pending());
            time::sleep(Duration::from_millis(1)).await;
        }
        drop(waiting);
        client.connection.abort();
        while seen.try_recv() != Ok("finished") {
            time::sleep(Duration::from_millis(1)).await;
        }
    });
}

#[test]
fn a_hundred_streams_are_handled_at_once() {
    let server = start(|| {
        let waiting: Rc<RefCell<Vec<brigade_runtime::oneshot::Sender<()>>>> = Rc::default();
        let meet = async move |request: Request| {
            let (sender, receiver) = brigade_runtime::oneshot::channel();
            waiting.borrow_mut().push(sender);
            if waiting.borrow().len() == 100 {
                waiting.take();
            }
            let _ = receiver.await;
            request.path().to_owned()
        };
        Router::new().route("/{n}", get(meet))
    });
    let server = run(async move {
        let client = Client::connect(server.address).await;
        let paths: Vec<_> = (0..100).map(|n| format!("/{n}")).collect();
        let responses = join_all(paths.iter().map(async |path| text(client.get(path).await).await));
        assert_eq!(responses.await, paths);
        server
    });
    let stats = server.join().pop().unwrap().stats;
    assert_eq!((stats.requests.total, stats.requests.in_flight), (100, 0));
    assert_eq!(stats.requests.responses, [0, 100, 0, 0, 0]);
}

#[test]
fn a_response_that_does_not_end_holds_no_other_stream() {
    let server = start(|| {
        let flood = async || {
            Body::stream(stream::repeat(Bytes::from(vec![1; 8192])).map(Ok::<_, BoxError>))
        };
        Router::new().route("/flood", get(flood)).route("/", get(async || "hello"))
    });
    run(async move {
        let client = Client::connect(server.address).await;
        let mut flood = client.get("/flood").await.into_body();
        let flood = spawn(async move { while let Some(Ok(_)) = flood.frame().await {} });
        for _ in 0..100 {
            assert_eq!(text(client.get("/").await).await, "hello");
        }
        assert!(!flood.is_finished());
        flood.abort();
    });
}

#[test]
fn an_early_response_to_a_large_upload_arrives() {
    let server = start(|| Router::new().route("/", post(async || "enough").body_limit(u64::MAX)));
    run(async move {
        let client = Client::connect(server.address).await;
        for _ in 0..5 {
            let response = client.send(with_body("POST", "/", full(vec![1; 5_000_000]))).await;
            assert_eq!(text(response).await, "enough");
        }
    });
}

/// Announces a body that there is not.
async fn length_of_nothing() -> Response {
    let mut response = Response::empty(StatusCode::OK);
    response.headers.try_insert("content-length", "6").unwrap();
    response
}

/// Announces two lengths.
async fn two_lengths() -> Response {
    let parts = stream::iter([Ok::<_, BoxError>(Bytes::from("hello"))]);
    let mut response = Response::new(Body::stream(parts));
    for length in ["5", "6"] {
        response.headers.append(http::header::CONTENT_LENGTH, HeaderValue::from_static(length));
    }
    response
}

#[test]
fn a_response_that_cannot_be_sent_is_replaced_by_a_500() {
    let server = start(|| {
        let with = |name: &'static str, value: &'static str| {
            get(async move || {
                let mut response = Response::text("hello");
                response.headers.try_insert(name, value).unwrap();
                response
            })
        };
        Router::new()
            .route("/length", with("content-length", "6"))
            .route("/equal", with("content-length", "5"))
            .route("/two", get(two_lengths))
            .route("/empty", get(length_of_nothing))
            .route("/encoding", with("transfer-encoding", "chunked"))
            .route("/status", get(async || StatusCode::CONTINUE))
            .route(
                "/upgrade",
                get(async || Response::upgrade(HeaderValue::from_static("x"), async |_| {})),
            )
    });
    run(async move {
        let client = Client::connect(server.address).await;
        for (path, status) in [
            ("/length", 500),
            ("/equal", 200),
            ("/two", 500),
            ("/empty", 500),
            ("/encoding", 500),
            ("/status", 500),
            ("/upgrade", 426),
        ] {
            assert_eq!(client.get(path).await.status(), status, "{path}");
        }
    });
}

#[test]
fn headers_about_the_connection_are_removed_from_responses() {
    let names = ["connection", "x-named", "keep-alive", "proxy-connection", "te", "upgrade"];
    let server = start(move || {
        let respond = async move || {
            let mut response = Response::text("hello");
            for name in names {
                response.headers.try_insert(name, "close, x-named").unwrap();
            }
            // As a second line.
            response.headers.append(CONNECTION, HeaderValue::from_static("x-too"));
            response.headers.try_insert("x-too", "value").unwrap();
            response.headers.try_insert("x-other", "value").unwrap();
            response
        };
        Router::new().route("/", get(respond))
    });
    run(async move {
        let client = Client::connect(server.address).await;
        let response = client.get("/").await;
        assert!(!response.headers().contains_key("x-too"));
        let sent = names.map(|name| response.headers().contains_key(name));
        assert_eq!((sent, &response.headers()["x-other"]), ([false; 6], &"value".parse().unwrap()));
        assert_eq!(text(response).await, "hello");
    });
}

#[test]
fn a_body_that_fails_or_is_too_short_resets_its_stream_only() {
    let server = start(|| {
        let parts = |fails: bool| {
            let end = if fails { Some(Err(BoxError::from("broken"))) } else { None };
            stream::iter([Ok(Bytes::from("part"))].into_iter().chain(end))
        };
        Router::new()
            .route("/fails", get(async move || Body::stream(parts(true))))
            .route("/short", get(async move || Body::stream_with_length(10, parts(false))))
            .route("/", get(async || "hello"))
    });
    run(async move {
        let client = Client::connect(server.address).await;
        for path in ["/fails", "/short"] {
            // What was queued of the response is dropped with the rest, its head as well.
            let response = client.try_send(request("GET", path)).await;
            let is_complete = match response {
                Ok(response) => response.into_body().collect().await.is_ok(),
                Err(_) => false,
            };
            assert!(!is_complete, "{path}");
        }
        assert_eq!(text(client.get("/").await).await, "hello");
    });
}

#[test]
fn a_request_that_expects_100_continue_is_answered() {
    let server = start(|| Router::new().route("/", post(count)));
    run(async move {
        let client = Client::connect(server.address).await;
        let mut request = with_body("POST", "/", full("12345"));
        request.headers_mut().insert("expect", HeaderValue::from_static("100-continue"));
        assert_eq!(text(client.send(request).await).await, "5");
    });
}

#[test]
fn large_headers_pass_and_larger_ones_get_a_431() {
    let server = start(|| {
        let length = async |request: Request| request.header("x-large").unwrap().len().to_string();
        Router::new().route("/", get(length))
    });
    run(async move {
        let client = Client::connect(server.address).await;
        for (length, status) in [(100, 200), (15_000, 200), (17_000, 431)] {
            let mut request = request("GET", "/");
            let value = HeaderValue::try_from("v".repeat(length)).unwrap();
            request.headers_mut().insert("x-large", value);
            let response = client.send(request).await;
            assert_eq!(response.status(), status, "{length}");
            if status == 200 {
                assert_eq!(text(response).await, length.to_string());
            }
        }
    });
}

#[test]
fn a_drain_lets_streams_finish_and_refuses_new_ones() {
    let (events, seen) = mpsc::channel();
    let mut server = start(move || {
        let events = events.clone();
        let finish = async move || {
            events.send(()).unwrap();
            brigade_http::draining().await;
            time::sleep(Duration::from_millis(20)).await;
            "finished"
        };
        Router::new().route("/", get(finish))
    });
    let server = run(async move {
        let client = Client::connect(server.address).await;
        let mut response = Box::pin(client.get("/"));
        while seen.try_recv().is_err() {
            assert!(futures_util::poll!(&mut response).is_pending());
            time::sleep(Duration::from_millis(1)).await;
        }
        server.begin_shutdown();
        assert_eq!(text(response.await).await, "finished");
        // The connection ends by itself.
        assert!(time::timeout(PATIENCE, client.connection).await.is_ok());
        server
    });
    let report = server.join().pop().unwrap();
    assert_eq!((report.cancelled, report.stats.requests.responses), (0, [0, 1, 0, 0, 0]));
}

#[test]
fn a_stream_that_outlasts_the_drain_is_cut_with_its_connection() {
    let options = |server| {
        let drain = Duration::from_millis(50);
        allowed(server).timeouts(brigade_http::Timeouts { drain, ..Default::default() })
    };
    let (events, seen) = mpsc::channel();
    let mut server = TestServer::start_with(options, move || {
        let events = events.clone();
        let wait = async move || {
            events.send(()).unwrap();
            std::future::pending::<()>().await;
        };
        Router::new().route("/", get(wait))
    });
    let server = run(async move {
        let client = Client::connect(server.address).await;
        let mut response = Box::pin(client.try_send(request("GET", "/")));
        while seen.try_recv().is_err() {
            assert!(futures_util::poll!(&mut response).is_pending());
            time::sleep(Duration::from_millis(1)).await;
        }
        server.begin_shutdown();
        assert!(response.await.is_err());
        server
    });
    let report = server.join().pop().unwrap();
    assert_eq!((report.cancelled, report.stats.requests.unanswered), (1, 1));
    let state = report.cancelled_connections[0].state;
    assert_eq!(state, brigade_http::ConnectionState::Http2 { streams: 1 });
}

#[test]
fn an_idle_connection_is_closed_after_the_keep_alive_timeout() {
    let options = |server| {
        let keep_alive = Duration::from_millis(50);
        allowed(server).timeouts(brigade_http::Timeouts { keep_alive, ..Default::default() })
    };
    let server =
        TestServer::start_with(options, || Router::new().route("/", get(async || "hello")));
    run(async move {
        let client = Client::connect(server.address).await;
        assert_eq!(text(client.get("/").await).await, "hello");
        let ended = time::timeout(PATIENCE, client.connection).await.unwrap().unwrap();
        assert!(ended.is_ok(), "{ended:?}");
    });
}

#[test]
fn server_timing_is_sent_for_each_stream() {
    let options = |server| allowed(server).server_timing(true);
    let server =
        TestServer::start_with(options, || Router::new().route("/", get(async || "hello")));
    run(async move {
        let client = Client::connect(server.address).await;
        for is_first in [true, false] {
            let response = client.get("/").await;
            let timing = response.headers()["server-timing"].to_str().unwrap();
            assert_eq!(timing.starts_with("queue;dur="), is_first, "{timing}");
            assert!(timing.contains("loop;desc=\"0\";dur=") && timing.contains("handler;dur="));
        }
    });
}

#[test]
fn the_timeouts_of_a_route_hold() {
    let server = start(|| {
        let gap = Duration::from_millis(20);
        Router::new()
            .route("/body", post(count).body_gap(gap))
            .route("/handler", get(std::future::pending::<()>).timeout(gap))
    });
    run(async move {
        let client = Client::connect(server.address).await;
        let (_parts, body) = channel_body();
        assert_eq!(client.send(with_body("POST", "/body", body)).await.status(), 408);
        assert_eq!(client.get("/handler").await.status(), 503);
    });
}

#[test]
fn a_host_that_contradicts_the_authority_is_refused() {
    let server = start(|| Router::new().route("/", get(describe)));
    run(async move {
        let client = Client::connect(server.address).await;
        for (host, status) in [("host.example", 200), ("other.example", 400)] {
            let mut request = request("GET", "/");
            request.headers_mut().insert("host", HeaderValue::from_static(host));
            assert_eq!(client.send(request).await.status(), status, "{host}");
        }
    });
}

/// Sends a request with these headers on a new connection, see [`Raw::outcome`].
fn outcome(server: &TestServer, block: &[u8]) -> Result<(), u32> {
    let mut raw = Raw::plain(server.address);
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, block));
    raw.outcome()
}

#[test]
fn headers_that_http2_does_not_allow_are_errors() {
    let server = start(|| Router::new().route("/", get(async || "hello")));
    let with = |name: &str, value: &str| [block("GET", "/"), header(name, value)].concat();
    let allowed = [with("te", "trailers"), with("x-name", "value")];
    let refused = [
        with("connection", "close"),
        with("keep-alive", "timeout=5"),
        with("proxy-connection", "keep-alive"),
        with("transfer-encoding", "chunked"),
        with("upgrade", "websocket"),
        with("te", "gzip"),
        with("X-Name", "upper case"),
        with(":path", "/again"),
        [header(":method", "GET"), header(":scheme", "http"), header(":authority", "a")].concat(),
        [header(":method", "GET"), header(":path", "/"), header(":authority", "a")].concat(),
    ];
    for block in allowed {
        assert_eq!(outcome(&server, &block), Ok(()));
    }
    for (n, block) in refused.iter().enumerate() {
        assert_eq!(outcome(&server, block), Err(PROTOCOL_ERROR), "{n}");
    }
}

#[test]
fn requests_that_http1_would_refuse_are_refused() {
    let server = start(|| Router::new().route("/", get(async || "hello")));
    let request = |method: &str, path: &str, authority: &str| {
        let pseudo =
            [(":method", method), (":scheme", "http"), (":path", path), (":authority", authority)];
        pseudo.map(|(name, value)| header(name, value)).concat()
    };
    let refused = [
        request("GET", "/", "user@host"),
        request("GET", "/", "host:port"),
        [block("GET", "/"), header("expect", "nothing")].concat(),
        [block("GET", "/"), header("x-name", " value")].concat(),
        [block("GET", "/"), header("x-name", "value\t")].concat(),
        [block("GET", "/"), header("cookie", "a=1 ")].concat(),
        request("GET", &format!("/{}", "a".repeat(9000)), "host"),
    ];
    for (n, block) in refused.iter().enumerate() {
        assert_eq!(outcome(&server, block), Err(0), "{n}");
    }
    assert_eq!(outcome(&server, &block("GET", "/")), Ok(()));
}

#[test]
fn a_length_that_is_sent_twice_is_one() {
    let server = start(|| Router::new().route("/", post(count)));
    let length = header("content-length", "4");
    let block = [block("POST", "/"), length.clone(), length].concat();
    let mut raw = Raw::plain(server.address);
    let body = frame(DATA, END_STREAM, 1, b"four");
    raw.send(&[frame(HEADERS, END_HEADERS, 1, &block), body].concat());
    assert!(raw.until(HEADERS).is_ok());
}

#[test]
fn a_body_that_breaks_the_protocol_is_no_success() {
    let server = start(|| Router::new().route("/", post(count)));
    let head = |length: &str| {
        let block = [block("POST", "/"), header("content-length", length)].concat();
        frame(HEADERS, END_HEADERS, 1, &block)
    };
    let trailers = |block: &[u8]| frame(HEADERS, END_HEADERS | END_STREAM, 1, block);
    let bodies = [
        ("too short", [head("10"), frame(DATA, END_STREAM, 1, b"four")].concat()),
        ("too long", [head("2"), frame(DATA, END_STREAM, 1, b"four")].concat()),
        (
            "upper case",
            [head("4"), frame(DATA, 0, 1, b"four"), trailers(&header("X", "1"))].concat(),
        ),
    ];
    for (name, bytes) in bodies {
        let mut raw = Raw::plain(server.address);
        raw.send(&bytes);
        let is_ok = loop {
            let frame = raw.next().expect("a response, or another end");
            match frame.kind {
                HEADERS => break frame.is_ok(),
                RST_STREAM | GOAWAY => break false,
                _ => {}
            }
        };
        assert!(!is_ok, "{name}");
    }
}

#[test]
fn headers_in_several_frames_are_put_together() {
    let server = start(|| Router::new().route("/", get(async || "hello")));
    let mut raw = Raw::plain(server.address);
    let whole = [block("GET", "/"), header("x-large", &"v".repeat(10_000))].concat();
    let (first, rest) = whole.split_at(20);
    raw.send(&frame(HEADERS, END_STREAM, 1, first));
    for part in rest.chunks(5000) {
        raw.send(&frame(CONTINUATION, 0, 1, part));
    }
    raw.send(&frame(CONTINUATION, END_HEADERS, 1, &[]));
    assert!(raw.until(HEADERS).is_ok());
}

#[test]
fn headers_in_more_frames_than_they_need_end_the_connection() {
    let server = start(|| Router::new().route("/", get(async || "hello")));
    let whole = [block("GET", "/"), header("x-name", "value")].concat();
    // Up to five frames that do not end the headers may follow the first one.
    for (continuations, expected) in [(5, Ok(())), (6, Err(ENHANCE_YOUR_CALM))] {
        let mut raw = Raw::plain(server.address);
        let (first, rest) = whole.split_at(whole.len() - continuations - 1);
        let mut bytes = frame(HEADERS, END_STREAM, 1, first);
        for (n, byte) in rest.iter().enumerate() {
            let flags = if n == continuations { END_HEADERS } else { 0 };
            bytes.extend(frame(CONTINUATION, flags, 1, &[*byte]));
        }
        raw.send(&bytes);
        assert_eq!(raw.outcome(), expected, "{continuations}");
    }
}

#[test]
fn an_early_response_is_followed_by_a_reset_without_an_error() {
    let server = start(|| Router::new().route("/", post(async || "enough")));
    let mut raw = Raw::plain(server.address);
    for id in [1, 3] {
        raw.send(&frame(HEADERS, END_HEADERS, id, &block("POST", "/")));
        raw.send(&frame(DATA, 0, id, b"part"));
        assert!(raw.until(HEADERS).is_ok());
        let data = raw.until(DATA);
        assert_eq!((&*data.payload, data.flags & END_STREAM), (&b"enough"[..], END_STREAM));
        let reset = raw.until(RST_STREAM);
        assert_eq!((reset.stream, reset.code()), (id, NO_ERROR));
        // What was on its way is discarded.
        raw.send(&frame(DATA, 0, id, b"another part"));
    }
    raw.send(&frame(PING, 0, 0, &[0; 8]));
    raw.until(PING);
}

#[test]
fn a_client_that_expects_100_continue_is_refused_before_it_sends_the_body() {
    let server = start(|| {
        let refuse = async || StatusCode::UNAUTHORIZED;
        Router::new().route("/", post(count).body_limit(1000)).route("/private", post(refuse))
    });
    let expect = header("expect", "100-continue");
    for (path, status) in [("/", "413"), ("/private", "401")] {
        let length = header("content-length", "2000");
        let head = [block("POST", path), expect.clone(), length].concat();
        let mut raw = Raw::plain(server.address);
        raw.send(&frame(HEADERS, END_HEADERS, 1, &head));
        assert!(raw.until(HEADERS).has_status(status), "{path}");
        assert_eq!(raw.until(RST_STREAM).code(), NO_ERROR, "{path}");
    }
}

/// Requests `path` with a body that is to be asked for, and returns the head that comes first.
fn expect_continue(server: &TestServer, path: &str) -> (Raw, http2_frames::Frame) {
    let head = [block("POST", path), header("expect", "100-continue")].concat();
    let mut raw = Raw::plain(server.address);
    raw.send(&frame(HEADERS, END_HEADERS, 1, &head));
    let first = raw.until(HEADERS);
    (raw, first)
}

#[test]
fn a_client_that_expects_100_continue_gets_it_when_its_body_is_wanted() {
    let server = start(|| {
        let in_task = async |request: Request| spawn(count(request)).await.unwrap();
        let late = async |request: Request| {
            brigade_runtime::task::yield_now().await;
            count(request).await
        };
        Router::new()
            .route("/", post(count))
            .route("/task", post(in_task))
            .route("/late", post(late))
            .route("/detached", post(count).detach_on_disconnect())
    });
    for path in ["/", "/task", "/late", "/detached"] {
        let (mut raw, first) = expect_continue(&server, path);
        assert!(first.has_status("100"), "{path}");
        assert_eq!(first.flags & END_STREAM, 0);
        raw.send(&frame(DATA, END_STREAM, 1, b"12345"));
        assert!(raw.until(HEADERS).is_ok(), "{path}");
        assert_eq!(raw.until(DATA).payload, b"5");
    }
}

#[test]
fn no_100_is_sent_after_the_head_of_the_response_or_the_start_of_the_body() {
    let server = start(|| Router::new().route("/", post(count)).route("/echo", post(echo)));
    // The response has begun before its body asks for that of the request.
    let (mut raw, first) = expect_continue(&server, "/echo");
    assert!(first.is_ok());
    raw.send(&frame(DATA, END_STREAM, 1, b"12345"));
    assert_eq!(raw.until(DATA).payload, b"12345");
    // The body is there when the handler asks for it.
    let head = [block("POST", "/"), header("expect", "100-continue")].concat();
    let mut raw = Raw::plain(server.address);
    let body = frame(DATA, END_STREAM, 1, b"12345");
    raw.send(&[frame(HEADERS, END_HEADERS, 1, &head), body].concat());
    assert!(raw.until(HEADERS).is_ok());
    assert_eq!(raw.until(DATA).payload, b"5");
}

#[test]
fn clients_of_both_versions_are_served_at_the_same_port() {
    let server = start(|| Router::new().route("/", get(async || "hello")));
    for _ in 0..2 {
        assert_eq!(outcome(&server, &block("GET", "/")), Ok(()));
        let mut client = server.connect();
        client.send(sockets::get("/"));
        assert_eq!(client.response().text(), "hello");
        // It begins like the preface.
        let response =
            server.exchange("PRIVATE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert!(response.starts_with("HTTP/1.1 405 "), "{response}");
    }
}

#[test]
fn a_drain_finds_the_idle_connections_of_both_versions() {
    let mut server = start(|| Router::new().route("/", get(async || "hello")));
    let mut http1 = server.connect();
    http1.send(sockets::get("/"));
    assert_eq!(http1.response().text(), "hello");
    let mut http2 = Raw::plain(server.address);
    http2.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block("GET", "/")));
    assert!(http2.until(HEADERS).is_ok());
    server.begin_shutdown();
    assert_eq!(http1.rest(), "");
    http2.until(GOAWAY);
    while http2.next().is_some() {}
    assert_eq!(server.join().pop().unwrap().cancelled, 0);
}

#[test]
fn a_preface_in_single_bytes_is_one_of_http2() {
    let server = start(|| Router::new().route("/", get(async || "hello")));
    let mut raw = Raw::silent(server.address);
    for byte in PREFACE {
        raw.send(&[*byte]);
    }
    raw.send(&frame(SETTINGS, 0, 0, &[]));
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block("GET", "/")));
    assert!(raw.until(HEADERS).is_ok());
}

#[test]
fn a_preface_is_refused_unless_it_is_allowed() {
    let server = TestServer::start(|| Router::new().route("/", get(async || "hello")));
    let response = server.exchange(PREFACE);
    assert!(response.starts_with("HTTP/1.1 505 "), "{response}");
}

#[test]
fn a_client_that_answers_no_ping_is_sent_away() {
    let options = |server: brigade_http::Server| {
        let short = Duration::from_millis(50);
        let http2 = Http2Options {
            prior_knowledge: true,
            ping_interval: short,
            ping_timeout: short,
            ..Http2Options::default()
        };
        server.loops(1).pin(false).http2(http2)
    };
    let app = || Router::new().route("/wait", get(std::future::pending::<()>));
    let server = TestServer::start_with(options, app);
    let mut raw = Raw::plain(server.address);
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block("GET", "/wait")));
    raw.until(PING);
    while raw.next().is_some() {}
}

#[test]
fn trailers_that_are_none_reset_their_stream() {
    let respond = async |name: &'static str| {
        let trailers = HeaderMap::from_iter([(
            HeaderName::from_static(name),
            HeaderValue::from_static("text/plain"),
        )]);
        let parts = [Ok::<_, BoxError>(Part::Trailers(trailers))];
        Body::parts(stream::iter(parts), BodyLength::Unknown)
    };
    let server = start(move || {
        Router::new()
            .route("/ours", get(async move || respond("content-type").await))
            // h2 refuses it.
            .route("/h2", get(async move || respond("keep-alive").await))
    });
    for path in ["/ours", "/h2"] {
        let mut raw = Raw::plain(server.address);
        raw.send(&http2_frames::get(1, path));
        assert_eq!(raw.until(RST_STREAM).code(), INTERNAL_ERROR, "{path}");
    }
}
