//! The client over Unix sockets.
#![forbid(unsafe_code)]

mod scripted;
mod unix;

use brigade_http::{Body, Client, ClientError, ClientErrorKind};
use brigade_runtime::net::UnixListener;
use brigade_runtime::{spawn, task};
use bytes::Bytes;
use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use futures_util::stream;
use scripted::{ok, on_loop};
use unix::{Folder, Visitor};

#[test]
fn requests_share_a_connection_and_have_the_host_of_their_url() {
    on_loop(async {
        let folder = Folder::new("shared");
        let path = folder.path("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let server = spawn(async move {
            let mut peer = Visitor::accept(&listener).await;
            let mut heads = Vec::new();
            for body in ["first", "second"] {
                heads.push(peer.until("\r\n\r\n").await);
                peer.send(&ok(body)).await;
            }
            heads
        });
        let client = Client::unix(&path);
        for (path, body) in [("a?b", "first"), ("c", "second")] {
            let mut response = client.get(format!("http://docker:99/{path}")).send().await.unwrap();
            assert_eq!(response.text().await.unwrap(), body);
        }
        assert_eq!((client.connections_opened(), client.connections_idle()), (1, 1));
        let heads = server.await.unwrap();
        assert_eq!(heads[0], "GET /a?b HTTP/1.1\r\nhost: docker:99\r\n\r\n");
        assert_eq!(heads[1], "GET /c HTTP/1.1\r\nhost: docker:99\r\n\r\n");
    });
}

#[test]
fn a_kept_connection_that_the_server_closed_is_not_reused() {
    on_loop(async {
        let folder = Folder::new("closed");
        let path = folder.path("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let server = spawn(async move {
            for body in ["first", "second"] {
                let mut peer = Visitor::accept(&listener).await;
                peer.until("\r\n\r\n").await;
                peer.send(&ok(body)).await;
            }
        });
        let client = Client::unix(&path);
        for body in ["first", "second"] {
            let mut response = client.post("http://a/").body("x").send().await.unwrap();
            assert_eq!(response.text().await.unwrap(), body);
            task::yield_now().await;
        }
        assert_eq!(client.connections_opened(), 2);
        server.await.unwrap();
    });
}

#[test]
fn large_bodies_stream_both_ways() {
    const PARTS: usize = 100;
    on_loop(async {
        let folder = Folder::new("large");
        let path = folder.path("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let server = spawn(async move {
            let mut peer = Visitor::accept(&listener).await;
            peer.until("\r\n\r\n").await;
            peer.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 30_000 * PARTS))
                .await;
            for _ in 0..PARTS {
                let part = vec![0; 30_000];
                peer.until(&"x".repeat(30_000)).await;
                peer.send(str::from_utf8(&part).unwrap()).await;
            }
        });
        let part = Bytes::from("x".repeat(30_000));
        let parts = stream::iter((0..PARTS).map(move |_| Ok::<_, ClientError>(part.clone())));
        let body = Body::stream_with_length(30_000 * PARTS as u64, parts);
        let mut response = Client::unix(&path).post("http://a/").body(body).send().await.unwrap();
        assert_eq!(response.bytes().await.unwrap().len(), 30_000 * PARTS);
        server.await.unwrap();
    });
}

#[test]
fn a_socket_that_is_missing_is_an_error_with_its_path() {
    on_loop(async {
        let folder = Folder::new("missing");
        let path = folder.path("socket");
        let error = Client::unix(&path).get("http://a/x").send().await.unwrap_err();
        assert!(error.is_connect(), "{error}");
        let is_missing = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
        assert!(matches!(error.kind(), ClientErrorKind::Connect(error) if is_missing(error)));
        assert!(error.to_string().starts_with("GET http://a/x: "), "{error}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert!(error.into_request().is_some());
    });
}

#[test]
fn a_connection_can_be_upgraded() {
    on_loop(async {
        let folder = Folder::new("upgraded");
        let path = folder.path("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let server = spawn(async move {
            let mut peer = Visitor::accept(&listener).await;
            let head = peer.until("\r\n\r\n").await;
            assert!(head.contains("\r\nconnection: upgrade\r\n"), "{head}");
            peer.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: tcp\r\n\r\nearly").await;
            assert_eq!(peer.until("ping").await, "ping");
            peer.send("pong").await;
        });
        let request = Client::unix(&path).post("http://a/attach").header("upgrade", "tcp");
        let mut upgraded = request.send().await.unwrap().upgrade().unwrap();
        upgraded.write_all(b"ping").await.unwrap();
        let mut received = [0; 9];
        upgraded.read_exact(&mut received).await.unwrap();
        assert_eq!(&received, b"earlypong");
        server.await.unwrap();
    });
}
