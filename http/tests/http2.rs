//! HTTP/2: our routes and options, by the client of hyper.
#![forbid(unsafe_code)]
#![cfg(all(feature = "http2", feature = "hyper"))]

mod http2_client;
mod sockets;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use brigade_http::{
    Body, BoxError, Bytes, Request, Response, Router, StatusCode, Version, get, post,
};
use brigade_runtime::{run, spawn, time};
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use http::header::CONNECTION;
use http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

use http2_client::{
    Client, Received, allowed, channel_body, count, echo, full, request, start, text, with_body,
};
use sockets::{PATIENCE, TestServer, get as http1_get};

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

/// Returns a duration of a `Server-Timing` header.
fn duration(timing: &str, name: &str) -> Duration {
    let entry = timing.split(", ").find(|entry| entry.starts_with(name)).unwrap();
    let millis: f64 = entry.rsplit_once("dur=").unwrap().1.parse().unwrap();
    Duration::from_secs_f64(millis / 1000.0)
}

/// Returns that of a response.
fn timing(response: &Received) -> &str {
    response.headers()["server-timing"].to_str().unwrap()
}

#[test]
fn a_loop_that_is_busy_counts_as_lag_of_the_next_stream_or_first_request() {
    let (began, begun) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let app = move || {
        let (began, released) = (began.clone(), released.clone());
        let block = async move || {
            began.send(()).unwrap();
            let _ = released.lock().unwrap().recv_timeout(PATIENCE);
        };
        Router::new().route("/", get(async || "hello")).route("/block", get(block))
    };
    let server = TestServer::start_with(|server| allowed(server).server_timing(true), app);
    run(async move {
        let begun_at = Instant::now();
        // The loop has taken this one when it responds to the next one.
        let mut http1 = server.connect();
        let client = Client::connect(server.address).await;
        assert_eq!(client.get("/").await.status(), 200);
        let opened = begun_at.elapsed();
        let mut neighbour = server.connect();
        neighbour.send(http1_get("/block"));
        begun.recv_timeout(PATIENCE).unwrap();
        let blocked = Instant::now();
        http1.send(http1_get("/"));
        let response = spawn(async move { client.get("/").await });
        // Within this time the request is sent.
        time::sleep(Duration::from_millis(50)).await;
        let waited = blocked.elapsed();
        release.send(()).unwrap();
        let (of_stream, http1) = (response.await.unwrap(), http1.response());
        for timing in [timing(&of_stream), http1.header("server-timing").unwrap()] {
            let lag = duration(timing, "loop") + Duration::from_micros(1);
            assert!(lag >= waited, "{lag:?} of {waited:?}: {timing}");
        }
        let queue = duration(http1.header("server-timing").unwrap(), "queue");
        assert!(queue <= opened, "{queue:?} of {opened:?}");
    });
}

#[test]
fn the_time_before_the_first_request_is_not_one_in_the_queue() {
    let options = |server| allowed(server).server_timing(true);
    let server =
        TestServer::start_with(options, || Router::new().route("/", get(async || "hello")));
    run(async move {
        let begun = Instant::now();
        let (mut http1, http2) = (server.connect(), Client::connect(server.address).await);
        // The loop has taken the others when it responds to this one.
        let mut last = server.connect();
        last.send(http1_get("/"));
        last.response();
        let opened = begun.elapsed();
        time::sleep(opened).await;
        let queue = duration(timing(&http2.get("/").await), "queue");
        assert!(queue <= opened, "{queue:?} of {opened:?}");
        http1.send(http1_get("/"));
        let response = http1.response();
        let queue = duration(response.header("server-timing").unwrap(), "queue");
        assert!(queue <= opened, "{queue:?} of {opened:?}");
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
