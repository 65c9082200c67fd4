//! futures-rustls: TLS over our streams.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::sync::Arc;

use brigade::http::{ConnectionServer, Router, get};
use brigade::net::{TcpListener, TcpStream};
use futures_rustls::rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use futures_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use futures_rustls::{TlsAcceptor, TlsConnector};
use futures_util::{AsyncReadExt, AsyncWriteExt};

/// Returns the configurations of a server and of a client that trusts it.
fn configurations() -> (ServerConfig, ClientConfig) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let certificate = made.cert.der().clone();
    let server = ServerConfig::builder().with_no_client_auth();
    let server = server.with_single_cert(vec![certificate.clone()], key.into()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    (server, ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

/// Sends `data` to the server over TLS, and returns all that it sends back.
async fn exchange(server: SocketAddr, client: ClientConfig, data: &[u8]) -> Vec<u8> {
    let stream = TcpStream::connect(server).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(client));
    let mut stream = connector.connect(name, stream).await.unwrap();
    stream.write_all(data).await.unwrap();
    let mut received = Vec::new();
    // Returns an error unless the server ends with `close_notify`.
    stream.read_to_end(&mut received).await.unwrap();
    received
}

#[test]
fn tls_is_spoken_over_our_streams() {
    let (server, client) = configurations();
    brigade::run(async move {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let echo = brigade::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = TlsAcceptor::from(Arc::new(server)).accept(stream).await.unwrap();
            let mut received = [0; 5];
            stream.read_exact(&mut received).await.unwrap();
            stream.write_all(&received).await.unwrap();
            stream.close().await.unwrap();
        });
        assert_eq!(exchange(address, client, b"hello").await, b"hello");
        echo.await.unwrap();
    });
}

#[test]
fn http_is_served_over_its_streams() {
    let (server, client) = configurations();
    brigade::run(async move {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serving = brigade::spawn(async move {
            let (stream, peer) = listener.accept().await.unwrap();
            let stream = TlsAcceptor::from(Arc::new(server)).accept(stream).await.unwrap();
            let routes = Router::new().route("/", get(async || vec![b'x'; 200_000]));
            let server = ConnectionServer::new(routes);
            server.serve_connection(stream, peer.into()).await;
            assert_eq!(server.requests().total, 1);
        });
        let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let response = exchange(address, client, request).await;
        assert!(response.starts_with(b"HTTP/1.1 200 OK\r\n"));
        assert!(response.ends_with(&vec![b'x'; 200_000]));
        serving.await.unwrap();
    });
}
