//! The certificate of a server that speaks TLS: for 127.0.0.1, made when it starts.

use std::fs;
use std::io;
use std::path::Path;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};

/// The name of its file.
pub(super) const CERTIFICATE: &str = "certificate.pem";
/// The name of the file of its private key.
pub(super) const KEY: &str = "key.pem";

/// Creates a certificate with a key on the curve P-256, and writes both to files in `directory`.
///
/// # Errors
/// If the files cannot be written.
pub(super) fn create(directory: &Path) -> io::Result<()> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(io::Error::other)?;
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).map_err(io::Error::other)?;
    let certificate = params.self_signed(&key).map_err(io::Error::other)?;
    fs::write(directory.join(CERTIFICATE), certificate.pem())?;
    fs::write(directory.join(KEY), key.serialize_pem())
}
