//! The client's side of TLS: one cipher suite and one key exchange, so that all servers have the
//! same.

use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls12Resumption,
    Tls13ClientSessionValue,
};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::crypto::ring::{default_provider, kx_group};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, HandshakeKind, NamedGroup,
    SignatureScheme,
};

/// How many session tickets are kept.
const TICKETS_MAX: usize = 256;

/// Whether a client resumes sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// Every handshake is a full one.
    Never,
    /// Every handshake after the first one resumes a session.
    Always,
}

/// What connections over TLS are made with.
#[derive(Clone, Debug)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    tickets: Option<Arc<Tickets>>,
    protocol: &'static [u8],
}

impl TlsClient {
    /// Prepares connections of a protocol of ALPN.
    ///
    /// # Errors
    /// If rustls refuses the configuration.
    pub fn new(protocol: &'static str, resume: Resume) -> io::Result<Self> {
        let provider = CryptoProvider {
            cipher_suites: vec![TLS13_AES_128_GCM_SHA256],
            kx_groups: vec![kx_group::X25519],
            ..default_provider()
        };
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Trusting))
            .with_no_client_auth();
        let protocol = protocol.as_bytes();
        config.alpn_protocols = vec![protocol.to_vec()];
        let tickets = (resume == Resume::Always).then(Arc::<Tickets>::default);
        config.resumption = match &tickets {
            Some(tickets) => {
                let store = Arc::clone(tickets) as Arc<dyn ClientSessionStore>;
                Resumption::store(store).tls12_resumption(Tls12Resumption::Disabled)
            }
            None => Resumption::disabled(),
        };
        Ok(Self { config: Arc::new(config), tickets, protocol })
    }

    /// Begins a connection. Also returns whether it offers to resume a session.
    ///
    /// # Errors
    /// If rustls refuses the configuration.
    pub(super) fn connection(&self) -> io::Result<(ClientConnection, bool)> {
        let resumes = self.tickets.as_ref().is_some_and(|tickets| !tickets.all().is_empty());
        let name = ServerName::IpAddress(Ipv4Addr::LOCALHOST.into());
        let connection = ClientConnection::new(Arc::clone(&self.config), name);
        Ok((connection.map_err(io::Error::other)?, resumes))
    }

    /// Checks the protocol of a connection that is established, and that it was resumed if it
    /// offered that.
    ///
    /// # Errors
    /// If the server has chosen no protocol, or has not resumed the session.
    pub(super) fn check(&self, connection: &ClientConnection, resumes: bool) -> io::Result<()> {
        if connection.alpn_protocol() != Some(self.protocol) {
            return Err(io::Error::other("the server has not chosen the protocol"));
        }
        match resumes == (connection.handshake_kind() == Some(HandshakeKind::Resumed)) {
            true => Ok(()),
            false => Err(io::Error::other("the server has not resumed the session")),
        }
    }
}

/// Tickets of one server. Each is used once. As a connection brings two and takes one, all
/// that follow a response resume a session; the store of rustls holds too few for that.
#[derive(Debug, Default)]
struct Tickets(Mutex<Vec<Tls13ClientSessionValue>>);

impl Tickets {
    fn all(&self) -> MutexGuard<'_, Vec<Tls13ClientSessionValue>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        let mut tickets = self.all();
        if tickets.len() < TICKETS_MAX {
            tickets.push(ticket);
        }
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.all().pop()
    }
}

/// Accepts every certificate and verifies no signature, so that a full handshake costs the load no
/// more than the server.
#[derive(Debug)]
struct Trusting;

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
