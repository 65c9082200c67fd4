//! The options of `https` URLs (feature `tls`).

use brigade_runtime::tls::TlsConnector;

use crate::client::options::ClientBuilder;
use crate::client::tls;

impl ClientBuilder {
    /// Sets how the connections of `https` URLs are encrypted: which certificates are trusted, and
    /// which one the client has (feature `tls`). By default the system's certificates are trusted.
    /// By ALPN the client offers HTTP/1.1, and with the feature `http2` HTTP/2 before it, in place
    /// of what `connector` has.
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
        self.options.encryption = Some(tls::with(connector));
        self
    }
}
