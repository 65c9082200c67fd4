//! Accepts TLS connections: the server's side of handshakes.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConnection;

use crate::net::AnyStream;
use crate::time::timeout;
use crate::tls::config::TlsConfig;
use crate::tls::handshake::{Completed, complete, discard};
use crate::tls::handshake_error::{HandshakeError, HandshakeFailure};
use crate::tls::session::Session;
use crate::tls::stats::{Counters, TlsStats};
use crate::tls::stream::TlsStream;

/// The type of a record of the handshake, RFC 8446 section 5.1: the first byte of every client.
const HANDSHAKE_RECORD: u8 = 22;

/// How long a peer may take to read the alert that ends its handshake. In TLS 1.3 it sends data
/// before it learns that its certificate is refused, and a socket that is closed by then would
/// reset the connection.
const ALERT_TIMEOUT: Duration = Duration::from_secs(1);
/// How much of that data is read.
const DISCARDED_BYTES_MAX: usize = 256 * 1024;

/// A session and what came of its handshake.
type Shaken = (Box<RefCell<Session>>, Completed);

/// Accepts TLS connections over the streams that a server accepts. It is made of a [`TlsConfig`].
///
/// A clone is cheap, and counts together with the others. One acceptor serves all loops.
///
/// # Examples
/// ```no_run
/// use brigade_runtime::net::TcpListener;
/// use brigade_runtime::spawn;
/// use brigade_runtime::tls::{TlsAcceptor, TlsConfig};
///
/// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
/// let acceptor = TlsAcceptor::new(TlsConfig::from_pem_files("cert.pem", "key.pem")?);
/// let listener = TcpListener::bind("127.0.0.1:8443")?;
/// loop {
///     let (stream, peer) = listener.accept().await?;
///     let acceptor = acceptor.clone();
///     spawn(async move {
///         match acceptor.accept(stream).await {
///             Ok(stream) => drop(stream.write_all(b"hello\n").await),
///             Err(error) => eprintln!("{peer}: {error}"),
///         }
///     })
///     .detach();
/// }
/// # }
/// ```
#[derive(Clone)]
pub struct TlsAcceptor {
    config: TlsConfig,
    counters: Arc<Counters>,
}

/// What a peer speaks, see [`TlsAcceptor::accept_or_plain`].
#[derive(Debug)]
pub enum Accepted {
    /// TLS: the handshake is complete.
    Tls(TlsStream),
    /// Something else: the connection, and the bytes that were read from it, at least one.
    Plain(AnyStream, Vec<u8>),
}

impl TlsAcceptor {
    /// Returns an acceptor that has counted nothing.
    #[must_use]
    pub fn new(config: TlsConfig) -> Self {
        Self { config, counters: Arc::default() }
    }

    /// Waits for the handshake of a connection.
    ///
    /// Each loop takes one step of a handshake in a turn, so that a flood of them does not keep it
    /// from other tasks.
    ///
    /// # Errors
    /// If the handshake fails, or is not complete within the
    /// [timeout](crate::tls::TlsConfigBuilder::handshake_timeout). The peer was sent an alert if
    /// the protocol has one for that, and the connection is closed.
    ///
    /// # Cancel safety
    /// If the future is dropped before it is ready, the connection is closed.
    pub async fn accept(&self, stream: impl Into<AnyStream>) -> Result<TlsStream, HandshakeError> {
        match self.accept_or_plain(stream).await? {
            Accepted::Tls(stream) => Ok(stream),
            Accepted::Plain(..) => Err(HandshakeError::new(HandshakeFailure::NotTls)),
        }
    }

    /// Waits for the handshake of a connection as [`TlsAcceptor::accept`] does, but returns the
    /// connection if the peer does not speak TLS, so that it can be sent an error in plain text.
    /// That is counted as a failure.
    ///
    /// # Errors
    /// Those of [`TlsAcceptor::accept`] except [`HandshakeFailure::NotTls`].
    ///
    /// # Cancel safety
    /// If the future is dropped before it is ready, the connection is closed.
    pub async fn accept_or_plain(
        &self,
        stream: impl Into<AnyStream>,
    ) -> Result<Accepted, HandshakeError> {
        let stream = stream.into();
        match self.handshake(&stream).await {
            Ok((session, Completed::Session)) => {
                let stream = TlsStream::new(stream, session);
                self.counters.count_handshake(stream.is_resumed());
                Ok(Accepted::Tls(stream))
            }
            Ok((_, Completed::Other(received))) => {
                self.counters.count_failure(HandshakeFailure::NotTls);
                Ok(Accepted::Plain(stream, received))
            }
            Err(error) => {
                self.counters.count_failure(error.failure());
                if has_alert(error.failure()) {
                    // A peer that does not close is left.
                    let _ = timeout(ALERT_TIMEOUT, discard(&stream, DISCARDED_BYTES_MAX)).await;
                }
                Err(error)
            }
        }
    }

    async fn handshake(&self, stream: &AnyStream) -> Result<Shaken, HandshakeError> {
        match timeout(self.config.handshake_timeout(), self.handshake_for_ever(stream)).await {
            Ok(result) => result,
            Err(_) => Err(HandshakeError::new(HandshakeFailure::Timeout)),
        }
    }

    async fn handshake_for_ever(&self, stream: &AnyStream) -> Result<Shaken, HandshakeError> {
        let connection = ServerConnection::new(self.config.server().clone())?;
        let session = Box::new(RefCell::new(Session::new(connection)));
        let completed = complete(stream, &session, Some(HANDSHAKE_RECORD)).await?;
        Ok((session, completed))
    }

    /// Returns the configuration.
    #[must_use]
    pub fn config(&self) -> &TlsConfig {
        &self.config
    }

    /// Returns the number of handshakes so far, of this acceptor and its clones, on all loops.
    #[must_use]
    pub fn stats(&self) -> TlsStats {
        self.counters.read()
    }
}

/// Returns `true` if the peer was sent an alert.
const fn has_alert(failure: HandshakeFailure) -> bool {
    use HandshakeFailure::{Certificate, NoCommonProtocol, Protocol};
    matches!(failure, Certificate | NoCommonProtocol | Protocol)
}

impl From<TlsConfig> for TlsAcceptor {
    fn from(config: TlsConfig) -> Self {
        Self::new(config)
    }
}

impl fmt::Debug for TlsAcceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsAcceptor")
            .field("config", &self.config)
            .field("stats", &self.stats())
            .finish()
    }
}
