//! The implementation of cryptography that is used unless another one is given.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::server::ProducesTickets;

use crate::tls::error::TlsError;

/// Returns the provider that is built in: ring's, with the key exchange of graviola on processors
/// that are fit for it. The provider of the process, which any library could have set, is never
/// used.
pub(super) fn default_provider() -> Arc<CryptoProvider> {
    #[allow(unused_mut, reason = "graviola does not exist for all architectures")]
    let mut provider = ring::default_provider();
    #[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
    if graviola::util::is_cpu_supported() {
        provider.kx_groups = rustls_graviola::kx::ALL_KX_GROUPS.to_vec();
    }
    Arc::new(provider)
}

/// Returns what encrypts session tickets, by a key that is known to this process only and is
/// replaced every six hours. The key before it is still accepted.
pub(super) fn ticketer() -> Result<Arc<dyn ProducesTickets>, TlsError> {
    ring::Ticketer::new()
        .map_err(|error| TlsError::because("cannot make the key of session tickets", error))
}

#[cfg(all(test, any(target_arch = "aarch64", target_arch = "x86_64")))]
mod tests {
    use rustls::NamedGroup;

    use super::*;

    #[test]
    fn a_key_exchange_that_resists_quantum_computers_comes_first_if_the_processor_is_fit_for_it() {
        let first = match graviola::util::is_cpu_supported() {
            true => NamedGroup::X25519MLKEM768,
            false => NamedGroup::X25519,
        };
        let groups: Vec<_> =
            default_provider().kx_groups.iter().map(|group| group.name()).collect();
        assert_eq!(groups[0], first);
        for group in [NamedGroup::X25519, NamedGroup::secp256r1, NamedGroup::secp384r1] {
            assert!(groups.contains(&group), "{group:?} of {groups:?}");
        }
    }
}
