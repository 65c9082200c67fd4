//! TLS for `https` URLs (feature `tls`).

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use brigade_runtime::net::AnyStream;
use brigade_runtime::spawn_blocking;
use brigade_runtime::tls::TlsConnector;

use crate::client::encryption::Encryption;
use crate::message::byte_stream::ByteStream;
use crate::transport::tls_duplex::over_tls;

/// What this client speaks, whatever the connector offers otherwise.
const ALPN_PROTOCOLS: [&str; 1] = ["http/1.1"];

/// There may be `https` URLs.
pub(super) const IS_SUPPORTED: bool = true;

/// Returns the encryption of a client without options.
pub(super) fn by_default() -> Option<Arc<dyn Encryption>> {
    Some(Arc::new(Tls(OnceLock::new())))
}

/// Returns an encryption by `connector`.
pub(super) fn with(connector: TlsConnector) -> Arc<dyn Encryption> {
    Arc::new(Tls(OnceLock::from(connector.with_alpn_protocols(ALPN_PROTOCOLS))))
}

/// Encrypts by TLS. The system's certificates are read for the first connection.
#[derive(Debug)]
struct Tls(OnceLock<TlsConnector>);

impl Tls {
    async fn connector(&self) -> io::Result<&TlsConnector> {
        if let Some(connector) = self.0.get() {
            return Ok(connector);
        }
        let connector = spawn_blocking(TlsConnector::new).await.map_err(io::Error::other)?;
        let connector = connector.map_err(io::Error::other)?;
        Ok(self.0.get_or_init(|| connector.with_alpn_protocols(ALPN_PROTOCOLS)))
    }
}

impl Encryption for Tls {
    fn encrypt<'a>(
        &'a self,
        socket: AnyStream,
        server: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<ByteStream>> + 'a>> {
        Box::pin(async move {
            let connector = self.connector().await?;
            let stream = connector.connect(socket, server).await;
            stream.map(over_tls).map_err(io::Error::other)
        })
    }
}
