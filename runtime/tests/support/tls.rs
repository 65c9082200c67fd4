//! Certificates, and TLS peers that are rustls over std's blocking sockets.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use brigade_runtime::net::TcpListener;
use brigade_runtime::tls::rustls::crypto::ring;
use brigade_runtime::tls::rustls::pki_types::pem::PemObject;
use brigade_runtime::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use brigade_runtime::tls::rustls::{
    self, ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};
use brigade_runtime::tls::{HandshakeError, TlsAcceptor, TlsConfig, TlsRoots, TlsStream};
use brigade_runtime::{run, spawn_blocking};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// A hang is a failure: nothing here takes this long.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Both versions, as rustls names them.
pub const VERSIONS: [&SupportedProtocolVersion; 2] =
    [&rustls::version::TLS12, &rustls::version::TLS13];

/// A certificate authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key in PEM.
#[derive(Clone)]
pub struct Pem {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Authorities are found by their names.
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let name = format!("authority {} for tests", MADE.fetch_add(1, Relaxed));
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Certifies a new key for `names`.
    pub fn certify(&self, names: &[&str]) -> Pem {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Pem { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn roots(&self) -> TlsRoots {
        TlsRoots::from_pem(self.pem()).unwrap()
    }

    /// The configuration of a server for `localhost`.
    pub fn server(&self) -> TlsConfig {
        self.certify(&["localhost"]).server()
    }

    fn root_store(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        roots
    }

    /// The configuration of a peer that trusts this authority.
    pub fn client(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(self.root_store())
            .with_no_client_auth()
    }

    /// As [`Authority::client`], with a certificate.
    pub fn client_with(&self, certificate: &Pem) -> ClientConfig {
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(self.root_store())
            .with_client_auth_cert(vec![certificate.der()], certificate.key_der())
            .unwrap()
    }
}

impl Pem {
    pub fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()
    }

    pub fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }

    pub fn server(&self) -> TlsConfig {
        TlsConfig::from_pem(&self.certificate, &self.key).unwrap()
    }
}

pub type Peer = StreamOwned<ClientConnection, TcpStream>;

/// Connects without a handshake.
pub fn tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Connects to `localhost`. The handshake is done by the first read or write.
pub fn peer(address: SocketAddr, config: ClientConfig) -> Peer {
    peer_of(address, Arc::new(config), "localhost")
}

/// Connects to a server of this name.
pub fn peer_of(address: SocketAddr, config: Arc<ClientConfig>, name: &str) -> Peer {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    StreamOwned::new(ClientConnection::new(config, name).unwrap(), tcp(address))
}

/// Completes the handshake of a peer.
pub fn shake_hands(peer: &mut Peer) -> io::Result<()> {
    while peer.conn.is_handshaking() || peer.conn.wants_write() {
        peer.conn.complete_io(&mut peer.sock)?;
    }
    Ok(())
}

/// Returns the first `length` bytes.
pub fn read_exactly(stream: &mut impl Read, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// Sends `close_notify`, and waits for that of the server.
pub fn close(mut peer: Peer) {
    peer.conn.send_close_notify();
    peer.conn.write_tls(&mut peer.sock).unwrap();
    // What is left is read, and dropped.
    let _ = io::copy(&mut peer, &mut io::sink());
}

/// Accepts one connection on a loop while `client` runs on a thread. Returns what both return.
pub fn accept_one<T, C>(
    acceptor: impl Into<TlsAcceptor>,
    client: impl FnOnce(SocketAddr) -> C + Send + 'static,
    serve: impl AsyncFnOnce(Result<TlsStream, HandshakeError>) -> T + 'static,
) -> (T, C)
where
    T: 'static,
    C: Send + 'static,
{
    let acceptor = acceptor.into();
    run(async move {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = spawn_blocking(move || client(address));
        let (stream, _) = listener.accept().await.unwrap();
        let served = serve(acceptor.accept(stream).await).await;
        (served, client.await.unwrap())
    })
}

/// Echoes until the peer closes, then closes.
pub async fn echo(stream: &TlsStream) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return stream.close().await,
            read => stream.write_all(&buffer[..read]).await?,
        }
    }
}

/// Sends `text` and returns as many bytes.
pub fn echoed(peer: &mut Peer, text: &[u8]) -> Vec<u8> {
    peer.write_all(text).unwrap();
    read_exactly(peer, text.len())
}
