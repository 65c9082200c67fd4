//! HTTPS: the TLS handshake before HTTP (feature `tls`).

use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use brigade_runtime::net::AnyStream;
use brigade_runtime::time::timeout;
use brigade_runtime::tls::{Accepted, HandshakeFailure, TlsAcceptor, TlsConfig};

use crate::server::handshake::{Handshake, HandshakeCounts, Ready};
use crate::server::http2;
use crate::server::options::Server;
use crate::transport::tls_duplex::over_tls;

/// What a client gets that speaks plain HTTP.
const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 51\r\n\
    Connection: close\r\n\
    \r\n\
    This port speaks HTTPS, and the request was HTTP.\r\n";
/// The first letters of the methods that such a client may use.
const METHOD_STARTS: &[u8] = b"GPHDOCT";
/// How long a client has to take that response, and to close.
const PLAIN_HTTP_TIMEOUT: Duration = Duration::from_secs(2);
/// How much of its request is read, so that the response is not lost.
const PLAIN_HTTP_BYTES_MAX: usize = 64 * 1024;

/// # TLS (feature `tls`)
impl Server {
    /// Speaks HTTPS at all addresses: every connection begins with a TLS handshake.
    ///
    /// By ALPN the server offers HTTP/2, if the feature `http2` is enabled, and HTTP/1.1. If
    /// `config` has protocols of its own, it offers those. Let `h2` be among them only with that
    /// feature.
    ///
    /// A connection counts as open from the moment it is accepted. One whose handshake fails, or
    /// takes longer than its [timeout](brigade_runtime::tls::TlsConfigBuilder::handshake_timeout),
    /// is closed, logged at level `DEBUG`, and counted in
    /// [`Stats::handshakes`](crate::Stats::handshakes). A client that speaks plain HTTP is sent a
    /// 400 in plain text.
    ///
    /// Handlers learn of the connection by [`TlsInfo`](crate::TlsInfo).
    ///
    /// # Examples
    /// ```no_run
    /// use brigade_http::{Router, Server, get};
    /// use brigade_runtime::tls::TlsConfig;
    ///
    /// fn main() -> Result<(), Box<dyn std::error::Error>> {
    ///     let config = TlsConfig::from_pem_files("cert.pem", "key.pem")?;
    ///     let server = Server::bind("127.0.0.1:8443")?.tls(config);
    ///     server.run(|| Router::new().route("/", get(async || "Hello, World!")))?;
    ///     Ok(())
    /// }
    /// ```
    pub fn tls(self, config: TlsConfig) -> Self {
        let config = match config.alpn_protocols() {
            [] => config.with_alpn_protocols(http2::ALPN_PROTOCOLS.iter().copied()),
            _ => config,
        };
        self.with_handshake(Arc::new(TlsAcceptor::new(config)))
    }
}

impl Handshake for TlsAcceptor {
    fn start(&self, socket: AnyStream) -> Pin<Box<dyn Future<Output = Option<Ready>>>> {
        let acceptor = self.clone();
        Box::pin(async move {
            match acceptor.accept_or_plain(socket).await {
                Ok(Accepted::Tls(stream)) => {
                    let alpn = stream.alpn_protocol();
                    return Some(Ready { stream: over_tls(stream), alpn });
                }
                Ok(Accepted::Plain(socket, received)) => {
                    tracing::debug!(target: "brigade::http", "a client speaks without TLS");
                    if received.first().is_some_and(|first| METHOD_STARTS.contains(first)) {
                        let _ = timeout(PLAIN_HTTP_TIMEOUT, refuse_plain(&socket)).await;
                    }
                }
                Err(error) => {
                    tracing::debug!(target: "brigade::http", %error, "TLS handshake failed");
                }
            }
            None
        })
    }

    fn timeout(&self) -> Duration {
        self.config().handshake_timeout()
    }

    fn counts(&self) -> HandshakeCounts {
        let stats = self.stats();
        HandshakeCounts {
            succeeded: stats.handshakes,
            resumed: stats.resumed,
            failed: HandshakeFailure::ALL
                .into_iter()
                .map(|failure| (failure.name(), stats.failures(failure)))
                .collect(),
        }
    }
}

/// Responds to a client that speaks HTTP without TLS, and reads what it still sends: otherwise the
/// connection would be reset, and the response might be lost (RFC 9112 section 9.6).
async fn refuse_plain(socket: &AnyStream) -> io::Result<()> {
    socket.write_all(PLAIN_HTTP).await?;
    socket.shutdown(Shutdown::Write)?;
    let (mut buffer, mut left) = ([0; 1024], PLAIN_HTTP_BYTES_MAX);
    while left > 0 {
        match socket.read(&mut buffer).await? {
            0 => break,
            read => left = left.saturating_sub(read),
        }
    }
    Ok(())
}
