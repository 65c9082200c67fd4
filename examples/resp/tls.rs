//! The server over TLS.

use std::error::Error;
use std::path::Path;

use brigade::TcpServer;
use brigade::tls::{TlsConfig, TlsStream};

/// Serves over TLS, with the certificate and the key in these files.
pub(crate) fn run(server: TcpServer, certificate: &Path, key: &Path) -> Result<(), Box<dyn Error>> {
    let config = TlsConfig::from_pem_files(certificate, key)?;
    crate::announce(&server)?;
    server.tls(config).run(crate::handler::<TlsStream>)?;
    Ok(())
}
