//! How the servers over rustls are configured: all alike, and as brigade configures it by default.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

pub use rustls::ServerConfig;

/// Returns a configuration with the certificate that the harness has made, with session tickets and
/// with HTTP/2 and HTTP/1.1 by ALPN.
///
/// # Errors
/// If the certificate cannot be read or used.
pub fn config() -> io::Result<ServerConfig> {
    let certificates: Vec<CertificateDer<'static>> =
        CertificateDer::pem_file_iter(path("PEER_CERTIFICATE")?)
            .and_then(Iterator::collect)
            .map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_file(path("PEER_KEY")?).map_err(io::Error::other)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(io::Error::other)?;
    config.ticketer = ring::Ticketer::new().map_err(io::Error::other)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Returns the path of a file that the harness sets in the environment.
///
/// # Errors
/// If it is not set.
fn path(name: &str) -> io::Result<PathBuf> {
    let missing = || io::Error::other(format!("{name} is not set"));
    std::env::var_os(name).map(PathBuf::from).ok_or_else(missing)
}
