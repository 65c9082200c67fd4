//! HTTP/2: requests that a well-behaved client does not send, or not in this form, frame by frame.
#![forbid(unsafe_code)]
#![cfg(all(feature = "http2", feature = "hyper"))]

mod http2_client;
mod http2_frames;
mod sockets;

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use brigade_http::{
    Body, BodyLength, BoxError, Bytes, Http2Options, Part, Request, Router, StatusCode, get, post,
};
use brigade_runtime::spawn;
use futures_util::{Stream, stream};
use http::{HeaderMap, HeaderName, HeaderValue};

use http2_client::{count, echo, start};
use http2_frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM,
    Raw, SETTINGS, block, frame, header,
};
use sockets::TestServer;

const NO_ERROR: u32 = 0x0;
const PROTOCOL_ERROR: u32 = 0x1;
const INTERNAL_ERROR: u32 = 0x2;
const ENHANCE_YOUR_CALM: u32 = 0xb;

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
fn expect_continue(server: &TestServer, path: &str) -> (Raw, Frame) {
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
