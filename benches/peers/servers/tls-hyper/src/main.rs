//! hyper on tokio's current-thread runtime, over tokio-rustls, with HTTP/1.1 and HTTP/2 by ALPN.

use std::io;
use std::sync::Arc;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use peer_common::Options;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio_rustls::TlsAcceptor;

fn main() -> io::Result<()> {
    let options = Options::from_args();
    let acceptor = TlsAcceptor::from(Arc::new(peer_tls_common::config()?));
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::from_std(peer_common::listen(options.listen)?)?;
        println!("listening on https://{} (tokio)", options.listen);
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(serve(acceptor.clone(), stream));
        }
    })
}

async fn serve(acceptor: TlsAcceptor, stream: TcpStream) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let stream = TokioIo::new(stream);
    let service = service_fn(|request| peer_hyper_service::respond(request, tokio::time::sleep));
    // A client that disconnects within a request is not an error of the server.
    let _ = match is_http2 {
        true => http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await,
        false => http1::Builder::new().serve_connection(stream, service).await,
    };
}
