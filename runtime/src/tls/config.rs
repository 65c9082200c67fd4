//! The configuration of a TLS server.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{KeyLogFile, ServerConfig};

use crate::signal::{SignalKind, Signals};
use crate::threads::blocking::spawn_blocking;
use crate::tls::certificates::{Certificates, Source};
use crate::tls::error::TlsError;
use crate::tls::provider::{default_provider, ticketer};
use crate::tls::roots::TlsRoots;
use crate::tls::version::TlsVersion;

/// By default, a handshake has this long. A client needs two round trips, and most of them take
/// less than a second.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The configuration of a TLS server: its certificates and what it negotiates.
///
/// One configuration serves all loops. A clone is cheap and refers to the same certificates and
/// the same key for session tickets, so a client that has connected once resumes its session with
/// any loop, also after the certificates were replaced.
///
/// By default it speaks TLS 1.2 and 1.3, asks for no client certificate, and offers no protocol by
/// ALPN. TLS has no compression, renegotiation or early data here.
///
/// # Examples
/// ```no_run
/// use brigade_runtime::tls::{TlsConfig, TlsRoots, TlsVersion};
///
/// # fn config() -> Result<TlsConfig, brigade_runtime::tls::TlsError> {
/// // One certificate.
/// let config = TlsConfig::from_pem_files("cert.pem", "key.pem")?;
///
/// // Two, of which the client chooses one by the name of the server, and client certificates.
/// let config = TlsConfig::builder()
///     .certificate_files("example.org.pem", "example.org.key")
///     .certificate_files("example.net.pem", "example.net.key")
///     .require_client_certificates(TlsRoots::from_pem_file("clients.pem")?)
///     .min_version(TlsVersion::Tls13)
///     .alpn_protocols(["postgresql"])
///     .build()?;
/// # Ok(config)
/// # }
/// ```
#[derive(Clone)]
pub struct TlsConfig {
    server: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
    handshake_timeout: Duration,
}

impl TlsConfig {
    /// Reads a certificate and its private key from two PEM files. The certificate's file may
    /// contain its chain: the certificate first, then those that certify it, without the root.
    ///
    /// # Errors
    /// If a file cannot be read or parsed, or if the key does not belong to the certificate.
    pub fn from_pem_files(
        certificates: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, TlsError> {
        Self::builder().certificate_files(certificates, key).build()
    }

    /// Parses a certificate and its private key in PEM. The certificate may be followed by its
    /// chain.
    ///
    /// # Errors
    /// If they cannot be parsed, or if the key does not belong to the certificate.
    pub fn from_pem(
        certificates: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Result<Self, TlsError> {
        Self::builder().certificate_pem(certificates, key).build()
    }

    /// Returns a builder without certificates.
    pub fn builder() -> TlsConfigBuilder {
        TlsConfigBuilder::new()
    }

    /// Returns the configuration with other protocols for ALPN (RFC 7301), most preferred first. It
    /// shares certificates and session tickets with this one.
    #[must_use]
    pub fn with_alpn_protocols<P>(&self, protocols: impl IntoIterator<Item = P>) -> Self
    where
        P: Into<Vec<u8>>,
    {
        let mut server = ServerConfig::clone(&self.server);
        server.alpn_protocols = protocols.into_iter().map(Into::into).collect();
        Self { server: Arc::new(server), ..self.clone() }
    }

    /// Reads all certificates and keys again that were given as files, and uses them for the
    /// connections that are accepted from now on. Those that are open continue, and sessions can be
    /// resumed. Applies to all clones. Blocks while it reads the files.
    ///
    /// # Errors
    /// If no certificate was given as a file, if a file cannot be read or parsed, or if a key does
    /// not belong to its certificate. Then nothing changes. If the certificate and the key are
    /// replaced one after the other, reload after both.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.certificates.reload()
    }

    /// Uses another certificate in place of the first one for the connections that are accepted
    /// from now on, as [`TlsConfig::reload`] does.
    ///
    /// # Errors
    /// If they cannot be parsed, or if the key does not belong to the certificate. Then nothing
    /// changes.
    pub fn replace_pem(
        &self,
        certificates: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Result<(), TlsError> {
        let (certificates, key) = (certificates.as_ref().to_vec(), key.as_ref().to_vec());
        self.certificates.replace_first(&Source::Pem { certificates, key })
    }

    /// Calls [`TlsConfig::reload`] whenever the process receives `signal`, until dropped. Logs the
    /// outcome under the target `brigade::tls`: INFO, or ERROR if the old certificates stay. The
    /// files are read on the pool for blocking work.
    ///
    /// # Errors
    /// Those of [`Signals::new`] and [`Signals::recv`].
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    ///
    /// # Cancel safety
    /// Cancel safe: a reload that has begun ends by itself.
    ///
    /// # Examples
    /// A server that reloads on SIGHUP, on a loop of its own:
    ///
    /// ```no_run
    /// use brigade_runtime::run_in_thread;
    /// use brigade_runtime::server::TcpServer;
    /// use brigade_runtime::signal::SignalKind;
    /// use brigade_runtime::tls::TlsConfig;
    ///
    /// # fn serve() -> Result<(), Box<dyn std::error::Error>> {
    /// let config = TlsConfig::from_pem_files("cert.pem", "key.pem")?;
    /// let reloaded = config.clone();
    /// run_in_thread("reload", || async move { reloaded.reload_on(SignalKind::Hangup).await })?;
    /// let server = TcpServer::bind("127.0.0.1:8443")?.tls(config);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn reload_on(&self, signal: SignalKind) -> io::Result<()> {
        let signals = Signals::new([signal])?;
        loop {
            signals.recv().await?;
            let config = self.clone();
            match spawn_blocking(move || config.reload()).await {
                Ok(Ok(())) => tracing::info!(target: "brigade::tls", "certificates reloaded"),
                Ok(Err(error)) => tracing::error!(
                    target: "brigade::tls",
                    %error, "certificates not reloaded, the old ones stay"
                ),
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }

    /// Returns the chain of the first certificate in DER, itself first.
    #[must_use]
    pub fn certificates(&self) -> Vec<CertificateDer<'static>> {
        self.certificates.first_chain()
    }

    /// Returns the protocols that are offered by ALPN.
    #[must_use]
    pub fn alpn_protocols(&self) -> &[Vec<u8>] {
        &self.server.alpn_protocols
    }

    /// Returns how long a handshake may take.
    #[must_use]
    pub fn handshake_timeout(&self) -> Duration {
        self.handshake_timeout
    }

    pub(super) fn server(&self) -> &Arc<ServerConfig> {
        &self.server
    }
}

impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfig")
            .field("certificates", &self.certificates)
            .field("handshake_timeout", &self.handshake_timeout)
            .finish_non_exhaustive()
    }
}

/// Makes a [`TlsConfig`]. Certificates are read and parsed by [`TlsConfigBuilder::build`].
#[must_use = "a builder does nothing until `build` is called"]
pub struct TlsConfigBuilder {
    sources: Vec<Source>,
    clients: Clients,
    alpn_protocols: Vec<Vec<u8>>,
    min_version: TlsVersion,
    has_key_log: bool,
    handshake_timeout: Duration,
    provider: Arc<CryptoProvider>,
}

/// Which client certificates are asked for.
enum Clients {
    None,
    Accepted(TlsRoots),
    Required(TlsRoots),
}

impl TlsConfigBuilder {
    fn new() -> Self {
        Self {
            sources: Vec::new(),
            clients: Clients::None,
            alpn_protocols: Vec::new(),
            min_version: TlsVersion::default(),
            has_key_log: false,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            provider: default_provider(),
        }
    }

    /// Adds a certificate and its private key from two PEM files. The certificate's file may
    /// contain its chain. [`TlsConfig::reload`] reads the files again.
    ///
    /// If there are several certificates, a client gets the first one for the name of the server
    /// that it has sent (SNI, RFC 6066 section 3) with a key whose signatures it accepts. The names
    /// are the DNS names in the certificate, of which `*.example.org` matches one label. If none
    /// matches, or the client has sent no name, it gets the very first one.
    pub fn certificate_files(
        mut self,
        certificates: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Self {
        let (certificates, key) = (certificates.as_ref().into(), key.as_ref().into());
        self.sources.push(Source::Files { certificates, key });
        self
    }

    /// Adds a certificate and its private key in PEM, see [`TlsConfigBuilder::certificate_files`].
    pub fn certificate_pem(
        mut self,
        certificates: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Self {
        let (certificates, key) = (certificates.as_ref().to_vec(), key.as_ref().to_vec());
        self.sources.push(Source::Pem { certificates, key });
        self
    }

    /// Adds a certificate with its chain, and its private key, in DER.
    pub fn certificate_der(
        mut self,
        certificates: Vec<CertificateDer<'static>>,
        key: rustls::pki_types::PrivateKeyDer<'static>,
    ) -> Self {
        self.sources.push(Source::Der { certificates, key });
        self
    }

    /// Asks clients for a certificate, and refuses those whose certificate `roots` do not certify.
    /// A client without a certificate is accepted; see
    /// [`TlsStream::peer_certificates`](crate::tls::TlsStream::peer_certificates).
    pub fn accept_client_certificates(mut self, roots: TlsRoots) -> Self {
        self.clients = Clients::Accepted(roots);
        self
    }

    /// Asks clients for a certificate, and refuses those who have none that `roots` certify.
    pub fn require_client_certificates(mut self, roots: TlsRoots) -> Self {
        self.clients = Clients::Required(roots);
        self
    }

    /// Sets the protocols for ALPN (RFC 7301), most preferred first. A client that offers others
    /// only is refused with the alert `no_application_protocol`; one that offers none is not.
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
    /// `SSLKEYLOGFILE` names, so that a tool such as Wireshark can decrypt what it has recorded.
    /// Without this call the variable has no effect.
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
    /// exchange of graviola on processors that are fit for it. It determines the cipher suites, the
    /// key exchanges and their order. Session tickets are always encrypted by ring.
    pub fn provider(mut self, provider: Arc<CryptoProvider>) -> Self {
        self.provider = provider;
        self
    }

    /// Reads and parses the certificates.
    ///
    /// # Errors
    /// If there is no certificate, if a file cannot be read or parsed, if a key does not belong to
    /// its certificate, or if the provider supports no version that is allowed.
    pub fn build(self) -> Result<TlsConfig, TlsError> {
        let verifier = self.clients.verifier(&self.provider)?;
        let certificates = Arc::new(Certificates::new(self.sources, self.provider.clone())?);
        let builder = ServerConfig::builder_with_provider(self.provider)
            .with_protocol_versions(self.min_version.and_later())
            .map_err(|error| TlsError::because("the versions of TLS", error))?;
        let mut server =
            builder.with_client_cert_verifier(verifier).with_cert_resolver(certificates.clone());
        server.alpn_protocols = self.alpn_protocols;
        server.ticketer = ticketer()?;
        // Tickets make the client keep its session. A store in memory would have a lock that all
        // loops take, and serve only clients of TLS 1.2 without tickets.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        if self.has_key_log {
            server.key_log = Arc::new(KeyLogFile::new());
        }
        let handshake_timeout = self.handshake_timeout;
        Ok(TlsConfig { server: Arc::new(server), certificates, handshake_timeout })
    }
}

impl Clients {
    fn verifier(
        self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let builder = |roots: TlsRoots| {
            WebPkiClientVerifier::builder_with_provider(roots.store(), provider.clone())
        };
        let verifier = match self {
            Self::None => return Ok(Arc::new(NoClientAuth)),
            Self::Accepted(roots) => builder(roots).allow_unauthenticated().build(),
            Self::Required(roots) => builder(roots).build(),
        };
        verifier.map_err(|error| TlsError::because("the roots of client certificates", error))
    }
}

impl fmt::Debug for TlsConfigBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfigBuilder")
            .field("certificates", &self.sources.len())
            .field("min_version", &self.min_version)
            .field("handshake_timeout", &self.handshake_timeout)
            .finish_non_exhaustive()
    }
}
