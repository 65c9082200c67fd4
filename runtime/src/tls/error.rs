//! Why a TLS configuration cannot be used.

use std::error::Error;
use std::fmt;

/// Why a TLS configuration cannot be used: a file that cannot be read, a certificate that cannot be
/// parsed, a key that does not belong to its certificate. The text names the file and the reason.
#[derive(Debug)]
pub struct TlsError {
    what: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl TlsError {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), source: None }
    }

    /// Returns an error that says `what`, and why.
    pub(super) fn because(
        what: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { what: what.into(), source: Some(source.into()) }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.source.as_ref().map_or(Ok(()), |source| write!(f, ": {source}"))
    }
}

impl Error for TlsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

impl From<TlsError> for std::io::Error {
    fn from(error: TlsError) -> Self {
        Self::new(std::io::ErrorKind::InvalidInput, error)
    }
}
