//! axum on axum-server, over rustls and tokio's current-thread runtime, with HTTP/1.1 and HTTP/2.

use std::io;
use std::sync::Arc;

use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use peer_common::Options;
use tokio::runtime::Builder;

fn main() -> io::Result<()> {
    let options = Options::from_args();
    let config = RustlsConfig::from_config(Arc::new(peer_tls_common::config()?));
    let acceptor = RustlsAcceptor::new(config).acceptor(NoDelayAcceptor::new());
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let server = axum_server::from_tcp(peer_common::listen(options.listen)?)?;
        println!("listening on https://{} (tokio)", options.listen);
        let router = peer_axum_service::router(tokio::time::sleep);
        server.acceptor(acceptor).serve(router.into_make_service()).await
    })
}
