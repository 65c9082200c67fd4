//! HTTP without sockets: decoding heads, encoding responses, and routing.
//!
//! The protocol is measured beside actix-http's codec, which uses the same parser, and beside that
//! parser alone, the floor of decoding. Routing, including the call of a handler that responds at
//! once, is measured beside axum's router, and beside matchit, the tree of paths in both.
#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "criterion's macros make functions without")]

use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use actix_http::body::{BodySize, MessageBody};
use actix_http::h1::{Codec, Message};
use axum::body::Body;
use brigade::http::protocol::{DATE_BYTES, RequestEvent, ServerConnection};
use brigade::http::{Headers, Limits, Request, RequestHead, Router, get};
use brigade_micro::{Runtime, Tokio, group};
use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{HeaderValue, Method, StatusCode, header};
use tokio_util::codec::{Decoder, Encoder};
use tower_service::Service;

const PLAIN: &str = "GET / HTTP/1.1\r\nHost: localhost:8080\r\n\r\n";

/// A browser's request, as in benches/peers.
const BROWSER: &str = "GET /users/1234/posts/5678 HTTP/1.1\r\n\
    Host: www.example.com:8080\r\n\
    Connection: keep-alive\r\n\
    Cache-Control: max-age=0\r\n\
    sec-ch-ua: \"Chromium\";v=\"142\", \"Google Chrome\";v=\"142\", \"Not_A Brand\";v=\"99\"\r\n\
    sec-ch-ua-mobile: ?0\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/142.0.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,\
    image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-US,en;q=0.9,de;q=0.8\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=yes; \
    _ga=GA1.1.1234567890.1234567890; _gid=GA1.1.987654321.1234567890; cart=0a1b2c3d4e5f\r\n\r\n";

const HELLO: &str = "Hello, World!";
const BODY: &[u8] = HELLO.as_bytes();
const DATE: &[u8; DATE_BYTES] = b"Sun, 06 Nov 1994 08:49:37 GMT";
/// The number of pipelined requests in one read.
const DEPTH: usize = 16;

/// The paths of the ten routes of benches/peers.
const PATTERNS: [&str; 10] = [
    "/",
    "/delay/{seconds}",
    "/block/{milliseconds}",
    "/users/{user}",
    "/users/{user}/posts",
    "/users/{user}/posts/{post}",
    "/orgs/{org}/repos/{repo}/issues/{issue}",
    "/upload",
    "/download/{bytes}",
    "/stream/{bytes}",
];
/// The number of requests that are created before the clock starts: few enough to stay in the
/// cache, and for brigade to reuse their boxes.
const REQUESTS_AT_ONCE: BatchSize = BatchSize::NumIterations(32);

fn protocol(criterion: &mut Criterion) {
    decode(criterion, "decode a plain GET", PLAIN);
    decode(criterion, "decode a browser's GET of 12 headers", BROWSER);
    exchange(criterion, "decode a plain GET, encode the response", PLAIN, 1);
    exchange(criterion, "the same, 16 pipelined in one read", PLAIN, DEPTH);
}

fn decode(criterion: &mut Criterion, name: &str, input: &'static str) {
    let mut decode = group(criterion, name, 1);
    decode.bench_function("httparse alone", |bencher| {
        bencher.iter(|| {
            let mut headers = [httparse::EMPTY_HEADER; 32];
            let mut request = httparse::Request::new(&mut headers);
            let parsed = request.parse(black_box(input.as_bytes()));
            assert!(parsed.is_ok_and(|status| status.is_complete()));
        });
    });
    decode.bench_function("brigade", |bencher| {
        let limits = Limits::default();
        let mut head = RequestHead::empty();
        bencher.iter(|| {
            let mut connection = ServerConnection::new();
            let event = connection.receive_head(black_box(input.as_bytes()), &mut head, &limits);
            assert_eq!(event, Ok(RequestEvent::Head));
            black_box(&head);
        });
    });
    decode.bench_function("actix-http", |bencher| {
        bencher.iter_custom(|iterations| Tokio::run(decode_with_codec(input, iterations)));
    });
    decode.finish();
}

async fn decode_with_codec(input: &'static str, iterations: u64) -> Duration {
    // Its clock is a task, so it needs a runtime.
    let mut codec = Codec::default();
    let mut buffer = BytesMut::with_capacity(64 * 1024);
    let begin = Instant::now();
    for _ in 0..iterations {
        buffer.extend_from_slice(black_box(input.as_bytes()));
        let decoded = codec.decode(&mut buffer);
        assert!(matches!(black_box(&decoded), Ok(Some(Message::Item(_)))));
    }
    begin.elapsed()
}

fn exchange(criterion: &mut Criterion, name: &str, input: &'static str, depth: usize) {
    let input: &'static [u8] = input.repeat(depth).into_bytes().leak();
    let mut both = group(criterion, name, depth as u64);
    both.bench_function("brigade", |bencher| {
        let limits = Limits::default();
        let mut connection = ServerConnection::new();
        let mut head = RequestHead::empty();
        let mut out = Vec::new();
        bencher.iter(|| {
            out.clear();
            let mut event = connection.receive_head(black_box(input), &mut head, &limits);
            let mut answers = 0;
            while event == Ok(RequestEvent::Head) {
                black_box(&head);
                respond(&mut connection, &mut out);
                answers += 1;
                event = connection.next_head(&mut head, &limits);
            }
            assert_eq!(answers, depth);
            black_box(&out);
        });
    });
    both.bench_function("actix-http", |bencher| {
        bencher.iter_custom(|iterations| Tokio::run(exchange_with_codec(input, depth, iterations)));
    });
    both.finish();
}

fn respond(connection: &mut ServerConnection, out: &mut Vec<u8>) {
    let mut headers = Headers::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    connection
        .send_whole(StatusCode::OK, &headers, BODY, DATE, out)
        .expect("the response is valid");
}

async fn exchange_with_codec(input: &'static [u8], depth: usize, iterations: u64) -> Duration {
    let mut codec = Codec::default();
    let mut buffer = BytesMut::with_capacity(64 * 1024);
    let mut out = BytesMut::with_capacity(64 * 1024);
    let begin = Instant::now();
    for _ in 0..iterations {
        out.clear();
        buffer.extend_from_slice(black_box(input));
        for _ in 0..depth {
            let decoded = codec.decode(&mut buffer);
            assert!(matches!(black_box(&decoded), Ok(Some(Message::Item(_)))));
            respond_with_codec(&mut codec, &mut out);
        }
        black_box(&out);
    }
    begin.elapsed()
}

fn respond_with_codec(codec: &mut Codec, out: &mut BytesMut) {
    let body = Bytes::from_static(BODY);
    let mut response = actix_http::Response::build(actix_http::StatusCode::OK);
    let response =
        response.insert_header(("content-type", "text/plain; charset=utf-8")).message_body(());
    let response = response.expect("the response is valid");
    assert_eq!(body.size(), BodySize::Sized(BODY.len() as u64));
    codec
        .encode(Message::Item((response, body.size())), out)
        .and_then(|()| codec.encode(Message::Chunk(Some(body)), out))
        .and_then(|()| codec.encode(Message::Chunk(None), out))
        .expect("the response is valid");
}

fn routing(criterion: &mut Criterion) {
    let (found, missing) = (StatusCode::OK, StatusCode::NOT_FOUND);
    route(criterion, "route a literal path", "/upload", found);
    route(criterion, "route a path with two parameters", "/users/1234/posts/5678", found);
    route(criterion, "route an unknown path", "/users/1234/likes", missing);
}

fn route(criterion: &mut Criterion, name: &str, path: &'static str, status: StatusCode) {
    let mut route = group(criterion, name, 1);
    route.bench_function("matchit alone", |bencher| {
        let mut table = matchit::Router::new();
        for pattern in PATTERNS {
            table.insert(pattern, ()).expect("the paths do not conflict");
        }
        bencher.iter(|| {
            let found = black_box(table.at(black_box(path)));
            assert_eq!(found.is_ok(), status == StatusCode::OK);
        });
    });
    route.bench_function("brigade", |bencher| {
        let add = |router: Router, pattern| router.route(pattern, get(async || HELLO));
        let service = PATTERNS.into_iter().fold(Router::new(), add).into_service();
        let request = || {
            let request = Request::builder(Method::GET, path).build();
            request.expect("the request is valid")
        };
        let respond = |request| {
            let response = at_once(service.call(black_box(request)));
            assert_eq!(response.status, status);
            response
        };
        bencher.iter_batched(request, respond, REQUESTS_AT_ONCE);
    });
    route.bench_function("axum", |bencher| {
        let handler = || axum::routing::get(async || HELLO);
        let add = |router: axum::Router, pattern| router.route(pattern, handler());
        let mut service = PATTERNS.into_iter().fold(axum::Router::new(), add);
        let request = || {
            let request = http::Request::builder().uri(path).body(Body::empty());
            request.expect("the request is valid")
        };
        let respond = |request| {
            // The router is always ready to be called.
            let response = at_once(service.call(black_box(request)));
            let response = response.unwrap_or_else(|error| match error {});
            assert_eq!(response.status(), status);
            response
        };
        bencher.iter_batched(request, respond, REQUESTS_AT_ONCE);
    });
    route.finish();
}

/// Returns the output of a future that is ready at its first poll.
fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the handler has to wait"),
    }
}

criterion_group! {
    name = benches;
    config = brigade_micro::criterion();
    targets = protocol, routing
}
criterion_main!(benches);
