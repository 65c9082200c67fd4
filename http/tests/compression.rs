//! Compressed responses and requests.
#![forbid(unsafe_code)]
#![cfg(feature = "compression")]

mod codings;
mod sockets;

use std::cell::Cell;
use std::convert::Infallible;
use std::io::Write;
use std::rc::Rc;
use std::sync::mpsc;

use brigade_http::middleware::{CompressionOptions, LogFormat, compression, decompression, log_to};
use brigade_http::{
    Body, BodyError, BodyLength, Bytes, HeaderMap, Method, Part, Request, Response, Router,
    Service, StatusCode, any, header, post,
};
use brigade_runtime::local::unbounded_channel;
use brigade_runtime::{run, spawn, task};
use codings::{encode, text};
use futures_util::stream;
use http::HeaderValue;
use sockets::{PATIENCE, TestServer};

const CODINGS: [&str; 3] = ["gzip", "br", "zstd"];
const LIMIT: usize = 100 * 1024 * 1024;

fn decode(coding: &str, data: &[u8]) -> Vec<u8> {
    let mut decoder = Decoder::new(coding);
    decoder.write(data);
    decoder.decoded()
}

/// A decoder that returns what can be known of the part of a message that has arrived.
enum Decoder {
    Gzip(flate2::write::GzDecoder<Vec<u8>>),
    Brotli(Box<brotli::DecompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Decoder<'static, Vec<u8>>),
}

impl Decoder {
    fn new(coding: &str) -> Self {
        match coding {
            "gzip" => Self::Gzip(flate2::write::GzDecoder::new(Vec::new())),
            "br" => Self::Brotli(Box::new(brotli::DecompressorWriter::new(Vec::new(), 4096))),
            _ => Self::Zstd(zstd::stream::write::Decoder::new(Vec::new()).unwrap()),
        }
    }

    fn write(&mut self, data: &[u8]) {
        let writer: &mut dyn Write = match self {
            Self::Gzip(decoder) => decoder,
            Self::Brotli(decoder) => decoder,
            Self::Zstd(decoder) => decoder,
        };
        writer.write_all(data).unwrap();
        writer.flush().unwrap();
    }

    fn decoded(&self) -> Vec<u8> {
        match self {
            Self::Gzip(decoder) => decoder.get_ref().clone(),
            Self::Brotli(decoder) => decoder.get_ref().clone(),
            Self::Zstd(decoder) => decoder.get_ref().clone(),
        }
    }
}

/// Returns a service whose handler returns what `respond` does, compressed.
fn compressing(respond: impl Fn() -> Response + 'static) -> Service {
    let respond = Rc::new(respond);
    let handler = move || {
        let response = respond();
        async move { response }
    };
    let layer = compression(CompressionOptions::new());
    Router::new().route("/", any(handler)).layer(layer).into_service()
}

async fn fetch(service: &Service, accepted: &'static str) -> Response {
    let request = Request::builder(Method::GET, "/").header("accept-encoding", accepted);
    service.call(request.build().unwrap()).await
}

fn value<'a>(response: &'a Response, name: &header::HeaderName) -> Option<&'a str> {
    response.headers.value(name).map(|value| value.to_str().unwrap())
}

#[test]
fn bodies_of_every_kind_are_compressed_with_every_coding() {
    let trailers = || {
        let value = HeaderValue::from_static("1");
        HeaderMap::from_iter([(header::HeaderName::from_static("x-end"), value)])
    };
    let in_parts = move |size: usize, length: BodyLength| {
        let all = text(100_000);
        let parts = (0..all.len())
            .step_by(size)
            .map(move |at| Ok(Part::Data(all.slice(at..(at + size).min(all.len())))));
        Body::parts(stream::iter(parts.chain([Ok(Part::Trailers(trailers()))])), length)
    };
    run(async move {
        for coding in CODINGS {
            for (make, length) in [
                (Box::new(|| text(2000).into()) as Box<dyn Fn() -> Body>, 2000),
                (Box::new(|| text(16 * 1024).into()), 16 * 1024),
                (Box::new(|| text(100_000).into()), 100_000),
                (Box::new(move || in_parts(700, BodyLength::Unknown)), 100_000),
                (Box::new(move || in_parts(40_000, BodyLength::Known(100_000))), 100_000),
            ] {
                let service = compressing(move || Response::text(make()));
                let mut response = fetch(&service, coding).await;
                assert_eq!(value(&response, &header::CONTENT_ENCODING), Some(coding));
                let is_known = matches!(response.body.length(), BodyLength::Known(_));
                assert_eq!(is_known, length <= 16 * 1024);
                let body = response.body.collect(LIMIT).await.unwrap();
                assert!(body.len() < length / 2, "{} of {length}", body.len());
                assert_eq!(decode(coding, &body), text(length), "{coding} {length}");
            }
            let service = compressing(move || Response::text(in_parts(700, BodyLength::Unknown)));
            let mut response = fetch(&service, coding).await;
            response.body.collect(LIMIT).await.unwrap();
            assert_eq!(response.body.trailers(), Some(&trailers()));
        }
    });
}

#[test]
fn the_headers_say_what_was_done() {
    let service = compressing(|| {
        Response::text(text(100_000))
            .with_header(header::ETAG, HeaderValue::from_static("\"a\""))
            .with_header(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"))
            .with_header(header::CONTENT_LENGTH, HeaderValue::from_static("100000"))
            .with_header(header::VARY, HeaderValue::from_static("Cookie"))
    });
    run(async move {
        let response = fetch(&service, "gzip").await;
        assert_eq!(value(&response, &header::CONTENT_ENCODING), Some("gzip"));
        assert_eq!(value(&response, &header::ETAG), Some("W/\"a\""));
        assert!(!response.headers.contains(&header::ACCEPT_RANGES));
        assert!(!response.headers.contains(&header::CONTENT_LENGTH));
        let vary: Vec<_> =
            response.headers.iter().filter(|(name, _)| *name == header::VARY).collect();
        assert_eq!(vary.len(), 2);

        // The same for a client that does not accept it, except for what depends on the client.
        let response = fetch(&service, "identity").await;
        assert_eq!(value(&response, &header::ETAG), Some("\"a\""));
        assert_eq!(value(&response, &header::CONTENT_LENGTH), Some("100000"));
        let vary: Vec<_> =
            response.headers.iter().filter(|(name, _)| *name == header::VARY).collect();
        assert_eq!(vary.len(), 2);
    });
}

#[test]
fn vary_and_a_weak_tag_are_not_repeated() {
    for vary in ["Accept-Encoding", "cookie, ACCEPT-ENCODING", "*"] {
        let service = compressing(move || {
            Response::text(text(5000))
                .with_header(header::VARY, HeaderValue::from_static(vary))
                .with_header(header::ETAG, HeaderValue::from_static("W/\"a\""))
        });
        let response = run(async move { fetch(&service, "gzip").await });
        assert_eq!(value(&response, &header::ETAG), Some("W/\"a\""));
        let count = response.headers.iter().filter(|(name, _)| *name == header::VARY).count();
        assert_eq!(count, 1, "{vary}");
    }
}

#[test]
fn responses_that_must_not_be_compressed_stay_as_they_are() {
    let with = |name: header::HeaderName, value: &'static str| {
        Response::text(text(5000)).with_header(name, HeaderValue::from_static(value))
    };
    let typed = |kind: &'static str| Response::typed(kind, text(5000));
    let cases: Vec<Box<dyn Fn() -> Response>> = vec![
        Box::new(move || with(header::CONTENT_ENCODING, "br")),
        Box::new(move || with(header::CONTENT_RANGE, "bytes 0-4999/9000")),
        Box::new(move || with(header::CACHE_CONTROL, "private, no-transform")),
        Box::new(move || with(header::ETAG, "\"a\"").with_status(StatusCode::PARTIAL_CONTENT)),
        Box::new(move || typed("image/png")),
        Box::new(move || typed("Video/MP4; codecs=av1")),
        Box::new(move || typed("application/zip")),
        Box::new(move || typed("application/epub+zip")),
        Box::new(move || typed("application/octet-stream")),
        Box::new(move || typed("font/woff2")),
        Box::new(|| Response::new(text(5000))),
        Box::new(|| Response::text(text(1023))),
        Box::new(|| Response::empty(StatusCode::NO_CONTENT)),
        Box::new(|| Response::text(Body::empty())),
    ];
    for (index, case) in cases.into_iter().enumerate() {
        let expected = case();
        let service = compressing(case);
        run(async move {
            let mut response = fetch(&service, "gzip, br, zstd").await;
            let list = |response: &Response| format!("{:?}", response.headers);
            assert_eq!(list(&response), list(&expected), "case {index}");
            let body = response.body.collect(LIMIT).await.unwrap();
            assert_eq!(Some(&body[..]), expected.body.as_bytes(), "case {index}");
        });
    }
}

#[test]
fn content_that_would_not_become_shorter_stays_as_it_is() {
    let noise: Vec<u8> = std::iter::repeat_with({
        let mut state = 1_u64;
        move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        }
    })
    .take(4000)
    .collect();
    let service = compressing(move || Response::text(noise.clone()));
    run(async move {
        let response = fetch(&service, "gzip").await;
        assert!(!response.headers.contains(&header::CONTENT_ENCODING));
        assert_eq!(response.body.length(), BodyLength::Known(4000));
        assert_eq!(value(&response, &header::VARY), Some("accept-encoding"));
    });
}

#[test]
fn other_media_types_are_compressed() {
    for kind in ["application/json", "image/svg+xml", "text/css", "application/wasm", "x/y"] {
        let service = compressing(move || Response::typed(kind, text(5000)));
        let response = run(async move { fetch(&service, "gzip").await });
        assert_eq!(value(&response, &header::CONTENT_ENCODING), Some("gzip"), "{kind}");
    }
}

#[test]
fn a_client_that_refuses_plain_content_gets_short_content_compressed_too() {
    let service = compressing(|| Response::text("a".repeat(200)));
    run(async move {
        let mut response = fetch(&service, "gzip, identity;q=0").await;
        assert_eq!(value(&response, &header::CONTENT_ENCODING), Some("gzip"));
        let body = response.body.collect(LIMIT).await.unwrap();
        assert_eq!(decode("gzip", &body), "a".repeat(200).as_bytes());
    });
}

#[test]
fn a_304_has_the_tag_of_the_compressed_response() {
    let service = compressing(|| {
        Response::empty(StatusCode::NOT_MODIFIED)
            .with_header(header::ETAG, HeaderValue::from_static("\"a\""))
    });
    run(async move {
        let response = fetch(&service, "gzip").await;
        assert_eq!(value(&response, &header::ETAG), Some("W/\"a\""));
        assert_eq!(value(&response, &header::VARY), Some("accept-encoding"));
        let response = fetch(&service, "").await;
        assert_eq!(value(&response, &header::ETAG), Some("\"a\""));
    });
}

#[test]
fn the_options_choose_the_codings_and_the_shortest_body() {
    let options = CompressionOptions::new().zstd(false).brotli(false).brotli(true).min_bytes(10);
    let handler = async |request: Request| {
        let length = request.query_value_as("length").unwrap().unwrap();
        "a".repeat(length)
    };
    let router = Router::new().route("/", any(handler)).layer(compression(options));
    let service = router.into_service();
    run(async move {
        for (length, accepted, expected) in [
            (100, "zstd", None),
            (100, "zstd, br, gzip", Some("br")),
            (100, "zstd, gzip", Some("gzip")),
            (9, "gzip", None),
        ] {
            let request = Request::builder(Method::GET, format!("/?length={length}"));
            let request = request.header("accept-encoding", accepted).build().unwrap();
            let response = service.call(request).await;
            assert_eq!(value(&response, &header::CONTENT_ENCODING), expected, "{accepted}");
        }
    });
}

#[test]
fn an_event_arrives_at_once_although_the_stream_is_compressed() {
    for coding in CODINGS {
        run(async move {
            let (sender, receiver) = unbounded_channel::<Bytes>();
            let receiver = Cell::new(Some(receiver));
            let service = compressing(move || {
                let parts = stream::unfold(receiver.take().unwrap(), async |mut receiver| {
                    let part = receiver.recv().await?;
                    Some((Ok::<_, Infallible>(part), receiver))
                });
                Response::typed("text/event-stream", Body::stream(parts))
            });
            let mut response = fetch(&service, coding).await;
            let mut decoder = Decoder::new(coding);
            let mut expected = Vec::new();
            for event in ["data: one\n\n", "data: two\n\n", "data: three\n\n"] {
                sender.try_send(Bytes::from(event)).unwrap();
                expected.extend_from_slice(event.as_bytes());
                while decoder.decoded() != expected {
                    decoder.write(&response.body.chunk().await.unwrap().unwrap());
                }
            }
            drop(sender);
            while let Some(part) = response.body.chunk().await {
                decoder.write(&part.unwrap());
            }
            assert_eq!(decoder.decoded(), expected);
        });
    }
}

#[test]
fn a_head_request_gets_the_headers_of_the_compressed_response() {
    let server = TestServer::start(|| {
        let handler = async || Response::text(text(100_000));
        Router::new().route("/", any(handler)).layer(compression(CompressionOptions::new()))
    });
    let mut client = server.connect();
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n");
    let all = client.rest();
    assert!(all.contains("content-encoding: gzip\r\n") && all.ends_with("\r\n\r\n"), "{all}");
    assert!(!all.contains("content-length"), "{all}");
}

#[test]
fn compressing_a_large_body_lets_other_tasks_run() {
    run(async {
        let service = compressing(|| Response::text(text(600_000)));
        let mut response = fetch(&service, "gzip").await;
        let compressing = spawn(async move { response.body.collect(LIMIT).await.unwrap().len() });
        let mut turns = 0;
        while !compressing.is_finished() {
            turns += 1;
            task::yield_now().await;
        }
        // 64 units in a poll, four for a piece of 8 KiB.
        assert!(turns >= 600_000 / (16 * 8 * 1024), "{turns}");
    });
}

async fn lengths(mut request: Request) -> Result<String, BodyError> {
    Ok(request.body_mut().collect(LIMIT).await?.len().to_string())
}

const DECODED_MAX: u64 = 200_000;

fn decompressing() -> Service {
    let router = Router::new().route("/", post(lengths)).layer(decompression(DECODED_MAX));
    router.into_service()
}

/// Sends `body` in parts of `size` bytes. Returns the response and its text.
async fn upload(coding: &'static str, body: Vec<u8>, size: usize) -> (Response, String) {
    let body = Bytes::from(body);
    let parts = (0..body.len())
        .step_by(size)
        .map(move |at| Ok::<_, Infallible>(body.slice(at..(at + size).min(body.len()))));
    let body = Body::stream(stream::iter(parts));
    let request = Request::builder(Method::POST, "/").header("content-encoding", coding).body(body);
    let mut response = decompressing().call(request.build().unwrap()).await;
    let text = response.body.collect(LIMIT).await.unwrap();
    (response, String::from_utf8(text.into()).unwrap())
}

#[test]
fn requests_are_decompressed_however_they_are_cut() {
    run(async {
        for coding in CODINGS {
            for length in [0, 1, 100, DECODED_MAX as usize] {
                let data = text(length);
                for size in [1000, 50_000, usize::MAX >> 1] {
                    let (response, text) = upload(coding, encode(coding, &data), size).await;
                    assert_eq!((response.status, text), (StatusCode::OK, length.to_string()));
                }
            }
            let (_, text) = upload(coding, encode(coding, &text(500)), 1).await;
            assert_eq!(text, "500");
        }
        let (response, text) = upload("identity", b"abc".to_vec(), 1).await;
        assert_eq!((response.status, &*text), (StatusCode::OK, "3"));
        let (_, text) = upload("X-GZIP", encode("gzip", b"abc"), 10).await;
        assert_eq!(text, "3");
        // No body is no compressed body.
        let (_, text) = upload("gzip", Vec::new(), 1).await;
        assert_eq!(text, "0");
    });
}

#[test]
fn content_of_several_members_is_decompressed() {
    run(async {
        for coding in ["gzip", "zstd"] {
            let two = [encode(coding, &text(1000)), encode(coding, &text(24))].concat();
            for size in [1, 7, 100_000] {
                let (response, text) = upload(coding, two.clone(), size).await;
                assert_eq!((response.status, &*text), (StatusCode::OK, "1024"), "{coding} {size}");
            }
        }
    });
}

#[test]
fn a_body_that_becomes_too_long_is_a_413_however_short_it_was() {
    run(async {
        for coding in CODINGS {
            let bomb = encode(coding, &vec![0; 5_000_000]);
            assert!(bomb.len() < 10_000);
            let (response, _) = upload(coding, bomb, usize::MAX >> 1).await;
            assert_eq!(response.status, StatusCode::PAYLOAD_TOO_LARGE, "{coding}");
            let one_more = encode(coding, &text(DECODED_MAX as usize + 1));
            let (response, _) = upload(coding, one_more, 10_000).await;
            assert_eq!(response.status, StatusCode::PAYLOAD_TOO_LARGE, "{coding}");
        }
    });
}

#[test]
fn a_body_that_cannot_be_decompressed_is_a_400() {
    run(async {
        for coding in CODINGS {
            let good = encode(coding, &text(20_000));
            let cut = good[..good.len() - 1].to_vec();
            let half = good[..good.len() / 2].to_vec();
            let extended = [&good[..], b"more"].concat();
            for (name, bad) in [
                ("noise", b"this is plain text".to_vec()),
                ("cut", cut),
                ("half", half),
                ("extended", extended),
            ] {
                for size in [1, usize::MAX >> 1] {
                    let (response, text) = upload(coding, bad.clone(), size).await;
                    assert_eq!(response.status, StatusCode::BAD_REQUEST, "{coding} {name} {text}");
                }
            }
        }
        let mut wrong_sum = encode("gzip", b"abc");
        let at = wrong_sum.len() - 8;
        wrong_sum[at] ^= 1;
        assert_eq!(upload("gzip", wrong_sum, 10).await.0.status, StatusCode::BAD_REQUEST);
    });
}

#[test]
fn a_zstd_frame_that_wants_a_larger_window_than_8_mib_is_a_400() {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(24).unwrap();
    encoder.write_all(&text(1000)).unwrap();
    encoder.flush().unwrap();
    let frame = encoder.finish().unwrap();
    run(async move {
        assert_eq!(upload("zstd", frame, 1000).await.0.status, StatusCode::BAD_REQUEST);
    });
}

#[test]
fn a_coding_that_is_not_supported_is_a_415_that_lists_the_others() {
    run(async {
        for coding in ["deflate", "compress", "gzip, br", "gzipped"] {
            let (response, text) = upload(coding, b"abc".to_vec(), 1).await;
            assert_eq!(response.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{coding} {text}");
            assert_eq!(value(&response, &header::ACCEPT_ENCODING), Some("zstd, br, gzip"));
        }
    });
}

#[test]
fn a_body_is_decompressed_once_although_there_are_two_layers() {
    let router = Router::new().route("/", post(lengths));
    let router = router.layer(decompression(DECODED_MAX)).layer(decompression(DECODED_MAX));
    let service = router.into_service();
    run(async move {
        let request = Request::builder(Method::POST, "/").header("content-encoding", "gzip");
        let request = request.body(encode("gzip", b"abc")).build().unwrap();
        let mut response = service.call(request).await;
        assert_eq!(response.body.collect(LIMIT).await.unwrap(), "3");
    });
}

/// Sends each write as a message.
struct Lines(mpsc::Sender<String>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // A test that ends does not receive any more.
        let _ = self.0.send(String::from_utf8(bytes.to_vec()).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_access_log_within_the_compression_has_the_bytes_that_were_sent() {
    let (lines, written) = mpsc::channel();
    let server = TestServer::start(move || {
        let streamed = async || {
            let parts = stream::iter([Ok::<_, Infallible>(text(100_000))]);
            Response::text(Body::stream(parts))
        };
        Router::new()
            .route("/short", any(async || Response::text(text(10_000))))
            .route("/long", any(async || Response::text(text(100_000))))
            .route("/streamed", any(streamed))
            .layer(log_to(LogFormat::Text, Lines(lines.clone())))
            .layer(compression(CompressionOptions::new()))
    });
    let mut client = server.connect();
    for path in ["/short", "/long", "/streamed"] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n"));
        let response = client.response();
        let line = written.recv_timeout(PATIENCE).unwrap();
        let expected = format!(" status=200 bytes={} complete=true ", response.body.len());
        assert!(line.contains(&expected), "{expected}: {line}");
    }
}
