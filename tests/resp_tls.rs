//! The example `resp` over TLS, as a process.
#![forbid(unsafe_code)]

mod common;

use std::net::SocketAddr;
use std::path::Path;

use brigade::net::TcpStream;
use brigade::tls::{TlsConnector, TlsRoots};
use common::server::{Server, example};

#[test]
fn resp_replies_over_tls() {
    // A certificate for localhost, which signs itself and is valid for a hundred years.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates");
    let (certificate, key) = (folder.join("localhost.pem"), folder.join("localhost.key.pem"));
    let mut command = example("resp");
    command.args(["--listen", "127.0.0.1:0", "--loops", "2"]);
    command.arg("--tls-cert").arg(&certificate).arg("--tls-key").arg(&key);
    let server = Server::start(command);
    let address: SocketAddr = server.address.parse().unwrap();
    brigade::run(async move {
        let roots = TlsRoots::from_pem_file(&certificate).unwrap();
        let connector = TlsConnector::builder().roots(roots).build().unwrap();
        let stream = TcpStream::connect_to(address).await.unwrap();
        let stream = connector.connect(stream, "localhost").await.unwrap();
        stream.write_all(b"SET a b\r\nGET a\r\n").await.unwrap();
        let expected = b"+OK\r\n$1\r\nb\r\n";
        let mut replies = [0; 12];
        stream.read_exact(&mut replies).await.unwrap();
        assert_eq!(&replies, expected);
        stream.close().await.unwrap();
        // The server says that this was all.
        assert_eq!(stream.read(&mut replies).await.unwrap(), 0);
    });
    server.stop();
}
