//! Certificate authorities that are trusted.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use crate::tls::error::TlsError;
use crate::tls::pem;

/// The certificate authorities that one side trusts to certify the other.
///
/// # Examples
/// ```no_run
/// use brigade_runtime::tls::{TlsConnector, TlsRoots};
///
/// # fn connector() -> Result<TlsConnector, brigade_runtime::tls::TlsError> {
/// let connector = TlsConnector::builder().roots(TlsRoots::from_pem_file("ca.pem")?).build()?;
/// # Ok(connector)
/// # }
/// ```
#[derive(Clone)]
pub struct TlsRoots {
    store: Arc<RootCertStore>,
}

impl TlsRoots {
    /// Reads the certificates that the system trusts, or those that `SSL_CERT_FILE` and
    /// `SSL_CERT_DIR` name. Blocks while it reads the files. Certificates that cannot be parsed are
    /// skipped.
    ///
    /// # Errors
    /// If there is no usable certificate.
    pub fn system() -> Result<Self, TlsError> {
        let found = rustls_native_certs::load_native_certs();
        let mut store = RootCertStore::empty();
        let (used, _) = store.add_parsable_certificates(found.certs);
        match (used, found.errors.into_iter().next()) {
            (0, Some(error)) => Err(TlsError::because("no certificate of the system", error)),
            (0, None) => Err(TlsError::new(
                "no certificate of the system: install ca-certificates, or set SSL_CERT_FILE",
            )),
            _ => Ok(Self { store: Arc::new(store) }),
        }
    }

    /// Parses all certificates in `pem`.
    ///
    /// # Errors
    /// If there is none, or one cannot be used as an authority.
    pub fn from_pem(pem: impl AsRef<[u8]>) -> Result<Self, TlsError> {
        Self::parse(pem.as_ref(), "the given roots")
    }

    /// Reads a file and parses all certificates in it.
    ///
    /// # Errors
    /// If the file cannot be read, and as for [`TlsRoots::from_pem`].
    pub fn from_pem_file(path: impl AsRef<Path>) -> Result<Self, TlsError> {
        let path = path.as_ref();
        Self::parse(&pem::read_file(path)?, path.display())
    }

    /// Takes certificates in DER, such as that of a server that has certified itself.
    ///
    /// # Errors
    /// If there is none, or one cannot be used as an authority.
    pub fn from_der(
        certificates: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Self, TlsError> {
        let roots = Self::add_all(certificates, "the given roots")?;
        match roots.is_empty() {
            true => Err(TlsError::new("no certificate in the given roots")),
            false => Ok(roots),
        }
    }

    fn parse(pem: &[u8], from: impl fmt::Display) -> Result<Self, TlsError> {
        Self::add_all(pem::certificates(pem, &from)?, &from)
    }

    fn add_all(
        certificates: impl IntoIterator<Item = CertificateDer<'static>>,
        from: impl fmt::Display,
    ) -> Result<Self, TlsError> {
        let mut store = RootCertStore::empty();
        for certificate in certificates {
            store.add(certificate).map_err(|error| {
                TlsError::because(format!("a certificate of {from} cannot be a root"), error)
            })?;
        }
        Ok(Self { store: Arc::new(store) })
    }

    /// Returns the number of authorities.
    #[must_use]
    pub fn len(&self) -> usize {
        self.store.len()
    }

    /// Returns `true` if no authority is trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.store.is_empty()
    }

    pub(super) fn store(&self) -> Arc<RootCertStore> {
        self.store.clone()
    }
}

/// Only the number of authorities.
impl fmt::Debug for TlsRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsRoots").field("len", &self.len()).finish()
    }
}
