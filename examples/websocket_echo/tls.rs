//! The server over TLS.

use std::error::Error;
use std::path::Path;

use brigade::http::Server;
use brigade::tls::TlsConfig;

/// Makes the server speak TLS, with the certificate and the key in these files.
pub(crate) fn serve(
    server: Server,
    certificate: &Path,
    key: &Path,
) -> Result<Server, Box<dyn Error>> {
    Ok(server.tls(TlsConfig::from_pem_files(certificate, key)?))
}
