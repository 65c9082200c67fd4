//! tokio's traits on TLS streams.
#![forbid(unsafe_code)]

// crates
use brigade_runtime::net::{SendIo, UnixStream};
use brigade_runtime::tls::{TlsAcceptor, TlsConnector};
use brigade_runtime::{run, spawn};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

// ours
#[path = "support/tls.rs"]
mod tls;
use tls::Authority;

#[test]
fn tls_streams_read_and_write_by_tokios_traits() {
    run(async {
        let authority = Authority::new();
        let connector = TlsConnector::builder().roots(authority.roots()).build().unwrap();
        let acceptor = TlsAcceptor::new(authority.server());
        let (one, other) = UnixStream::pair().unwrap();
        let echo = spawn(async move {
            let mut stream = acceptor.accept(other).await.unwrap();
            let mut received = Vec::new();
            AsyncReadExt::read_to_end(&mut stream, &mut received).await.unwrap();
            AsyncWriteExt::write_all(&mut stream, &received).await.unwrap();
            // Sends `close_notify`.
            AsyncWriteExt::shutdown(&mut stream).await.unwrap();
        });
        let mut client = SendIo::new(connector.connect(one, "localhost").await.unwrap());
        let sent = vec![b'x'; 300_000];
        AsyncWriteExt::write_all(&mut client, &sent).await.unwrap();
        AsyncWriteExt::flush(&mut client).await.unwrap();
        AsyncWriteExt::shutdown(&mut client).await.unwrap();
        let mut received = Vec::new();
        AsyncReadExt::read_to_end(&mut client, &mut received).await.unwrap();
        assert!(received == sent);
        echo.await.unwrap();
    });
}
