//! A proxy: hyper's server and hyper-util's pooled client, on tokio's current-thread runtime.

use std::error::Error;
use std::io;
use std::net::SocketAddr;

use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::Authority;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

/// What a proxy does not send on (RFC 9110 section 7.6.1).
const HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

#[derive(Clone)]
struct Proxy {
    client: Client<HttpConnector, Incoming>,
    backend: Authority,
}

fn main() -> Result<(), Box<dyn Error>> {
    let value = |name: &str| {
        let mut args = std::env::args().skip_while(|arg| arg != name);
        args.nth(1).ok_or(format!("{name} is missing"))
    };
    let (listen, backend) = (value("--listen")?, value("--backend")?);
    let backend = backend.parse()?;
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let mut client = Client::builder(TokioExecutor::new());
        let client = client.pool_timer(TokioTimer::new()).build(connector);
        let proxy = Proxy { client, backend };
        let listener = TcpListener::bind(&listen).await?;
        println!("listening on http://{listen} (tokio)");
        loop {
            let (stream, peer) = listener.accept().await?;
            tokio::spawn(serve(stream, peer, proxy.clone()));
        }
    })
}

async fn serve(stream: TcpStream, peer: SocketAddr, proxy: Proxy) {
    let service = service_fn(|request| proxy.forward(request, peer));
    if stream.set_nodelay(true).is_ok() {
        // A client that disconnects within a request is not an error of the server.
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }
}

impl Proxy {
    async fn forward(
        &self,
        mut request: Request<Incoming>,
        peer: SocketAddr,
    ) -> io::Result<Response<Incoming>> {
        let mut uri = std::mem::take(request.uri_mut()).into_parts();
        uri.scheme = Some(hyper::http::uri::Scheme::HTTP);
        uri.authority = Some(self.backend.clone());
        *request.uri_mut() = Uri::from_parts(uri).map_err(io::Error::other)?;
        remove_hop_by_hop(request.headers_mut());
        let peer = HeaderValue::try_from(peer.ip().to_string()).map_err(io::Error::other)?;
        request.headers_mut().append("x-forwarded-for", peer);
        let mut response = self.client.request(request).await.map_err(io::Error::other)?;
        remove_hop_by_hop(response.headers_mut());
        Ok(response)
    }
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}
