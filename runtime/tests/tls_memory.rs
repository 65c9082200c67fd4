//! What an idle TLS connection holds.
//!
//! Only the allocations of the loop's thread are counted. The clients are on another one.
#![forbid(unsafe_code)]

// std
use std::net::SocketAddr;
use std::sync::Arc;

// crates
use allocation_counter::measure;
use brigade_runtime::net::TcpListener;
use brigade_runtime::tls::rustls::SupportedProtocolVersion;
use brigade_runtime::tls::{TlsAcceptor, TlsStream};
use brigade_runtime::{run, spawn, spawn_blocking};

// ours
#[path = "support/tls.rs"]
mod tls;
use tls::{Authority, Peer, VERSIONS, echoed, peer_of};

/// The connections of the two runs that are compared.
const FEW: usize = 50;
const MANY: usize = 150;

/// What an idle connection may hold of the heap, its task included.
const IDLE_BYTES_MAX: u64 = 8_500;

#[test]
fn an_idle_connection_holds_the_buffers_of_rustls_only() {
    for version in VERSIONS {
        // The second is a number of whole records.
        for length in [100, 6 * 16 * 1024] {
            let few = peak(FEW, version, length);
            let many = peak(MANY, version, length);
            let each = (many - few) / (MANY - FEW) as u64;
            println!("{version:?}, after {length} bytes: {each} bytes for each connection");
            assert!(each <= IDLE_BYTES_MAX, "{version:?}: {each} bytes after {length}");
        }
    }
}

/// Returns the most bytes that the loop has held. At the end, that many connections are idle, each
/// of which has echoed `length` bytes.
fn peak(connections: usize, version: &'static SupportedProtocolVersion, length: usize) -> u64 {
    let authority = Authority::new();
    let acceptor = TlsAcceptor::new(authority.server());
    let config = Arc::new(authority.client(&[version]));
    let counted = measure(move || {
        run(async move {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let connect = move |address: SocketAddr| -> Vec<Peer> {
                let text = vec![b'x'; length];
                let connect = |_| {
                    let mut peer = peer_of(address, config.clone(), "localhost");
                    for part in text.chunks(16 * 1024) {
                        assert_eq!(echoed(&mut peer, part), part);
                    }
                    peer
                };
                (0..connections).map(connect).collect()
            };
            let clients = spawn_blocking(move || connect(address));
            for _ in 0..connections {
                let (stream, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                spawn(async move { echo(acceptor.accept(stream).await.unwrap()).await }).detach();
            }
            clients.await.unwrap();
        });
    });
    counted.bytes_max
}

/// Echoes, and holds no buffer while it waits.
async fn echo(stream: TlsStream) {
    loop {
        stream.readable().await;
        let mut received = Vec::with_capacity(16 * 1024);
        // At the end or after an error there is nothing to echo.
        let _ = stream.try_read_buf(&mut received);
        if stream.is_read_closed() || stream.write_all(&received).await.is_err() {
            return;
        }
    }
}
