//! How the servers of other frameworks over rustls are configured: all alike.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls_graviola::kx::ALL_KX_GROUPS;

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
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()?))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(io::Error::other)?;
    config.ticketer = ring::Ticketer::new().map_err(io::Error::other)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Returns ring's cryptography, with another key exchange if `PEER_KEY_EXCHANGE` names one.
///
/// # Errors
/// If it names an unknown one.
fn provider() -> io::Result<CryptoProvider> {
    let ring = ring::default_provider();
    match std::env::var("PEER_KEY_EXCHANGE").as_deref() {
        Err(_) | Ok("ring") => Ok(ring),
        Ok("graviola") => Ok(CryptoProvider { kx_groups: ALL_KX_GROUPS.to_vec(), ..ring }),
        Ok(other) => Err(io::Error::other(format!("PEER_KEY_EXCHANGE is {other}"))),
    }
}

/// Returns the path of a file that the harness sets in the environment.
///
/// # Errors
/// If it is not set.
fn path(name: &str) -> io::Result<PathBuf> {
    let missing = || io::Error::other(format!("{name} is not set"));
    std::env::var_os(name).map(PathBuf::from).ok_or_else(missing)
}
