//! TLS for `https` URLs (feature `tls`).

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use brigade_runtime::net::AnyStream;
use brigade_runtime::spawn_blocking;
use brigade_runtime::tls::TlsConnector;

use crate::client::encryption::{Encryption, Opened};
use crate::transport::tls_duplex::over_tls;

/// The names of HTTP/1.1 and HTTP/2 for ALPN (RFC 9113 section 3.2).
const HTTP1: &str = "http/1.1";
const HTTP2: &str = "h2";

/// There may be `https` URLs.
pub(super) const IS_SUPPORTED: bool = true;

/// Returns the encryption of a client without options.
pub(super) fn by_default() -> Option<Arc<dyn Encryption>> {
    Some(Arc::new(Tls(OnceLock::new())))
}

/// Returns an encryption by `connector`.
pub(super) fn with(connector: TlsConnector) -> Arc<dyn Encryption> {
    Arc::new(Tls(OnceLock::from(Connectors::of(&connector))))
}

/// Encrypts by TLS. The system's certificates are read for the first connection.
#[derive(Debug)]
struct Tls(OnceLock<Connectors>);

/// The connector, with what this client speaks in place of what the connector offers otherwise.
#[derive(Debug)]
struct Connectors {
    only_http1: TlsConnector,
    with_http2: TlsConnector,
}

impl Connectors {
    fn of(connector: &TlsConnector) -> Self {
        Self {
            only_http1: connector.with_alpn_protocols([HTTP1]),
            with_http2: connector.with_alpn_protocols([HTTP2, HTTP1]),
        }
    }
}

impl Tls {
    async fn connectors(&self) -> io::Result<&Connectors> {
        if let Some(connectors) = self.0.get() {
            return Ok(connectors);
        }
        let connector = spawn_blocking(TlsConnector::new).await.map_err(io::Error::other)?;
        let connector = connector.map_err(io::Error::other)?;
        Ok(self.0.get_or_init(|| Connectors::of(&connector)))
    }
}

impl Encryption for Tls {
    fn encrypt<'a>(
        &'a self,
        socket: AnyStream,
        server: &'a str,
        offers_http2: bool,
    ) -> Pin<Box<dyn Future<Output = io::Result<Opened>> + 'a>> {
        Box::pin(async move {
            let Connectors { only_http1, with_http2 } = self.connectors().await?;
            let connector = if offers_http2 { with_http2 } else { only_http1 };
            let stream = connector.connect(socket, server).await.map_err(io::Error::other)?;
            let is_http2 = stream.is_alpn_protocol(HTTP2);
            Ok(Opened { stream: over_tls(stream), is_http2 })
        })
    }
}
