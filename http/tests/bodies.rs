//! Bodies: read, replaced, transformed and passed on.
#![forbid(unsafe_code)]

mod sockets;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::pin::pin;
use std::rc::Rc;
use std::sync::mpsc::{channel, sync_channel};
use std::task::{Context, Poll, Waker};

use brigade_http::{
    Body, BodyError, BodyLength, Bytes, Client, ClientError, HeaderMap, Limits, Method, Next, Part,
    ProtocolError, Request, Response, Router, StatusCode, get as on_get, post,
};
use brigade_runtime::run;
use futures_util::{TryStreamExt, stream};
use http::HeaderValue;
use http_body::Body as _;
use sockets::{PATIENCE, TestServer, get};

const LIMIT: usize = 1024 * 1024;

fn trailers() -> HeaderMap {
    HeaderMap::from_iter([("x-sum".try_into().unwrap(), HeaderValue::from_static("3"))])
}

/// Returns a stream of `ab` and `c`, with trailers.
fn abc(length: BodyLength) -> Body {
    let data = ["ab", "c"].map(|text| Ok(Part::Data(text.into())));
    Body::parts(stream::iter(data.into_iter().chain([Ok(Part::Trailers(trailers()))])), length)
}

/// Reads all parts of `body`.
async fn parts(body: &mut Body) -> Vec<String> {
    let mut parts = Vec::new();
    while let Some(part) = body.chunk().await {
        parts.push(String::from_utf8(part.unwrap().into()).unwrap());
    }
    parts
}

async fn collect(mut request: Request) -> Result<Bytes, BodyError> {
    request.body_mut().collect(LIMIT).await
}

fn post_of(body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn chunked(chunks: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")
}

#[test]
fn every_kind_of_body_is_read_part_by_part_and_then_at_its_end() {
    run(async {
        for (mut body, expected) in [
            (Body::empty(), &[][..]),
            ("".into(), &[]),
            ("abc".into(), &["abc"]),
            (Body::stream(stream::iter([Ok::<_, Infallible>("a".into())])), &["a"]),
            (abc(BodyLength::Known(3)), &["ab", "c"]),
        ] {
            assert!(body.trailers().is_none());
            assert_eq!(parts(&mut body).await, expected, "{body:?}");
            assert!(body.is_end() && body.chunk().await.is_none(), "{body:?}");
            assert_eq!(body.length(), BodyLength::Empty);
        }
        let mut body = abc(BodyLength::Unknown);
        assert_eq!(body.collect(LIMIT).await.unwrap(), "abc");
        assert_eq!(body.trailers(), Some(&trailers()));
    });
}

#[test]
fn the_length_is_that_of_what_has_not_been_read() {
    run(async {
        let mut body = abc(BodyLength::Known(3));
        assert_eq!(body.length(), BodyLength::Known(3));
        body.chunk().await.unwrap().unwrap();
        assert_eq!(body.length(), BodyLength::Known(1));
    });
}

#[test]
fn a_body_that_has_failed_never_looks_like_one_that_has_ended() {
    run(async {
        let items = [Ok(Bytes::from_static(b"a")), Err("broken")];
        let mut body = Body::stream(stream::iter(items));
        assert_eq!(body.chunk().await.unwrap().unwrap(), "a");
        assert!(matches!(body.chunk().await, Some(Err(BodyError::Stream(_)))));
        for _ in 0..2 {
            assert!(matches!(body.chunk().await, Some(Err(BodyError::Gone))));
        }
        assert!(!body.is_end() && body.as_bytes().is_none());
    });
}

#[test]
fn empty_parts_of_a_stream_are_left_out() {
    run(async {
        let items = ["", "a", "", ""].map(|text| Ok::<_, Infallible>(Bytes::from(text)));
        assert_eq!(parts(&mut Body::stream(stream::iter(items))).await, ["a"]);
    });
}

#[test]
fn a_body_that_is_known_to_be_too_long_is_not_read() {
    run(async {
        let never = stream::poll_fn(|_| -> Poll<Option<Result<Bytes, Infallible>>> {
            panic!("the body was read")
        });
        let result = Body::stream_with_length(11, never).collect(10).await;
        assert!(matches!(result, Err(BodyError::Protocol(ProtocolError::BodyTooLarge))));
    });
}

#[test]
fn inspecting_a_body_keeps_its_length_and_its_trailers() {
    run(async {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let inspect = |body: Body| {
            let seen = seen.clone();
            body.inspect(move |part| seen.borrow_mut().push(part.to_vec()))
        };
        let mut body = inspect(abc(BodyLength::Known(3)));
        assert_eq!(body.length(), BodyLength::Known(3));
        assert_eq!(body.chunk().await.unwrap().unwrap(), "ab");
        assert_eq!(seen.take(), [b"ab"]);
        assert_eq!(body.collect(LIMIT).await.unwrap(), "c");
        assert_eq!((seen.take(), body.trailers()), (vec![b"c".to_vec()], Some(&trailers())));
        // A full body stays full, so that it is sent without a copy.
        let body = inspect("abc".into());
        assert_eq!((seen.take(), body.as_bytes()), (vec![b"abc".to_vec()], Some(&b"abc"[..])));
    });
}

#[test]
fn mapping_a_body_changes_its_parts_and_makes_its_length_unknown() {
    let twice = |data: Bytes| Bytes::from([&data[..], &data[..]].concat());
    run(async move {
        let mut body = abc(BodyLength::Known(3)).map_data(twice);
        assert_eq!(body.length(), BodyLength::Unknown);
        assert_eq!(parts(&mut body).await, ["abab", "cc"]);
        assert_eq!(body.trailers(), Some(&trailers()));
        assert_eq!(Body::from("ab").map_data(twice).as_bytes(), Some(&b"abab"[..]));
        assert_eq!(Body::empty().map_data(twice).length(), BodyLength::Empty);
    });
}

#[test]
fn a_body_is_one_of_the_http_body_crate_and_is_made_from_one() {
    run(async {
        for length in [BodyLength::Known(3), BodyLength::Unknown] {
            let body = Body::from_http_body(Foreign(abc(length)));
            let exact = match length {
                BodyLength::Known(length) => Some(length),
                _ => None,
            };
            assert_eq!((body.length(), body.size_hint().exact()), (length, exact));
            let mut body = pin!(body);
            let mut frames = Vec::new();
            while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
                frames.push(frame.unwrap());
            }
            let data: Vec<_> = frames.iter().filter_map(|frame| frame.data_ref()).collect();
            assert_eq!(data, ["ab", "c"]);
            assert_eq!(frames.last().unwrap().trailers_ref(), Some(&trailers()));
            assert!(body.is_end_stream());
        }
        assert_eq!(Body::from_http_body(Body::empty()).as_bytes(), Some(&b""[..]));
    });
}

/// A body with another type of data and another error.
struct Foreign(Body);

impl http_body::Body for Foreign {
    type Data = std::collections::VecDeque<u8>;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        let frame = std::pin::Pin::new(&mut self.0).poll_frame(cx);
        frame.map_ok(|frame| frame.map_data(|data| data.to_vec().into())).map_err(Into::into)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.0.size_hint()
    }
}

#[test]
fn middleware_reads_the_body_and_passes_it_on() {
    async fn signed(mut request: Request, next: Next) -> Result<Response, BodyError> {
        let body = request.body_mut().collect(10).await?;
        if body.first() != Some(&b'!') {
            return Ok(Response::empty(StatusCode::FORBIDDEN));
        }
        Ok(next.run(request.with_body(body.slice(1..))).await)
    }
    let server = TestServer::start(|| Router::new().route("/", post(collect)).layer(signed));
    let mut client = server.connect();
    for (body, status, expected) in [("!abc", 200, "abc"), ("abc", 403, ""), ("!", 200, "")] {
        client.send(post_of(body));
        let response = client.response();
        assert_eq!((response.status, response.text()), (status, expected));
    }
    client.send(post_of("!9 bytes too many"));
    assert_eq!(client.response().status, 413);
}

#[test]
fn an_optional_body_is_the_one_that_middleware_has_put_there() {
    let length = async |body: Option<Bytes>| body.map_or(-1, |body| body.len() as i32).to_string();
    let replace = async |request: Request, next: Next| {
        let body = if request.query().is_some() { Body::from("abc") } else { Body::empty() };
        next.run(request.with_body(body)).await
    };
    let service = Router::new().route("/", post(length)).layer(replace).into_service();
    run(async move {
        for (target, body, expected) in
            [("/?x", "", "3"), ("/?x", "other", "3"), ("/", "", "-1"), ("/", "other", "-1")]
        {
            let request = Request::builder(Method::POST, target).body(body).build().unwrap();
            let mut response = service.call(request).await;
            assert_eq!(response.body.collect(LIMIT).await.unwrap(), expected, "{target} {body}");
        }
    });
}

#[test]
fn a_body_that_middleware_replaces_unread_is_discarded_by_the_connection() {
    let server = TestServer::start(|| {
        let replace =
            async |request: Request, next: Next| next.run(request.with_body("other")).await;
        Router::new().route("/", post(collect)).layer(replace)
    });
    let mut client = server.connect();
    for _ in 0..2 {
        client.send(post_of("abc"));
        assert_eq!(client.response().text(), "other");
    }
}

#[test]
fn a_body_that_middleware_counts_arrives_as_it_was_sent() {
    let counted = || {
        let received = Rc::new(Cell::new(0));
        let count = move |request: Request, next: Next| {
            let received = received.clone();
            async move {
                let add = received.clone();
                let add = move |part: &[u8]| add.update(|bytes| bytes + part.len());
                let mut response = next.run(request.map_body(|body| body.inspect(add))).await;
                let bytes = received.take().to_string();
                response.headers.insert("x-received".try_into().unwrap(), bytes.parse().unwrap());
                response
            }
        };
        let show = async |mut request: Request| -> Result<String, BodyError> {
            let body = request.body_mut();
            let (length, all) = (body.length(), body.collect(LIMIT).await?);
            Ok(format!("{all:?} {length:?} {}", body.trailers().is_some()))
        };
        Router::new().route("/", post(show)).layer(count)
    };
    let server = TestServer::start(counted);
    let mut client = server.connect();
    client.send(post_of("abc"));
    let response = client.response();
    assert_eq!(response.text(), "b\"abc\" Known(3) false");
    assert_eq!(response.header("x-received"), Some("3"));
    client.send(chunked("2\r\nab\r\n1\r\nc\r\n0\r\nx-sum: 3\r\n\r\n"));
    assert_eq!(client.response().text(), "b\"abc\" Unknown true");
}

#[test]
fn the_errors_of_a_client_keep_their_status_in_a_wrapped_body() {
    async fn wrap(request: Request, next: Next) -> Response {
        let wrap = |body: Body| Body::stream(body.map_err(std::io::Error::from));
        next.run(request.map_body(wrap).map_body(|body| body.inspect(|_| {}))).await
    }
    let limits = Limits { body_bytes_max: 3, ..Limits::default() };
    let server = TestServer::start_with(
        |server| server.loops(1).pin(false).limits(limits),
        || Router::new().route("/", post(collect)).layer(wrap),
    );
    for (request, status) in [
        (chunked("3\r\nabc\r\n0\r\n\r\n"), "200 OK"),
        (chunked("4\r\nabcd\r\n0\r\n\r\n"), "413 Payload Too Large"),
        (chunked("x\r\n"), "400 Bad Request"),
    ] {
        let mut client = server.connect();
        client.send(request);
        let head = client.response().head;
        assert!(head.contains(&status.to_lowercase()), "{head}");
    }
}

#[test]
fn the_error_of_a_stream_of_the_application_is_a_500_without_its_text() {
    async fn broken(request: Request, next: Next) -> Response {
        let broken = stream::iter([Err::<Bytes, _>("the password is 1234")]);
        next.run(request.with_body(Body::stream(broken))).await
    }
    let service = Router::new().route("/", post(collect)).layer(broken).into_service();
    run(async move {
        let request = Request::builder(Method::POST, "/").body("abc").build().unwrap();
        let mut response = service.call(request).await;
        assert_eq!(response.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.body.collect(LIMIT).await.unwrap(), "500 Internal Server Error\n");
    });
}

#[test]
fn a_wrapped_body_is_received_only_when_its_handler_reads() {
    let (sender, receiver) = sync_channel(0);
    let server = TestServer::start(move || {
        let sender = sender.clone();
        let handler = move |mut request: Request| {
            let sender = sender.clone();
            async move {
                if request.header("x-read").is_some() {
                    return parts(request.body_mut()).await.concat();
                }
                sender.send(()).unwrap();
                "not read".to_owned()
            }
        };
        let wrap = async |request: Request, next: Next| {
            next.run(request.map_body(|body| body.inspect(|_| {}))).await
        };
        Router::new().route("/", post(handler)).layer(wrap)
    });
    let expecting = |read: &str| {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n";
        format!("{head}{read}\r\n")
    };
    let mut client = server.connect();
    client.send(expecting("x-read: 1\r\n"));
    assert_eq!(client.until(b"\r\n\r\n"), b"HTTP/1.1 100 Continue\r\n\r\n");
    client.send("abc");
    assert_eq!(client.response().text(), "abc");
    client.send(expecting(""));
    receiver.recv_timeout(PATIENCE).unwrap();
    assert_eq!(client.response().text(), "not read");
}

#[test]
fn a_handler_notices_that_its_client_has_gone_after_its_body_was_replaced() {
    let (sender, receiver) = channel();
    let server = TestServer::start(move || {
        let sender = sender.clone();
        let handler = move |mut request: Request| {
            let sender = sender.clone();
            async move {
                assert_eq!(request.body_mut().collect(LIMIT).await.unwrap(), "other");
                sender.send("began").unwrap();
                request.disconnected().await;
                sender.send("gone").unwrap();
            }
        };
        let replace =
            async |request: Request, next: Next| next.run(request.with_body("other")).await;
        Router::new().route("/", post(handler).detach_on_disconnect()).layer(replace)
    });
    for request in [post_of("abc"), post_of("")] {
        let mut client = server.connect();
        client.send(request);
        assert_eq!(receiver.recv_timeout(PATIENCE), Ok("began"));
        drop(client);
        assert_eq!(receiver.recv_timeout(PATIENCE), Ok("gone"));
    }
}

#[test]
fn the_body_of_a_request_is_sent_back_with_its_length_and_its_trailers() {
    let echo = async |request: Request| request.into_body();
    let server = TestServer::start(move || Router::new().route("/", post(echo)));
    let mut client = server.connect();
    client.send(post_of("abc"));
    let response = client.response();
    assert_eq!((response.text(), response.header("content-length")), ("abc", Some("3")));
    client.send(chunked("2\r\nab\r\n1\r\nc\r\n0\r\nx-sum: 3\r\n\r\n"));
    let response = client.until(b"x-sum: 3\r\n\r\n");
    let text = String::from_utf8(response).unwrap();
    assert!(text.contains("transfer-encoding: chunked"), "{text}");
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(client.rest().contains("405"));
}

#[test]
fn bodies_are_forwarded_in_both_directions() {
    let backend = TestServer::start(|| {
        let echo = async |request: Request| request.into_body();
        Router::new().route("/", post(echo)).route("/none", on_get(async || StatusCode::NO_CONTENT))
    });
    let url = format!("http://{}", backend.address);
    let proxy = TestServer::start(move || {
        let (client, url) = (Client::new(), url.clone());
        let forward = move |request: Request| {
            let url = format!("{url}{}", request.path());
            let sending = client.request(request.method().clone(), url).body(request.into_body());
            async move {
                let (head, body) = sending.send().await.unwrap().into_parts();
                Response::empty(head.status()).with_body(body)
            }
        };
        Router::new().route("/", post(forward.clone())).route("/none", on_get(forward))
    });
    let mut client = proxy.connect();
    client.send(post_of("abc"));
    let response = client.response();
    assert_eq!((response.text(), response.header("content-length")), ("abc", Some("3")));
    client.send(chunked("2\r\nab\r\n1\r\nc\r\n0\r\nx-sum: 3\r\n\r\n"));
    let text = String::from_utf8(client.until(b"x-sum: 3\r\n\r\n")).unwrap();
    assert!(text.contains("transfer-encoding: chunked"), "{text}");
    client.send(get("/none"));
    assert_eq!(client.response().status, 204);
}

#[test]
fn a_response_that_cannot_be_read_fails_with_the_error_of_the_client() {
    let backend = TestServer::start(|| {
        let items = [Ok(Bytes::from_static(b"abc")), Err("broken")];
        let handler = move || {
            let body = Body::stream(stream::iter(items.clone()));
            async move { body }
        };
        Router::new().route("/", on_get(handler))
    });
    let url = format!("http://{}/", backend.address);
    run(async move {
        let mut body = Client::new().get(url).send().await.unwrap().into_body();
        let error = body.collect(LIMIT).await.unwrap_err();
        let BodyError::Stream(cause) = &error else { panic!("{error:?}") };
        assert!(cause.is::<ClientError>(), "{cause:?}");
        // The server that failed is not the one that the request was sent to.
        assert_eq!(error.status(), StatusCode::INTERNAL_SERVER_ERROR);
    });
}

#[test]
fn an_endless_body_ends_when_the_server_drains() {
    let (sender, receiver) = channel();
    let mut server = TestServer::start(move || {
        let sender = sender.clone();
        let endless = move || {
            let first = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"abc"))]);
            let body = Body::stream(stream::select(first, stream::pending())).until_draining();
            sender.send(()).unwrap();
            async move { body }
        };
        Router::new().route("/", on_get(endless))
    });
    let mut client = server.connect();
    client.send(get("/"));
    receiver.recv_timeout(PATIENCE).unwrap();
    client.until(b"3\r\nabc\r\n");
    server.begin_shutdown();
    assert_eq!(client.rest(), "0\r\n\r\n");
    assert_eq!(server.join()[0].cancelled, 0);
}

#[test]
fn only_a_body_of_unknown_length_ends_early() {
    let cx = &mut Context::from_waker(Waker::noop());
    let known = abc(BodyLength::Known(3)).until_draining();
    assert_eq!(known.length(), BodyLength::Known(3));
    let mut unknown = abc(BodyLength::Unknown).until_draining();
    // Without a server nothing drains.
    let Poll::Ready(Some(Ok(part))) = unknown.poll_chunk(cx) else { panic!("no part") };
    assert_eq!(part, "ab");
}

#[test]
fn a_request_is_built_with_a_stream_as_its_body() {
    run(async {
        let builder = || Request::builder(Method::POST, "/");
        let mut request = builder().body(abc(BodyLength::Unknown)).build().unwrap();
        assert_eq!(request.header("transfer-encoding"), Some(&b"chunked"[..]));
        assert_eq!(request.body_mut().collect(LIMIT).await.unwrap(), "abc");
        let request = builder().body(abc(BodyLength::Known(3))).build().unwrap();
        assert_eq!(request.header("content-length"), Some(&b"3"[..]));
        assert_eq!(request.into_body().length(), BodyLength::Known(3));
    });
}
