//! The implementation of cryptography that is used unless another one is given.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::server::ProducesTickets;

use crate::tls::error::TlsError;

/// Returns the provider that is built in. The provider of the process, which any library could have
/// set, is never used.
pub(super) fn default_provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Returns what encrypts session tickets, by a key that is known to this process only and is
/// replaced every six hours. The key before it is still accepted.
pub(super) fn ticketer() -> Result<Arc<dyn ProducesTickets>, TlsError> {
    ring::Ticketer::new()
        .map_err(|error| TlsError::because("cannot make the key of session tickets", error))
}
