//! Certificates that are made on the spot, for tests and for local servers.

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::tls::config::TlsConfig;
use crate::tls::error::TlsError;

impl TlsConfig {
    /// Makes a key and a certificate for `names`, which no authority certifies: clients accept it
    /// only if they are told to. For tests and local servers. `names` are DNS names and IP
    /// addresses.
    ///
    /// The certificate is the first of [`TlsConfig::certificates`], for its fingerprint.
    ///
    /// # Errors
    /// If a name is neither a DNS name nor an address.
    ///
    /// # Examples
    /// ```
    /// use brigade_runtime::tls::TlsConfig;
    ///
    /// let config = TlsConfig::self_signed(["localhost", "127.0.0.1"])?;
    /// assert_eq!(config.certificates().len(), 1);
    /// # Ok::<_, brigade_runtime::tls::TlsError>(())
    /// ```
    pub fn self_signed<N: Into<String>>(
        names: impl IntoIterator<Item = N>,
    ) -> Result<Self, TlsError> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        let made = rcgen::generate_simple_self_signed(names)
            .map_err(|error| TlsError::because("cannot make a certificate", error))?;
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        Self::builder()
            .certificate_der(vec![made.cert.der().clone()], PrivateKeyDer::from(key))
            .build()
    }
}
