//! hyper's servers and clients on our loops.
#![forbid(unsafe_code)]
#![cfg(feature = "hyper")]

use std::convert::Infallible;
use std::time::Duration;

use brigade_http::bridge::{HyperExecutor, HyperIo, HyperTimer};
use brigade_runtime::net::{TcpListener, TcpStream};
use brigade_runtime::{EventLoop, run, spawn, time};
use bytes::Bytes;
use futures_util::{AsyncReadExt, AsyncWriteExt};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBuf, Write};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;

async fn respond(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await?.to_bytes();
    Ok(Response::new(Full::new(format!("{path} {}", body.len()).into())))
}

/// Returns two ends of a connection.
async fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

#[test]
fn http1_of_hyper_is_served_and_requested_on_a_loop() {
    run(async {
        let (client, server) = connection().await;
        let server = http1::Builder::new()
            .timer(HyperTimer)
            .serve_connection(HyperIo::new(server), service_fn(respond));
        spawn(server).detach();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(HyperIo::new(client)).await.unwrap();
        spawn(connection).detach();
        for size in [0, 5, 300_000] {
            let request = Request::post("/upload").body(Full::new(Bytes::from(vec![7; size])));
            let response = sender.send_request(request.unwrap()).await.unwrap();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, format!("/upload {size}"));
        }
    });
}

#[test]
fn http2_of_hyper_is_served_and_requested_on_a_loop() {
    run(async {
        let (client, server) = connection().await;
        let server = http2::Builder::new(HyperExecutor)
            .timer(HyperTimer)
            .keep_alive_interval(Duration::from_secs(10))
            .serve_connection(HyperIo::new(server), service_fn(respond));
        spawn(server).detach();
        let (sender, connection) =
            hyper::client::conn::http2::handshake(HyperExecutor, HyperIo::new(client))
                .await
                .unwrap();
        spawn(connection).detach();
        let requests = (0..20).map(|number| {
            let mut sender = sender.clone();
            async move {
                let body = Full::new(Bytes::from(vec![7; 100 * number]));
                let request = Request::post(format!("http://a/{number}")).body(body).unwrap();
                let response = sender.send_request(request).await.unwrap();
                let body = response.into_body().collect().await.unwrap().to_bytes();
                assert_eq!(body, format!("/{number} {}", 100 * number));
            }
        });
        futures_util::future::join_all(requests).await;
    });
}

#[cfg(feature = "tower")]
#[test]
fn our_router_is_served_by_hyper_over_http2() {
    use brigade_http::{Router, get};

    run(async {
        let greet = async |request: brigade_http::Request| {
            let host = request.host().unwrap_or_default().to_owned();
            format!("hello {} at {host}", request.param("name").unwrap_or_default())
        };
        let service = Router::new().route("/greet/{name}", get(greet)).into_tower_service();
        let (client, server) = connection().await;
        let server =
            http2::Builder::new(HyperExecutor).serve_connection(HyperIo::new(server), service);
        spawn(server).detach();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(HyperExecutor, HyperIo::new(client))
                .await
                .unwrap();
        spawn(connection).detach();
        let request = Request::get("http://host.example/greet/ada").body(Empty::<Bytes>::new());
        let response = sender.send_request(request.unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "hello ada at host.example");
    });
}

#[test]
fn a_connection_is_upgraded_by_hyper() {
    run(async {
        let (mut client, server) = connection().await;
        let upgrade = service_fn(async |mut request: Request<Incoming>| {
            spawn(async move {
                let io = hyper::upgrade::on(&mut request).await.unwrap();
                let mut io = io.downcast::<HyperIo<TcpStream>>().unwrap();
                let early = std::mem::take(&mut io.read_buf);
                let mut stream = io.io.into_inner();
                AsyncWriteExt::write_all(&mut stream, &early).await.unwrap();
            })
            .detach();
            let mut response = Response::new(Empty::<Bytes>::new());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("echo"));
            Ok::<_, Infallible>(response)
        });
        let server =
            http1::Builder::new().serve_connection(HyperIo::new(server), upgrade).with_upgrades();
        spawn(server).detach();
        let request =
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nhi";
        AsyncWriteExt::write_all(&mut client, request).await.unwrap();
        let mut received = String::new();
        client.read_to_string(&mut received).await.unwrap();
        assert!(received.starts_with("HTTP/1.1 101 "), "{received}");
        assert!(received.ends_with("\r\n\r\nhi"), "{received}");
    });
}

#[test]
fn hypers_timeouts_are_those_of_the_loop() {
    // The clock jumps, so an hour takes no time; the client sends nothing, so nothing is missed.
    EventLoop::builder().manual_clock(true).build().unwrap().run_until_complete(async {
        let (_client, server) = connection().await;
        let began = time::now();
        let served = http1::Builder::new()
            .timer(HyperTimer)
            .header_read_timeout(Duration::from_secs(3600))
            .serve_connection(HyperIo::new(server), service_fn(respond))
            .await;
        assert!(served.unwrap_err().is_timeout());
        assert_eq!(time::now() - began, Duration::from_secs(3600));
    });
}

#[test]
fn a_read_fills_no_more_than_hypers_buffer() {
    run(async {
        let (client, server) = connection().await;
        client.write_all(b"0123456789").await.unwrap();
        let mut server = HyperIo::new(server);
        let mut read = async |room: usize| {
            let mut memory = vec![0; room];
            let mut buffer = ReadBuf::new(&mut memory);
            let read = std::future::poll_fn(|cx| {
                std::pin::Pin::new(&mut server).poll_read(cx, buffer.unfilled())
            });
            read.await.unwrap();
            buffer.filled().to_vec()
        };
        assert_eq!(read(4).await, b"0123");
        assert_eq!(read(100).await, b"456789");
        let is_vectored = Write::is_write_vectored(&HyperIo::new(client));
        assert!(is_vectored);
    });
}
