//! What stands in for `tls` without its feature.

use std::sync::Arc;

use crate::client::encryption::Encryption;

/// Returns that there is no encryption.
pub(super) const fn by_default() -> Option<Arc<dyn Encryption>> {
    None
}
