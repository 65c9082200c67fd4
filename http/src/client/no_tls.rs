//! What stands in for `tls` without its feature.

use std::sync::Arc;

use crate::client::encryption::Encryption;

/// There are no `https` URLs.
pub(super) const IS_SUPPORTED: bool = false;

/// Returns that there is no encryption.
pub(super) const fn by_default() -> Option<Arc<dyn Encryption>> {
    None
}
