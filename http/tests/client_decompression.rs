//! Responses that the client decompresses.
#![forbid(unsafe_code)]
#![cfg(feature = "compression")]

mod codings;
mod sockets;

use std::cell::Cell;
use std::io::Write;
use std::net::TcpListener;
use std::rc::Rc;

use brigade_http::client::COLLECT_BYTES_MAX;
use brigade_http::middleware::{CompressionOptions, compression};
use brigade_http::{
    Body, BodyLength, Bytes, Client, ClientError, ClientErrorKind, ClientResponse, HeaderMap,
    HeaderName, HeaderValue, Part, Redirect, Request, Response, Router, StatusCode, any, get,
    header,
};
use brigade_runtime::task::yield_now;
use brigade_runtime::{run, spawn};
use codings::encode;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream;
use sockets::TestServer;

const CODINGS: [&str; 3] = ["zstd", "br", "gzip"];
const TEXT_BYTES: usize = 100_000;
/// More than `bytes` collects.
const LARGE_BYTES: usize = COLLECT_BYTES_MAX + 1;

fn text() -> Bytes {
    codings::text(TEXT_BYTES)
}

/// Returns a response with this body and `Content-Encoding`.
fn coded(coding: &'static str, body: impl Into<Body>) -> Response {
    let value = HeaderValue::from_static(coding);
    Response::new(body).with_header(header::CONTENT_ENCODING, value)
}

/// Starts a server whose response to all requests is that of `respond`.
fn start(respond: impl Fn() -> Response + Clone + Send + 'static) -> TestServer {
    TestServer::start(move || {
        let respond = respond.clone();
        Router::new().fallback(async move || respond())
    })
}

fn decompressing() -> Client {
    Client::builder().decompress(true).build()
}

async fn fetch(client: &Client, server: &TestServer) -> Result<ClientResponse, ClientError> {
    client.get(format!("http://{}/", server.address)).send().await
}

/// Returns the error of reading the response.
fn error(client: Client, server: &TestServer) -> ClientError {
    let url = format!("http://{}/", server.address);
    run(async move { client.get(url).send().await.unwrap().collect(usize::MAX).await.unwrap_err() })
}

/// Asserts that the client leaves this response to a `GET` as it is.
#[track_caller]
fn assert_unchanged(respond: fn() -> Response) {
    let server = start(respond);
    run(async move {
        let mut plain = fetch(&Client::new(), &server).await.unwrap();
        let mut response = fetch(&decompressing(), &server).await.unwrap();
        let headers = |response: &ClientResponse| {
            let mut headers = response.headers().clone();
            headers.remove(header::DATE);
            headers
        };
        assert_eq!(headers(&response), headers(&plain));
        assert!(response.header("content-encoding").is_some());
        assert_eq!(response.body_remaining(), plain.body_remaining());
        assert_eq!(response.bytes().await.unwrap(), plain.bytes().await.unwrap());
    });
}

#[test]
fn what_a_server_compresses_is_decompressed_whatever_the_coding() {
    let server = TestServer::start(|| {
        let page = async |request: Request| {
            let accepted = String::from_utf8(request.header("accept-encoding").unwrap().to_vec());
            let headers = [(HeaderName::from_static("x-accepted"), accepted.unwrap())];
            (headers, [(header::ETAG, "\"1\"")], String::from_utf8(text().into()).unwrap())
        };
        Router::new().fallback(page).layer(compression(CompressionOptions::new()))
    });
    run(async move {
        let client = decompressing();
        let mut response = fetch(&client, &server).await.unwrap();
        assert_eq!(response.header("x-accepted"), Some(&b"zstd, br, gzip"[..]));
        assert_eq!(response.bytes().await.unwrap(), text());
        for coding in CODINGS {
            let request = client.get(format!("http://{}/", server.address));
            let mut response = request.header("accept-encoding", coding).send().await.unwrap();
            assert_eq!(response.header("x-accepted"), Some(coding.as_bytes()));
            for name in ["content-encoding", "content-length"] {
                assert_eq!(response.header(name), None);
                assert!(!response.headers().contains_key(name));
            }
            assert_eq!(response.header("etag"), Some(&b"W/\"1\""[..]));
            assert_eq!(response.body_remaining(), None);
            assert_eq!(response.bytes().await.unwrap(), text());
        }
        assert_eq!((client.connections_opened(), client.connections_idle()), (1, 1));
    });
}

#[test]
fn a_body_with_a_length_is_decompressed_and_its_connection_kept() {
    for coding in CODINGS {
        let server = start(move || coded(coding, encode(coding, &text())));
        run(async move {
            let client = decompressing();
            for _ in 0..2 {
                let mut response = fetch(&client, &server).await.unwrap();
                assert_eq!(response.header("content-length"), None);
                assert_eq!(response.bytes().await.unwrap(), text());
                assert!(response.chunk().await.is_none());
            }
            assert_eq!((client.connections_opened(), client.connections_idle()), (1, 1));
        });
    }
}

#[test]
fn nothing_is_asked_for_or_decompressed_unless_the_client_or_the_request_wants_it() {
    let server = TestServer::start(|| {
        let page = async |request: Request| {
            let asks = request.header("accept-encoding").is_some();
            let asks = HeaderValue::from_static(if asks { "yes" } else { "no" });
            let asks_name = HeaderName::from_static("x-asks");
            coded("gzip", encode("gzip", b"text")).with_header(asks_name, asks)
        };
        Router::new().fallback(page)
    });
    let url = format!("http://{}/", server.address);
    run(async move {
        let (plain, other) = (Client::new(), decompressing());
        for (request, is_decompressed) in [
            (plain.get(&url), false),
            (plain.get(&url).decompress(true), true),
            (other.get(&url), true),
            (other.get(&url).decompress(false), false),
        ] {
            let mut response = request.send().await.unwrap();
            let asks = if is_decompressed { "yes" } else { "no" };
            assert_eq!(response.header("x-asks"), Some(asks.as_bytes()));
            assert_eq!(response.header("content-encoding").is_none(), is_decompressed);
            assert_eq!(response.bytes().await.unwrap() == "text", is_decompressed);
        }
        // A part of a compressed body would be of no use.
        let response = other.get(&url).header("range", "bytes=0-9").send().await.unwrap();
        assert_eq!(response.header("x-asks"), Some(&b"no"[..]));
    });
}

#[test]
fn parts_are_decompressed_as_they_arrive() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (sender, is_read) = std::sync::mpsc::channel();
    let server = std::thread::spawn(move || {
        let mut client = sockets::of(listener.accept().unwrap().0);
        client.until(b"\r\n\r\n");
        client.send("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n");
        let mut encoder = GzEncoder::new(client.stream.try_clone().unwrap(), Compression::fast());
        for part in ["one", "two"] {
            encoder.write_all(part.as_bytes()).unwrap();
            encoder.flush().unwrap();
            is_read.recv_timeout(sockets::PATIENCE).unwrap();
        }
        encoder.finish().unwrap();
    });
    run(async move {
        let mut response = decompressing().get(&url).send().await.unwrap();
        for part in ["one", "two"] {
            assert_eq!(response.chunk().await.unwrap().unwrap(), part);
            sender.send(()).unwrap();
        }
        assert!(response.chunk().await.is_none());
    });
    server.join().unwrap();
}

#[test]
fn other_codings_and_several_of_them_are_left_alone() {
    assert_unchanged(|| coded("deflate", "text"));
    assert_unchanged(|| coded("gzip, br", "text"));
    assert_unchanged(|| coded("identity", "text"));
    assert_unchanged(|| {
        let second = HeaderValue::from_static("br");
        let mut response = coded("gzip", "text");
        response.headers.append(header::CONTENT_ENCODING, second);
        response
    });
    let server = start(|| coded(" X-GZip , identity,", encode("gzip", b"text")));
    run(async move {
        let mut response = fetch(&decompressing(), &server).await.unwrap();
        assert_eq!(response.text().await.unwrap(), "text");
    });
}

#[test]
fn responses_without_a_body_and_parts_are_left_alone() {
    assert_unchanged(|| coded("gzip", "").with_status(StatusCode::NOT_MODIFIED));
    assert_unchanged(|| coded("gzip", "part").with_status(StatusCode::PARTIAL_CONTENT));
    assert_unchanged(|| coded("gzip", ""));
    let body = encode("gzip", &text());
    let length = body.len().to_string();
    let server = start(move || coded("gzip", body.clone()));
    run(async move {
        let client = decompressing();
        let request = client.head(format!("http://{}/", server.address));
        let mut response = request.send().await.unwrap();
        assert_eq!(response.header("content-encoding"), Some(&b"gzip"[..]));
        assert_eq!(response.header("content-length"), Some(length.as_bytes()));
        assert_eq!(response.bytes().await.unwrap(), "");
        assert_eq!(client.connections_idle(), 1);
    });
    // A body in chunks turns out to be empty.
    let server = start(|| coded("gzip", Body::stream(stream::empty::<Result<_, ClientError>>())));
    run(async move {
        let mut response = fetch(&decompressing(), &server).await.unwrap();
        assert_eq!(response.bytes().await.unwrap(), "");
    });
}

#[test]
fn limits_count_what_a_body_becomes() {
    for coding in CODINGS {
        let body = Bytes::from(encode(coding, &vec![0; LARGE_BYTES]));
        let server = start(move || coded(coding, body.clone()));
        let limited = Client::builder().decompress(true).body_bytes_max(1024 * 1024).build();
        let refused = error(limited, &server);
        assert!(matches!(refused.kind(), ClientErrorKind::TooLarge(1_048_576)), "{refused}");
        run(async move {
            let client = decompressing();
            let mut response = fetch(&client, &server).await.unwrap();
            let refused = response.collect(1000).await.unwrap_err();
            assert!(matches!(refused.kind(), ClientErrorKind::TooLarge(1000)), "{refused}");
            let refused = fetch(&client, &server).await.unwrap().bytes().await.unwrap_err();
            assert!(matches!(refused.kind(), ClientErrorKind::TooLarge(_)), "{refused}");
            let exact =
                Client::builder().decompress(true).body_bytes_max(LARGE_BYTES as u64).build();
            let mut response = fetch(&exact, &server).await.unwrap();
            assert_eq!(response.collect(usize::MAX).await.unwrap().len(), LARGE_BYTES);
        });
    }
}

#[test]
fn a_body_that_is_not_what_its_coding_says_is_an_error() {
    for coding in CODINGS {
        let whole = encode(coding, &text());
        let cut = whole[..whole.len() - 5].to_vec();
        for body in [cut, b"this was never compressed".to_vec()] {
            let server = start(move || coded(coding, body.clone()));
            let broken = error(decompressing(), &server);
            assert!(matches!(broken.kind(), ClientErrorKind::Coding(_)), "{coding}: {broken}");
            assert!(broken.to_string().contains("is not what its Content-Encoding says"));
            run(async move {
                let mut response = fetch(&decompressing(), &server).await.unwrap();
                while let Some(Ok(_)) = response.chunk().await {}
                assert!(response.chunk().await.is_none(), "the error is returned once");
            });
        }
    }
}

#[test]
fn a_connection_that_fails_within_a_body_is_the_error_that_it_is() {
    let server = start(|| {
        let whole = Bytes::from(encode("gzip", &text()));
        let parts = [Ok(whole.slice(..1000)), Err(std::io::Error::other("cut on purpose"))];
        coded("gzip", Body::stream(stream::iter(parts)))
    });
    let broken = error(decompressing(), &server);
    let plain = error(Client::new(), &server);
    assert_eq!(broken.to_string(), plain.to_string());
    assert!(!matches!(broken.kind(), ClientErrorKind::Coding(_) | ClientErrorKind::Content(_)));
}

#[test]
fn trailers_follow_a_decompressed_body() {
    let server = start(|| {
        let trailer = (HeaderName::from_static("x-sum"), HeaderValue::from_static("7"));
        let parts = [
            Ok(Part::Data(encode("br", b"text").into())),
            Ok(Part::Trailers(HeaderMap::from_iter([trailer]))),
        ];
        coded("br", Body::parts(stream::iter(parts), BodyLength::Unknown))
    });
    run(async move {
        let mut response = fetch(&decompressing(), &server).await.unwrap();
        assert_eq!(response.text().await.unwrap(), "text");
        assert_eq!(response.trailers().unwrap()["x-sum"], "7");
    });
}

#[test]
fn the_parts_of_a_response_are_those_of_the_decompressed_one() {
    let server = start(|| coded("zstd", encode("zstd", b"text")));
    run(async move {
        let (head, mut body) = fetch(&decompressing(), &server).await.unwrap().into_parts();
        assert_eq!((head.header("content-encoding"), body.length()), (None, BodyLength::Unknown));
        assert_eq!(head.status(), StatusCode::OK);
        assert_eq!(body.collect(10).await.unwrap(), "text");
    });
}

#[test]
fn a_response_is_decompressed_after_a_redirect() {
    let server = TestServer::start(|| {
        Router::new()
            .route("/", get(async || Redirect::to("/page")))
            .route("/page", get(async || String::from_utf8(text().into()).unwrap()))
            .layer(compression(CompressionOptions::new()))
    });
    run(async move {
        let client = Client::builder().decompress(true).redirects(1).build();
        assert_eq!(fetch(&client, &server).await.unwrap().bytes().await.unwrap(), text());
    });
}

#[test]
fn a_request_that_is_given_back_is_as_it_was() {
    let server = start(|| coded("gzip", encode("gzip", b"text")));
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    run(async move {
        let refused = decompressing().get(format!("http://{nobody}/")).send().await;
        let mut request = refused.unwrap_err().into_request().unwrap();
        assert!(!request.headers_mut().contains(&header::ACCEPT_ENCODING));
        let request = request.url(format!("http://{}/", server.address));
        assert_eq!(request.send().await.unwrap().text().await.unwrap(), "text");
    });
}

#[test]
fn a_proxy_sends_bodies_on_as_they_are_unless_told_otherwise() {
    let backend = start(|| coded("gzip", encode("gzip", &text())));
    let address = backend.address;
    let proxy = TestServer::start(move || {
        let client = decompressing();
        Router::new().route(
            "/{mode}",
            any(async move |request: Request| {
                let is_asked = request.path() == "/decompressed";
                let forwarded = client.forward(request, format!("http://{address}/"));
                match is_asked {
                    true => forwarded.decompress(true),
                    false => forwarded,
                }
                .send()
                .await
            }),
        )
    });
    let mut client = proxy.connect();
    client.send(sockets::get("/plain"));
    let response = client.response();
    assert_eq!(response.header("content-encoding"), Some("gzip"));
    assert_eq!(response.body, encode("gzip", &text()));

    client.send(sockets::get("/decompressed"));
    let response = client.response();
    assert_eq!(response.header("content-encoding"), None);
    assert_eq!(response.header("transfer-encoding"), Some("chunked"));
    assert_eq!(response.body, text());
}

#[test]
fn a_body_that_expands_a_lot_lets_other_tasks_run() {
    let body = Bytes::from(encode("gzip", &vec![0; LARGE_BYTES]));
    let server = start(move || coded("gzip", body.clone()));
    run(async move {
        let turns = Rc::new(Cell::new(0));
        let count = turns.clone();
        let other = spawn(async move {
            loop {
                count.set(count.get() + 1);
                yield_now().await;
            }
        });
        let mut response = fetch(&decompressing(), &server).await.unwrap();
        turns.set(0);
        while let Some(part) = response.chunk().await {
            part.unwrap();
        }
        assert!(turns.get() > 10, "only {} turns", turns.get());
        other.abort();
    });
}
