//! `https` URLs (feature `tls`).

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use brigade_runtime::net::AnyStream;
use brigade_runtime::spawn_blocking;
use brigade_runtime::tls::TlsConnector;

use crate::client::encryption::Encryption;
use crate::client::options::ClientBuilder;
use crate::message::byte_stream::ByteStream;
use crate::transport::tls_duplex::over_tls;

impl ClientBuilder {
    /// Sets how the connections of `https` URLs are encrypted: which certificates are trusted, and
    /// which one the client has (feature `tls`). By default the system's certificates are trusted.
    ///
    /// # Examples
    /// ```no_run
    /// use brigade_http::Client;
    /// use brigade_runtime::tls::{TlsConnector, TlsRoots};
    ///
    /// fn client() -> Result<Client, Box<dyn std::error::Error>> {
    ///     let roots = TlsRoots::from_pem_file("ca.pem")?;
    ///     let connector = TlsConnector::builder().roots(roots).build()?;
    ///     Ok(Client::builder().tls(connector).build())
    /// }
    /// ```
    pub fn tls(mut self, connector: TlsConnector) -> Self {
        self.options.encryption = Some(Arc::new(Tls(OnceLock::from(connector))));
        self
    }
}

/// Returns the encryption of a client without options.
pub(super) fn by_default() -> Option<Arc<dyn Encryption>> {
    Some(Arc::new(Tls(OnceLock::new())))
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
        Ok(self.0.get_or_init(|| connector.with_alpn_protocols(["http/1.1"])))
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
