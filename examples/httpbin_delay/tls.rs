//! The server over TLS.

use std::error::Error;
use std::path::Path;

use brigade::http::Server;
use brigade::signal::SignalKind;
use brigade::spawn;
use brigade::tls::{TlsConfig, TlsRoots};

/// The certificate of the server.
pub(crate) struct Tls(pub(crate) TlsConfig);

impl Tls {
    /// Reads a certificate and its key from files. With `clients`, the authorities in that file
    /// have to have signed the certificates of clients.
    pub(crate) fn from_files(
        certificate: &Path,
        key: &Path,
        clients: Option<&Path>,
    ) -> Result<Self, Box<dyn Error>> {
        let config = TlsConfig::builder().certificate_files(certificate, key);
        let config = match clients {
            Some(file) => config.require_client_certificates(TlsRoots::from_pem_file(file)?),
            None => config,
        };
        Ok(Self(config.build()?))
    }

    pub(crate) fn serve(&self, server: Server) -> Server {
        server.tls(self.0.clone())
    }

    /// Reads the files again on SIGHUP.
    pub(crate) fn reload_on_hangup(&self) {
        let config = self.0.clone();
        spawn(async move {
            if let Err(error) = config.reload_on(SignalKind::Hangup).await {
                tracing::error!("the certificates are not reloaded on SIGHUP: {error}");
            }
        })
        .detach();
    }
}
