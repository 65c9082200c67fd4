//! Certificates and keys in PEM, from files or from memory.

use std::fmt::Display;
use std::path::Path;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::tls::error::TlsError;

/// The size limit of a file of certificates or of a key: a bundle of all roots that browsers trust
/// has 230 KB.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Reads a file.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, TlsError> {
    let cannot_read = |error| TlsError::because(format!("cannot read {}", path.display()), error);
    let length = std::fs::metadata(path).map_err(cannot_read)?.len();
    if length > FILE_BYTES_MAX {
        let what = format!("{} has {length} bytes, more than {FILE_BYTES_MAX}", path.display());
        return Err(TlsError::new(what));
    }
    std::fs::read(path).map_err(cannot_read)
}

/// Parses all certificates in `pem`, of which there has to be one at least. `from` names the origin
/// in errors.
pub(super) fn certificates(
    pem: &[u8],
    from: impl Display,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let parsed = parsed.map_err(|error| {
        TlsError::because(format!("cannot parse the certificates of {from}"), error)
    })?;
    if parsed.is_empty() {
        return Err(TlsError::new(format!(
            "no certificate in {from}: a PEM section 'CERTIFICATE' is needed"
        )));
    }
    Ok(parsed)
}

/// Parses the first private key in `pem`. `from` names the origin in errors.
pub(super) fn key(pem: &[u8], from: impl Display) -> Result<PrivateKeyDer<'static>, TlsError> {
    use rustls::pki_types::pem::Error;
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        Error::NoItemsFound => TlsError::new(format!(
            "no private key in {from}: a PEM section 'PRIVATE KEY', 'EC PRIVATE KEY' or \
             'RSA PRIVATE KEY' is needed, without a passphrase"
        )),
        error => TlsError::because(format!("cannot parse the private key of {from}"), error),
    })
}
