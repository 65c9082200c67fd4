//! brigade over TLS, with HTTP/1.1 and HTTP/2 by ALPN.

use std::convert::Infallible;
use std::env;
use std::io;

use brigade::http::{Body, Request, Response, Router, Server, get};
use brigade::tls::TlsConfig;
use bytes::Bytes;
use futures_util::stream;
use peer_common::{HELLO, Options, TEXT};

fn main() -> io::Result<()> {
    let options = Options::from_args();
    let file = |name| env::var_os(name).ok_or_else(|| io::Error::other(name));
    let config = TlsConfig::from_pem_files(file("PEER_CERTIFICATE")?, file("PEER_KEY")?);
    // The harness pins the process.
    let server = Server::bind(options.listen)?.loops(options.loops).pin(false);
    println!("listening on https://{} (epoll)", options.listen);
    server.tls(config.map_err(io::Error::other)?).run(router).map(drop)
}

fn router() -> Router {
    Router::new()
        .route("/", get(async || Response::typed(TEXT, HELLO)))
        .route("/download/{bytes}", get(download))
}

async fn download(request: Request) -> Option<Response> {
    let bytes = request.param("bytes")?.parse().ok()?;
    let zeros = peer_common::pieces(bytes).map(|piece| Ok(Bytes::from_static(piece)));
    let zeros = stream::iter(zeros.map(|piece: Result<_, Infallible>| piece));
    Some(Response::typed(TEXT, Body::stream_with_length(bytes, zeros)))
}
