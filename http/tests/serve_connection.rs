//! HTTP over streams that are no sockets: here one that buffers, and accepts a few bytes at a time.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use brigade_http::{
    Body, ConnectionServer, HeaderValue, Limits, PeerAddr, Request, Response, Router, StatusCode,
    Timeouts, get, post,
};
use brigade_runtime::local::Notify;
use brigade_runtime::{JoinHandle, run, spawn, task};
use bytes::Bytes;
use futures_util::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// One direction of a pipe.
#[derive(Default)]
struct Channel {
    bytes: RefCell<VecDeque<u8>>,
    is_closed: Cell<bool>,
    reader: RefCell<Option<Waker>>,
    writer: RefCell<Option<Waker>>,
}

/// The most bytes that are on their way in a direction.
const PIPE_BYTES: usize = 1000;

impl Channel {
    fn read(&self, cx: &Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut bytes = self.bytes.borrow_mut();
        let count = bytes.len().min(buffer.len());
        if count == 0 && !self.is_closed.get() {
            *self.reader.borrow_mut() = Some(cx.waker().clone());
            return Poll::Pending;
        }
        buffer.iter_mut().zip(bytes.drain(..count)).for_each(|(to, from)| *to = from);
        self.writer.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(count))
    }

    fn write(&self, cx: &Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_closed.get() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let mut bytes = self.bytes.borrow_mut();
        let count = data.len().min(PIPE_BYTES - bytes.len());
        if count == 0 {
            *self.writer.borrow_mut() = Some(cx.waker().clone());
            return Poll::Pending;
        }
        bytes.extend(&data[..count]);
        self.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(count))
    }

    fn close(&self) {
        self.is_closed.set(true);
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }
}

/// One end of a pipe. What is written arrives when it is flushed.
struct End {
    incoming: Rc<Channel>,
    outgoing: Rc<Channel>,
    unflushed: VecDeque<u8>,
}

fn pipe() -> (End, End) {
    let channels = [Rc::<Channel>::default(), Rc::default()];
    let end = |from: usize, to: usize| End {
        incoming: channels[from].clone(),
        outgoing: channels[to].clone(),
        unflushed: VecDeque::new(),
    };
    (end(0, 1), end(1, 0))
}

impl AsyncRead for End {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.incoming.read(cx, buffer)
    }
}

impl AsyncWrite for End {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.unflushed.len() >= PIPE_BYTES && self.as_mut().poll_flush(cx)?.is_pending() {
            return Poll::Pending;
        }
        let count = data.len().min(2 * PIPE_BYTES - self.unflushed.len());
        self.unflushed.extend(&data[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { unflushed, outgoing, .. } = &mut *self;
        while !unflushed.is_empty() {
            match outgoing.write(cx, unflushed.make_contiguous()) {
                Poll::Ready(Ok(count)) => drop(unflushed.drain(..count)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.as_mut().poll_flush(cx);
        if flushed.is_ready() {
            self.outgoing.close();
        }
        flushed
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.incoming.close();
        self.outgoing.close();
    }
}

/// Serves a pipe in a task of its own. Returns the client's end.
fn serve(server: &ConnectionServer) -> (End, JoinHandle<()>) {
    let (client, end) = pipe();
    let server = server.clone();
    let serving = spawn(async move { server.serve_connection(end, PeerAddr::Unix).await });
    (client, serving)
}

/// Sends `request`, which says `Connection: close`, and returns the response.
async fn exchange(client: &mut End, request: &str) -> String {
    client.write_all(request.as_bytes()).await.unwrap();
    client.flush().await.unwrap();
    let mut response = Vec::new();
    client.read_to_end(&mut response).await.unwrap();
    String::from_utf8_lossy(&response).into_owned()
}

const LARGE: usize = 300_000;

fn routes() -> Router {
    Router::new()
        .route("/", get(async || "hello"))
        .route("/large", get(async || vec![b'x'; LARGE]))
        .route(
            "/stream",
            get(async || {
                let parts = (0..100).map(|_| Ok::<_, io::Error>(Bytes::from(vec![b'y'; 3000])));
                Body::stream(futures_util::stream::iter(parts))
            }),
        )
        .route(
            "/count",
            post(async |mut request: Request| {
                let body = request.body_mut().collect(1_000_000).await;
                body.map_or(0, |body| body.len()).to_string()
            }),
        )
        .route(
            "/upgrade",
            get(async || {
                Response::upgrade(HeaderValue::from_static("echo"), async |mut io| {
                    let mut buffer = [0; 5];
                    io.read_exact(&mut buffer).await.unwrap();
                    io.write_all(&buffer).await.unwrap();
                    io.close().await.unwrap();
                })
            }),
        )
}

fn server() -> ConnectionServer {
    ConnectionServer::new(routes())
}

fn request(line: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
}

#[test]
fn a_response_is_flushed_and_the_stream_closed() {
    run(async {
        let (mut client, serving) = serve(&server());
        let response = exchange(&mut client, &request("GET /")).await;
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
        assert!(response.ends_with("\r\n\r\nhello"), "{response}");
        serving.await.unwrap();
    });
}

#[test]
fn requests_follow_one_another_and_are_counted() {
    run(async {
        let server = server();
        let (mut client, _serving) = serve(&server);
        let mut buffer = [0; 1000];
        for _ in 0..3 {
            client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
            client.flush().await.unwrap();
            let read = client.read(&mut buffer).await.unwrap();
            assert!(buffer[..read].ends_with(b"hello"));
        }
        let requests = server.requests();
        assert_eq!((requests.total, requests.in_flight, requests.responses[1]), (3, 0, 3));
    });
}

#[test]
fn a_body_that_the_stream_takes_in_small_pieces_arrives_whole() {
    run(async {
        for (path, length) in [("/large", LARGE), ("/stream", 300_000)] {
            let (mut client, _serving) = serve(&server());
            let line = format!("GET {path}");
            let request = request(&line).replace("HTTP/1.1", "HTTP/1.0");
            let response = exchange(&mut client, &request).await;
            let (head, body) = response.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
            assert_eq!(body.len(), length, "{path}");
        }
    });
}

#[test]
fn a_large_body_of_a_request_is_read() {
    run(async {
        let (mut client, _serving) = serve(&server());
        let head = request("POST /count").replace("\r\n\r\n", "\r\nContent-Length: 200000\r\n\r\n");
        let response = exchange(&mut client, &(head + &"z".repeat(200_000))).await;
        assert!(response.ends_with("\r\n\r\n200000"), "{response}");
    });
}

#[test]
fn the_handler_is_dropped_when_the_peer_closes() {
    struct OnDrop(Notify);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    run(async {
        let (started, dropped) = (Notify::new(), Notify::new());
        let signals = (started.clone(), dropped.clone());
        let handler = async move || {
            let _on_drop = OnDrop(signals.1.clone());
            signals.0.notify_one();
            std::future::pending::<&str>().await
        };
        let server = ConnectionServer::new(Router::new().route("/", get(handler)));
        let (mut client, serving) = serve(&server);
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        client.flush().await.unwrap();
        started.notified().await;
        drop(client);
        dropped.notified().await;
        serving.await.unwrap();
        assert_eq!(server.requests().unanswered, 1);
    });
}

#[test]
fn an_upgraded_connection_is_no_socket_and_is_read_and_written() {
    run(async {
        let (mut client, serving) = serve(&server());
        let head =
            "GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
        let response = exchange(&mut client, &format!("{head}early")).await;
        assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
        assert!(response.ends_with("\r\n\r\nearly"), "{response}");
        serving.await.unwrap();
    });
}

#[test]
fn idle_connections_end_when_the_server_drains() {
    run(async {
        let server = server();
        let (mut client, serving) = serve(&server);
        task::yield_now().await;
        server.drain();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        assert!(rest.is_empty());
        serving.await.unwrap();
    });
}

#[test]
fn limits_hold_for_the_connection() {
    run(async {
        let limits = Limits { head_bytes_max: 200, ..Limits::default() };
        let server = ConnectionServer::with_options(routes(), limits, Timeouts::default());
        let (mut client, _serving) = serve(&server);
        let long = request(&format!("GET /{}", "a".repeat(300)));
        let response = exchange(&mut client, &long).await;
        let refused = [StatusCode::URI_TOO_LONG, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE];
        let is_refused = refused.iter().any(|status| response.contains(status.as_str()));
        assert!(is_refused, "{response}");
    });
}

#[cfg(feature = "files")]
#[test]
fn a_file_is_sent_without_a_socket() {
    run(async {
        let file = std::env::temp_dir().join(format!("brigade-serve-{}", std::process::id()));
        std::fs::write(&file, vec![b'f'; LARGE]).unwrap();
        let path = file.clone();
        let handler = async move |request: Request| brigade_http::serve_file(&path, &request).await;
        let server = ConnectionServer::new(Router::new().route("/", get(handler)));
        let (mut client, _serving) = serve(&server);
        let response = exchange(&mut client, &request("GET /")).await;
        std::fs::remove_file(&file).unwrap();
        assert_eq!(response.split_once("\r\n\r\n").unwrap().1.len(), LARGE);
    });
}
