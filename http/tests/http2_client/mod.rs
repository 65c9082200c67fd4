//! A server that speaks HTTP/2 without TLS, and a client of hyper for it.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::convert::Infallible;
use std::net::SocketAddr;

use brigade_http::bridge::{HyperExecutor, HyperIo};
use brigade_http::{
    Body, BodyError, BodyLength, BoxError, Bytes, Http2Options, Part, Request, Response, Router,
    Server,
};
use brigade_runtime::net::TcpStream;
use brigade_runtime::{JoinHandle, local, spawn};
use futures_util::{StreamExt, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::{Builder, SendRequest};

use crate::sockets::TestServer;

pub type AnyBody = UnsyncBoxBody<Bytes, Infallible>;
pub type Received = http::Response<Incoming>;

/// Starts a server with one loop that allows HTTP/2 without TLS.
pub fn start(app: impl Fn() -> Router + Clone + Send + 'static) -> TestServer {
    TestServer::start_with(allowed, app)
}

/// Sets the options of [`start`].
pub fn allowed(server: Server) -> Server {
    let http2 = Http2Options { prior_knowledge: true, ..Http2Options::default() };
    server.loops(1).pin(false).http2(http2)
}

/// A client with one connection.
pub struct Client {
    pub sender: SendRequest<AnyBody>,
    pub connection: JoinHandle<hyper::Result<()>>,
}

impl Client {
    pub async fn connect(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).await.unwrap();
        let io = HyperIo::new(stream);
        let (sender, connection) = Builder::new(HyperExecutor).handshake(io).await.unwrap();
        Self { sender, connection: spawn(connection) }
    }

    pub async fn try_send(&self, request: http::Request<AnyBody>) -> hyper::Result<Received> {
        let mut sender = self.sender.clone();
        sender.ready().await?;
        sender.send_request(request).await
    }

    pub async fn send(&self, request: http::Request<AnyBody>) -> Received {
        self.try_send(request).await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Received {
        self.send(request("GET", path)).await
    }
}

/// Returns a request without a body.
pub fn request(method: &str, path: &str) -> http::Request<AnyBody> {
    with_body(method, path, Empty::new().boxed_unsync())
}

/// Returns a request with a body.
pub fn with_body(method: &str, path: &str, body: AnyBody) -> http::Request<AnyBody> {
    let uri = format!("http://host.example{path}");
    http::Request::builder().method(method).uri(uri).body(body).unwrap()
}

/// Returns a body that is complete.
pub fn full(bytes: impl Into<Bytes>) -> AnyBody {
    Full::new(bytes.into()).boxed_unsync()
}

/// Returns a body of the parts that are sent through a channel. It ends when the sender is dropped.
pub fn channel_body() -> (local::Sender<Frame<Bytes>>, AnyBody) {
    let (sender, parts) = local::unbounded_channel();
    let parts = futures_util::stream::unfold(parts, async |mut parts: local::Receiver<_>| {
        Some((parts.recv().await?, parts))
    });
    // The body is polled only on the thread of the test.
    let parts = send_wrapper::SendWrapper::new(Box::pin(parts.map(Ok)));
    (sender, StreamBody::new(parts).boxed_unsync())
}

/// Returns the body of a response as text.
pub async fn text(response: Received) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

/// Responds with the body of the request.
pub async fn echo(request: Request) -> Body {
    request.into_body()
}

/// Responds with the number of bytes, and with the trailers of the request.
pub async fn count(mut request: Request) -> Result<Response, BodyError> {
    let mut bytes = 0;
    while let Some(part) = request.body_mut().chunk().await {
        bytes += part?.len();
    }
    let trailers = request.body_mut().trailers().cloned().unwrap_or_default();
    let parts: [Result<Part, BoxError>; 2] =
        [Ok(Part::Data(bytes.to_string().into())), Ok(Part::Trailers(trailers))];
    Ok(Response::new(Body::parts(stream::iter(parts), BodyLength::Unknown)))
}
