//! Opens TLS connections: the client's side of handshakes.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, ClientConnection, KeyLogFile};

use crate::net::AnyStream;
use crate::time::timeout;
use crate::tls::certificates::Source;
use crate::tls::config::HANDSHAKE_TIMEOUT;
use crate::tls::error::TlsError;
use crate::tls::handshake::complete;
use crate::tls::handshake_error::{HandshakeError, HandshakeFailure};
use crate::tls::provider::default_provider;
use crate::tls::roots::TlsRoots;
use crate::tls::session::Session;
use crate::tls::stream::TlsStream;
use crate::tls::version::TlsVersion;

/// Opens TLS connections over streams that are connected already.
///
/// The server's certificate is always verified: it has to be valid for the server's name, and
/// certified by a root that is trusted.
///
/// A clone is cheap, and shares the sessions that can be resumed: those of the 256 servers that
/// were connected to last.
///
/// # Examples
/// ```no_run
/// use brigade_runtime::net::TcpStream;
/// use brigade_runtime::tls::TlsConnector;
///
/// # async fn connect() -> Result<(), Box<dyn std::error::Error>> {
/// let connector = TlsConnector::new()?;
/// let stream = TcpStream::connect("example.org:443").await?;
/// let stream = connector.connect(stream, "example.org").await?;
/// println!("{} {}", stream.protocol_version(), stream.cipher_suite());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TlsConnector {
    client: Arc<ClientConfig>,
    handshake_timeout: Duration,
}

impl TlsConnector {
    /// Returns a connector that trusts the roots of the system, see [`TlsRoots::system`].
    ///
    /// # Errors
    /// If the system has no root.
    pub fn new() -> Result<Self, TlsError> {
        Self::builder().build()
    }

    /// Returns a builder.
    pub fn builder() -> TlsConnectorBuilder {
        TlsConnectorBuilder {
            roots: None,
            certificate: None,
            alpn_protocols: Vec::new(),
            min_version: TlsVersion::default(),
            has_key_log: false,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            provider: default_provider(),
        }
    }

    /// Returns the connector with other protocols for ALPN (RFC 7301), most preferred first. It
    /// shares the sessions that can be resumed.
    #[must_use]
    pub fn with_alpn_protocols<P>(&self, protocols: impl IntoIterator<Item = P>) -> Self
    where
        P: Into<Vec<u8>>,
    {
        let mut client = ClientConfig::clone(&self.client);
        client.alpn_protocols = protocols.into_iter().map(Into::into).collect();
        Self { client: Arc::new(client), ..self.clone() }
    }

    /// Opens a TLS connection over `stream` to the server of this name, or of this IP address. The
    /// name is sent to the server; an address is not.
    ///
    /// # Errors
    /// If the handshake fails, or is not complete within the
    /// [timeout](TlsConnectorBuilder::handshake_timeout). [`HandshakeFailure::Certificate`] if the
    /// server's certificate is refused; `Io` of the kind `InvalidInput` if `server_name` is neither
    /// a DNS name nor an address.
    ///
    /// # Cancel safety
    /// If the future is dropped before it is ready, the connection is closed.
    pub async fn connect(
        &self,
        stream: impl Into<AnyStream>,
        server_name: &str,
    ) -> Result<TlsStream, HandshakeError> {
        let name = ServerName::try_from(server_name).map_err(|error| {
            let what = format!("the server's name {server_name:?}: {error}");
            io::Error::new(io::ErrorKind::InvalidInput, what)
        })?;
        let connection = ClientConnection::new(self.client.clone(), name.to_owned())?;
        let session = Box::new(RefCell::new(Session::new(connection)));
        let stream = stream.into();
        match timeout(self.handshake_timeout, complete(&stream, &session, None)).await {
            Ok(completed) => completed.map(drop)?,
            Err(_) => return Err(HandshakeError::new(HandshakeFailure::Timeout)),
        }
        Ok(TlsStream::new(stream, session))
    }
}

impl fmt::Debug for TlsConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConnector")
            .field("handshake_timeout", &self.handshake_timeout)
            .finish_non_exhaustive()
    }
}

/// Makes a [`TlsConnector`].
#[must_use = "a builder does nothing until `build` is called"]
pub struct TlsConnectorBuilder {
    /// Those of the system if `None`.
    roots: Option<TlsRoots>,
    certificate: Option<Source>,
    alpn_protocols: Vec<Vec<u8>>,
    min_version: TlsVersion,
    has_key_log: bool,
    handshake_timeout: Duration,
    provider: Arc<CryptoProvider>,
}

impl TlsConnectorBuilder {
    /// Sets the roots that are trusted, in place of those of the system.
    pub fn roots(mut self, roots: TlsRoots) -> Self {
        self.roots = Some(roots);
        self
    }

    /// Sets the certificate, with its chain, and the private key that are sent to a server that
    /// asks for them, from two PEM files.
    pub fn certificate_files(
        mut self,
        certificates: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Self {
        let (certificates, key) = (certificates.as_ref().into(), key.as_ref().into());
        self.certificate = Some(Source::Files { certificates, key });
        self
    }

    /// Sets the certificate and the private key that are sent to a server that asks for them, in
    /// PEM.
    pub fn certificate_pem(
        mut self,
        certificates: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Self {
        let (certificates, key) = (certificates.as_ref().to_vec(), key.as_ref().to_vec());
        self.certificate = Some(Source::Pem { certificates, key });
        self
    }

    /// Sets the protocols for ALPN (RFC 7301), most preferred first.
    pub fn alpn_protocols<P: Into<Vec<u8>>>(
        mut self,
        protocols: impl IntoIterator<Item = P>,
    ) -> Self {
        self.alpn_protocols = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the lowest version that is spoken: TLS 1.2 by default.
    pub fn min_version(mut self, version: TlsVersion) -> Self {
        self.min_version = version;
        self
    }

    /// Appends the secrets of each connection to the file that the environment variable
    /// `SSLKEYLOGFILE` names. Without this call the variable has no effect.
    pub fn log_keys(mut self) -> Self {
        self.has_key_log = true;
        self
    }

    /// Sets how long a handshake may take: [`HANDSHAKE_TIMEOUT`] by default.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Sets the implementation of cryptography: by default that of the crate ring, with the key
    /// exchange of graviola on processors that are fit for it.
    pub fn provider(mut self, provider: Arc<CryptoProvider>) -> Self {
        self.provider = provider;
        self
    }

    /// Reads the roots and the certificate.
    ///
    /// # Errors
    /// If the system has no root and none were given, or if the certificate or its key cannot be
    /// used.
    pub fn build(self) -> Result<TlsConnector, TlsError> {
        let roots = self.roots.map_or_else(TlsRoots::system, Ok)?;
        let certificate = self.certificate.map(|source| source.load(&self.provider)).transpose()?;
        let builder = ClientConfig::builder_with_provider(self.provider)
            .with_protocol_versions(self.min_version.and_later())
            .map_err(|error| TlsError::because("the versions of TLS", error))?
            .with_root_certificates(roots.store());
        let mut client = match certificate {
            Some(key) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key))),
            None => builder.with_no_client_auth(),
        };
        client.alpn_protocols = self.alpn_protocols;
        if self.has_key_log {
            client.key_log = Arc::new(KeyLogFile::new());
        }
        let handshake_timeout = self.handshake_timeout;
        Ok(TlsConnector { client: Arc::new(client), handshake_timeout })
    }
}

impl fmt::Debug for TlsConnectorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConnectorBuilder")
            .field("roots", &self.roots)
            .field("min_version", &self.min_version)
            .field("handshake_timeout", &self.handshake_timeout)
            .finish_non_exhaustive()
    }
}
