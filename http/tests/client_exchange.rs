//! How the client sends a request and reads its response: both at once, within limits and timeouts.
#![forbid(unsafe_code)]

mod scripted;
mod sockets;

use std::future::pending;
use std::time::Duration;

use brigade_http::limits::Limits;
use brigade_http::{
    Body, BodyError, BodyLength, Client, ClientError, ClientErrorKind, EncodeError, Part,
    ProtocolError, Request, Response, Router, Server, TimeoutKind, post,
};
use brigade_runtime::{JoinHandle, run, spawn, time};
use bytes::Bytes;
use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use futures_util::stream;
use http::{HeaderMap, HeaderValue, StatusCode, Version};
use scripted::{Host, answering, ok, on_loop, script};
use sockets::TestServer;

const LIMIT: usize = 1024 * 1024;
const SECOND: Duration = Duration::from_secs(1);

/// Sends back what it receives, while it receives it.
fn echo() -> Router {
    let echo = async |request: Request| Response::new(Body::stream(request.into_parts().1));
    let all = async |mut request: Request| -> Result<Bytes, BodyError> {
        request.body_mut().collect(LIMIT).await
    };
    Router::new().route("/echo", post(echo)).route("/all", post(all))
}

fn unlimited(server: Server) -> Server {
    let limits = Limits { body_bytes_max: u64::MAX, ..Limits::default() };
    server.loops(1).pin(false).limits(limits)
}

fn parts(count: usize, size: usize) -> impl stream::Stream<Item = Result<Bytes, ClientError>> {
    let part = Bytes::from(vec![b'x'; size]);
    stream::iter((0..count).map(move |_| Ok(part.clone())))
}

/// Returns the body of a `GET` of `url`, or the error.
async fn text(client: &Client, url: &str) -> Result<String, ClientError> {
    client.get(url).send().await?.text().await
}

/// Returns what the client reads of `answer`, after which the server closes its connection.
fn read(answer: &str) -> Result<String, ClientError> {
    let answer = answer.to_owned();
    on_loop(async move {
        let (url, server) = answering(answer);
        let closing = spawn(async move { drop(server.await) });
        let client = Client::new();
        let outcome = text(&client, &url).await;
        closing.await.unwrap();
        assert_eq!(client.connections_idle(), 0);
        outcome
    })
}

#[test]
fn a_body_may_stream_both_ways_at_once() {
    let server = TestServer::start_with(unlimited, echo);
    let url = format!("http://{}/echo", server.address);
    run(async move {
        let client = Client::new();
        let upload = Body::stream(parts(1000, 40_000));
        let mut response = client.post(&url).body(upload).send().await.unwrap();
        let mut received = 0;
        while let Some(part) = response.chunk().await {
            received += part.unwrap().len();
        }
        assert_eq!(received, 40_000_000);
        assert_eq!(client.connections_idle(), 1);
    });
}

#[test]
fn a_response_can_be_the_body_of_the_next_request() {
    let server = TestServer::start_with(unlimited, echo);
    let url = format!("http://{}/echo", server.address);
    use futures_util::StreamExt;
    run(async move {
        let client = Client::new();
        let upload = Body::stream_with_length(3_000_000, parts(300, 10_000));
        let first = client.post(&url).body(upload).send().await.unwrap();
        let second = client.post(&url).body(Body::stream(first)).send().await.unwrap();
        let received = second.fold(0, async |sum, part| sum + part.unwrap().len()).await;
        assert_eq!((received, client.connections_idle()), (3_000_000, 2));
    });
}

#[test]
fn bodies_arrive_as_they_were_sent() {
    let server = TestServer::start(echo);
    let root = format!("http://{}", server.address);
    run(async move {
        let client = Client::new();
        for size in [0, 1, 16 * 1024, 1_000_000] {
            let body = Bytes::from_iter((0..size).map(|at| (at % 251) as u8));
            for path in ["/echo", "/all"] {
                let request = client.post(format!("{root}{path}")).body(body.clone());
                let echoed = request.send().await.unwrap().collect(LIMIT).await.unwrap();
                assert!(echoed == body, "{size} bytes to {path}");
            }
        }
        assert_eq!(client.connections_opened(), 1);
    });
}

#[test]
fn a_request_is_sent_as_it_was_built() {
    on_loop(async {
        let (url, server) = script(async |host| {
            let mut peer = host.accept().await;
            let head = peer.head().await;
            peer.send(ok("")).await;
            let chunked = peer.until("\r\n\r\n").await + &peer.until("\r\n\r\n").await;
            peer.send(ok("")).await;
            (head, chunked)
        });
        let client = Client::new();
        let mut request = client.get(format!("{url}a%20b?c=d#e")).header("X-A", "1");
        request.headers_mut().append("x-a".parse().unwrap(), HeaderValue::from_static("2"));
        drop(request.header("host", "other").send().await.unwrap());
        let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "5".parse().unwrap())]);
        let parts = [Ok(Part::Data(Bytes::from_static(b"hello"))), Ok(Part::Trailers(trailers))];
        let body = Body::parts(stream::iter(parts), BodyLength::Unknown);
        drop(client.put(&url).body(body).send().await.unwrap());
        let (head, chunked) = server.await.unwrap();
        let expected = "GET /a%20b?c=d HTTP/1.1\r\nhost: other\r\nx-a: 1\r\nx-a: 2\r\n\r\n";
        assert_eq!(head, expected);
        assert!(chunked.ends_with("\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 5\r\n\r\n"), "{chunked}");
    });
}

#[test]
fn responses_are_read_as_they_are_framed() {
    let head = "HTTP/1.1 200 OK\r\n";
    let read = |rest: &str| read(&format!("{head}{rest}")).unwrap();
    assert_eq!(read("Connection: close\r\nContent-Length: 2\r\n\r\nhi"), "hi");
    assert_eq!(read("\r\nall of it"), "all of it");
    let chunked = "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(read(&format!("{chunked}2\r\nhi\r\n1\r\n!\r\n0\r\n\r\n")), "hi!");
}

#[test]
fn a_response_has_its_head_and_trailers() {
    on_loop(async {
        let (url, server) = answering(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
             HTTP/1.1 404 Not here\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n\
             2\r\nhi\r\n0\r\nX-Sum: 2\r\n\r\n",
        );
        let client = Client::new();
        let mut response = client.get(&url).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(
            (response.version(), response.header("x-a")),
            (Version::HTTP_11, Some(&b"b"[..]))
        );
        assert_eq!((response.headers().len(), response.head().reason()), (2, "Not here"));
        assert_eq!((response.body_remaining(), response.trailers()), (None, None));
        assert_eq!(response.text_with_limit(2).await.unwrap(), "hi");
        assert_eq!(response.trailers().unwrap()["x-sum"], "2");
        assert_eq!(response.body_remaining(), Some(0));
        assert!(response.chunk().await.is_none());
        assert_eq!(client.connections_idle(), 1);
        server.await.unwrap();
    });
}

#[test]
fn a_response_that_breaks_the_protocol_is_an_error() {
    for (answer, expected) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi", ProtocolError::UnexpectedEnd),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
            ProtocolError::LengthAndEncoding,
        ),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", ProtocolError::ChunkSize),
        ("HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", ProtocolError::LineEnd),
        ("SSH-2.0-OpenSSH\r\n", ProtocolError::StartLine),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n", ProtocolError::UnexpectedResponse),
        ("HTTP/1.1 200 OK\r\nContent-Le", ProtocolError::UnexpectedEnd),
    ] {
        let error = read(answer).expect_err(answer);
        let is_expected =
            matches!(error.kind(), ClientErrorKind::Protocol(found) if *found == expected);
        assert!(is_expected, "{answer:?}: {error}");
    }
}

#[test]
fn the_size_of_responses_is_limited() {
    let small = Limits { head_bytes_max: 64, ..Limits::default() };
    let client = Client::builder().body_bytes_max(4).limits(small).build();
    on_loop(async move {
        for answer in
            ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 200 OK\r\n\r\nhello"]
        {
            let (url, _server) = answering(answer);
            let error = text(&client, &url).await.unwrap_err();
            assert!(matches!(error.kind(), ClientErrorKind::TooLarge(4)), "{error}");
        }
        let (url, _server) = answering(format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(64)));
        let error = text(&client, &url).await.unwrap_err();
        let too_large = ProtocolError::HeadTooLarge;
        assert!(matches!(error.kind(), ClientErrorKind::Protocol(found) if *found == too_large));

        let client = Client::new();
        for answer in [ok("hello"), "HTTP/1.1 200 OK\r\n\r\nhello".to_owned()] {
            let (url, _server) = answering(answer);
            let mut response = client.get(&url).send().await.unwrap();
            let error = response.collect(4).await.unwrap_err();
            assert!(matches!(error.kind(), ClientErrorKind::TooLarge(4)), "{error}");
            assert!(response.chunk().await.is_none());
        }
        assert_eq!(client.connections_idle(), 0);
        let (url, _server) = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n\xff");
        let error = text(&client, &url).await.unwrap_err();
        assert!(matches!(error.kind(), ClientErrorKind::NotText), "{error}");
    });
}

/// Returns the error of a request that does not end, and after how many seconds it came.
async fn timed(
    request: impl Future<Output = Result<String, ClientError>>,
) -> (TimeoutKind, Duration, u64) {
    let began = time::now();
    let error = request.await.unwrap_err();
    assert!(error.is_timeout() && error.to_string().contains("raise the limit with `"));
    match error.kind() {
        ClientErrorKind::Timeout(waited, limit) => {
            (*waited, *limit, (time::now() - began).as_secs())
        }
        other => panic!("{other}"),
    }
}

#[test]
fn informational_responses_do_not_extend_the_head_timeout() {
    on_loop(async {
        let (url, _server) = answering("");
        let silent = timed(text(&Client::new(), &url)).await;
        assert_eq!(silent, (TimeoutKind::Head, 30 * SECOND, 30));
        let (url, _server) = script(async |host| {
            let mut peer = host.accept().await;
            peer.head().await;
            loop {
                time::sleep(10 * SECOND).await;
                peer.send("HTTP/1.1 102 Processing\r\n\r\n").await;
            }
        });
        let client = Client::builder().head_timeout(45 * SECOND).build();
        assert_eq!(timed(text(&client, &url)).await, (TimeoutKind::Head, 45 * SECOND, 45));
    });
}

/// A listener that one connection fills: the system drops the SYNs of all others (listen(2)), so
/// they neither connect nor fail.
#[cfg(target_os = "linux")]
fn full_listener() -> (socket2::Socket, std::net::TcpStream) {
    use std::net::{SocketAddr, TcpStream};
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let filling = TcpStream::connect(address).unwrap();
    (socket, filling)
}

#[cfg(target_os = "linux")]
#[test]
fn connecting_ends_with_its_timeout_or_that_of_the_request() {
    let (listener, _filling) = full_listener();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    on_loop(async move {
        let url = format!("http://{address}/");
        let seconds = |timeout| Client::builder().connect_timeout(timeout).build();
        let default = timed(text(&Client::new(), &url)).await;
        assert_eq!(default, (TimeoutKind::Connect, 10 * SECOND, 10));
        let longer = timed(text(&seconds(3600 * SECOND), &url)).await;
        assert_eq!(longer, (TimeoutKind::Connect, 3600 * SECOND, 3600));

        let began = time::now();
        let error = Client::new().get(&url).timeout(3 * SECOND).send().await.unwrap_err();
        assert!(matches!(error.kind(), ClientErrorKind::Timeout(TimeoutKind::Total, _)), "{error}");
        assert_eq!(time::now() - began, 3 * SECOND);

        let client = Client::new();
        let error = client.get(&url).send().await.unwrap_err();
        assert!(error.is_connect(), "{error}");
        let expected = format!(
            "GET {url}: connecting took longer than 10s; raise the limit with `connect_timeout`"
        );
        assert_eq!(error.to_string(), expected);
        assert_eq!((client.connections_opened(), client.connections_idle()), (0, 0));
    });
}

#[test]
fn a_body_may_take_long_but_not_pause_long() {
    on_loop(async {
        let (url, _server) = script(async |host| {
            let mut peer = host.accept().await;
            peer.head().await;
            peer.send("HTTP/1.1 200 OK\r\n\r\n").await;
            for _ in 0..5 {
                time::sleep(20 * SECOND).await;
                peer.send("x").await;
            }
            pending::<()>().await;
        });
        let client = Client::builder().body_rate(0).build();
        let silent = timed(text(&client, &url)).await;
        assert_eq!(silent, (TimeoutKind::Body, 30 * SECOND, 130));
        assert_eq!(client.connections_idle(), 0);
    });
}

#[test]
fn a_response_below_the_minimum_rate_ends_with_an_error() {
    on_loop(async {
        // A byte, and as many bytes as the rate demands, every 20 s.
        for (bytes, is_enough) in [(1, false), (20 * 240, true)] {
            let (url, _server) = script(async move |host| {
                let mut peer = host.accept().await;
                peer.head().await;
                peer.send("HTTP/1.1 200 OK\r\n\r\n").await;
                for _ in 0..20 {
                    time::sleep(20 * SECOND).await;
                    peer.send("x".repeat(bytes)).await;
                }
            });
            let began = time::now();
            let outcome = text(&Client::new(), &url).await;
            if is_enough {
                assert_eq!(outcome.unwrap().len(), 20 * bytes);
                continue;
            }
            let error = outcome.unwrap_err();
            assert!(matches!(error.kind(), ClientErrorKind::TooSlow(240)), "{error}");
            assert!(error.is_timeout(), "{error}");
            assert!(time::now() - began < 100 * SECOND, "{error}");
        }
    });
}

#[test]
fn an_upgraded_connection_that_is_silent_for_too_long_fails() {
    on_loop(async {
        let (url, server) = script(async |host| {
            let mut peer = host.accept().await;
            peer.head().await;
            peer.send("HTTP/1.1 101 Switching\r\nUpgrade: echo\r\n\r\n").await;
            for _ in 0..3 {
                time::sleep(500 * SECOND).await;
                peer.send("x").await;
            }
            peer
        });
        let request = Client::new().get(&url).header("connection", "upgrade");
        let response = request.header("upgrade", "echo").send().await.unwrap();
        let mut upgraded = response.upgrade().unwrap();
        let began = time::now();
        upgraded.read_exact(&mut [0; 3]).await.unwrap();
        let error = upgraded.read(&mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        assert_eq!((time::now() - began).as_secs(), 3 * 500 + 600);
        // A write that the system accepts counts too.
        upgraded.write_all(b"x").await.unwrap();
        let error = upgraded.read(&mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        assert_eq!((time::now() - began).as_secs(), 3 * 500 + 600 + 600);
        drop(server.await.unwrap());
    });
}

#[test]
fn the_first_error_of_a_request_that_is_built_is_returned() {
    on_loop(async {
        let client = Client::new();
        let error = client.get("ftp://host/").header("a b", "c").send().await.unwrap_err();
        assert!(matches!(error.kind(), ClientErrorKind::Url(_)), "{error}");
        let request = client.get("http://host/").header("a b", "c").header("d e", "f");
        let error = request.send().await.unwrap_err();
        assert!(
            matches!(error.kind(), ClientErrorKind::Header(name) if &**name == "a b"),
            "{error}"
        );
    });
}

#[test]
fn a_server_that_reads_nothing_causes_a_write_timeout() {
    on_loop(async {
        let (url, _server) = script(async |host| {
            let _peer = host.accept().await;
            pending::<()>().await;
        });
        let client = Client::new();
        let upload = async |body: Body| {
            let mut response = client.post(&url).body(body).send().await?;
            response.text().await
        };
        let full = timed(upload(vec![0; 64 * 1024 * 1024].into())).await;
        assert_eq!(full, (TimeoutKind::Write, 30 * SECOND, 30));
    });
}

#[test]
fn the_total_time_of_a_request_can_be_limited() {
    on_loop(async {
        let (url, _server) = script(async |host| {
            let mut peer = host.accept().await;
            peer.head().await;
            peer.send("HTTP/1.1 200 OK\r\n\r\n").await;
            loop {
                time::sleep(SECOND).await;
                peer.send("x").await;
            }
        });
        let client = Client::builder().timeout(3600 * SECOND).build();
        let mut response = client.get(&url).timeout(5 * SECOND).send().await.unwrap();
        let began = time::now();
        let error = response.text().await.unwrap_err();
        assert!(matches!(error.kind(), ClientErrorKind::Timeout(TimeoutKind::Total, _)), "{error}");
        assert_eq!((time::now() - began).as_secs(), 5);
    });
}

#[test]
fn a_slow_caller_causes_no_timeout() {
    on_loop(async {
        let (url, server) = answering(ok("hello"));
        let mut response = Client::new().get(&url).send().await.unwrap();
        time::sleep(3600 * SECOND).await;
        assert_eq!(response.text().await.unwrap(), "hello");
        server.await.unwrap();
    });
}

#[test]
fn a_slow_request_body_causes_no_timeout() {
    on_loop(async {
        let (url, server) = script(async |host| {
            let mut peer = host.accept().await;
            peer.until("0\r\n\r\n").await;
            peer.send(ok("done")).await;
        });
        use futures_util::StreamExt;
        let slow = stream::iter(0..3).then(async |_| {
            time::sleep(60 * SECOND).await;
            Ok::<_, ClientError>(Bytes::from_static(b"x"))
        });
        let request = Client::new().post(&url).body(Body::stream(slow));
        assert_eq!(request.send().await.unwrap().text().await.unwrap(), "done");
        server.await.unwrap();
    });
}

#[test]
fn a_refusal_ends_the_upload() {
    on_loop(async {
        let (url, server) = script(async |host| {
            let mut peer = host.accept().await;
            peer.until("\r\n\r\n5\r\nhello\r\n").await;
            peer.send("HTTP/1.1 413 No\r\nContent-Length: 3\r\n\r\nno!").await;
            peer.rest().await
        });
        use futures_util::StreamExt;
        let endless = stream::iter([Ok::<_, ClientError>(Bytes::from_static(b"hello"))])
            .chain(stream::pending());
        let client = Client::new();
        let mut response = client.post(&url).body(Body::stream(endless)).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(response.text().await.unwrap(), "no!");
        assert_eq!((server.await.unwrap(), client.connections_idle()), (b"".to_vec(), 0));
    });
}

#[test]
fn a_response_is_read_although_the_server_reads_no_more_of_the_request() {
    let (address, server) = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // Closing with a part of the request unread resets the connection.
        let server = std::thread::spawn(move || {
            use std::io::{Read, Write};
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0; 1024]).unwrap();
            stream.write_all(b"HTTP/1.1 413 No\r\nContent-Length: 3\r\n\r\nno!").unwrap();
        });
        (address, server)
    };
    run(async move {
        let body = vec![0; 64 * 1024 * 1024];
        let client = Client::new();
        let sent = client.post(format!("http://{address}/")).body(body).send().await;
        let mut response = sent.unwrap();
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(response.text().await.unwrap(), "no!");
        assert_eq!(client.connections_idle(), 0);
    });
    server.join().unwrap();
}

#[test]
fn a_body_that_contradicts_its_length_or_fails_ends_the_request() {
    on_loop(async {
        let client = Client::new();
        let failing = stream::iter([Ok(Bytes::from_static(b"hi")), Err("no more")]);
        for (body, expected) in [
            (Body::stream_with_length(9, parts(2, 4)), "1 bytes shorter"),
            (Body::stream_with_length(7, parts(2, 4)), "1 bytes longer"),
            (Body::stream(failing), "the body of the request failed: no more"),
        ] {
            let (url, server) = script(async |host| host.accept().await.rest().await);
            let error = client.post(&url).body(body).send().await.unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert!(!server.await.unwrap().ends_with(b"0\r\n\r\n"));
        }
        let (url, _server) = answering("");
        let error = client.get(&url).header("transfer-encoding", "chunked").send().await;
        let kind = error.unwrap_err();
        let refused = EncodeError::TransferEncoding;
        assert!(matches!(kind.kind(), ClientErrorKind::Encode(found) if *found == refused));
    });
}

/// Sends a request that expects 100 to a server that follows `play`. Returns the status, what
/// `play` returned, and the time.
async fn expecting<F>(play: impl FnOnce(Host) -> F) -> (StatusCode, F::Output, Duration)
where
    F: Future<Output: 'static> + 'static,
{
    let (url, server) = script(play);
    let began = time::now();
    let request = Client::new().put(&url).header("expect", "100-continue").body("hello");
    let status = request.send().await.unwrap().status();
    (status, server.await.unwrap(), time::now() - began)
}

#[test]
fn a_body_waits_at_most_a_second_for_a_100() {
    on_loop(async {
        let told = expecting(async |host| {
            let mut peer = host.accept().await;
            peer.head().await;
            time::sleep(SECOND / 2).await;
            assert_eq!(peer.unread(), b"");
            peer.send("HTTP/1.1 100 Continue\r\n\r\n").await;
            peer.until("hello").await;
            peer.send(ok("")).await;
        });
        // With another deadline in between the clock does not jump to the end of the second.
        let ticking = spawn(async {
            loop {
                time::sleep(SECOND / 10).await;
            }
        });
        let (status, (), took) = told.await;
        assert!(status.is_success() && took < SECOND, "{status} after {took:?}");
        JoinHandle::<()>::abort(&ticking);
        let not_told = expecting(async |host| {
            let mut peer = host.accept().await;
            peer.head().await;
            peer.until("hello").await;
            peer.send(ok("")).await;
        });
        assert_eq!(not_told.await, (StatusCode::OK, (), SECOND));
        let refused = expecting(async |host| {
            let mut peer = host.accept().await;
            peer.head().await;
            peer.send("HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n").await;
            peer.rest().await
        });
        let nothing = (StatusCode::EXPECTATION_FAILED, Vec::new(), Duration::ZERO);
        assert_eq!(refused.await, nothing);
        let indifferent = expecting(async |host| {
            let mut peer = host.accept().await;
            peer.head().await;
            peer.send(ok("")).await;
            peer.rest().await
        });
        assert_eq!(indifferent.await, (StatusCode::OK, Vec::new(), Duration::ZERO));
    });
}

#[test]
fn a_connection_speaks_another_protocol_after_101() {
    on_loop(async {
        let (url, server) = script(async |host| {
            let mut peer = host.accept().await;
            peer.head().await;
            peer.send("HTTP/1.1 101 Switching\r\nUpgrade: echo\r\n\r\nwel").await;
            peer.until("hello").await;
            peer.send("come").await;
        });
        let request = Client::new().get(&url).header("connection", "upgrade");
        let mut response = request.header("upgrade", "echo").send().await.unwrap();
        assert!(response.chunk().await.is_none());
        let mut upgraded = response.upgrade().unwrap();
        upgraded.write_all(b"hello").await.unwrap();
        let mut received = String::new();
        upgraded.read_to_string(&mut received).await.unwrap();
        assert_eq!(received, "welcome");
        server.await.unwrap();
        let (url, _server) = answering(ok("hi"));
        assert!(Client::new().get(&url).send().await.unwrap().upgrade().is_none());
    });
}

#[test]
fn errors_name_the_request_and_the_cause() {
    on_loop(async {
        let client = Client::new();
        let message = async |url: &str| client.get(url).send().await.unwrap_err().to_string();
        let ftp = message("ftp://u:secret@example.org/").await;
        assert!(ftp.contains("scheme") && !ftp.contains("secret"), "{ftp}");
        assert!(message("no url").await.starts_with("GET no url: the URL"));
        let bad = client.get("http://a/").header("x y", "z").header("q", "ok").send().await;
        assert!(bad.unwrap_err().to_string().contains("'x y'"));
        let unused = Host::new().url("/x");
        let refused = client.get(&unused).send().await.unwrap_err();
        assert!(
            refused.is_connect() && refused.to_string().starts_with(&format!("GET {unused}: "))
        );
        assert_eq!(std::io::Error::from(refused).kind(), std::io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn folded_header_lines_of_a_response_are_joined_by_a_space() {
    let answer =
        |line: &str| format!("HTTP/1.1 200 OK\r\nA: b\r\n{line}\r\nContent-Length: 2\r\n\r\nhi");
    for (line, value) in [
        ("X: a\r\n b", "a b"),
        ("X: a \t\r\n \t b  \r\n\tc", "a b c"),
        ("X:\r\n a", "a"),
        ("X: a\r\n ", "a"),
        ("X: a\r\n y: b", "a y: b"),
    ] {
        let answer = answer(line);
        let seen = on_loop(async move {
            let (url, peer) = answering(answer);
            let mut response = Client::new().get(&url).send().await.unwrap();
            let value = String::from_utf8(response.header("x").unwrap().to_vec()).unwrap();
            let count = response.headers().len();
            let text = response.text_with_limit(10).await.unwrap();
            drop(peer);
            (value, count, text)
        });
        assert_eq!(seen, (value.to_owned(), 3, "hi".to_owned()), "{line:?}");
    }
}

#[test]
fn a_folded_header_that_frames_a_response_is_an_error() {
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length:\r\n 2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n \r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\t\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n Content-Length: 2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nD : e\r\nContent-Length: 2\r\n\r\nhi",
    ] {
        assert!(read(head).is_err(), "{head:?}");
    }
}
