//! Without the feature `tls-self-signed`, its option says what is missing.

use std::error::Error;

use crate::tls::Tls;

/// Returns an error that says how to build the server with it.
pub(crate) fn make() -> Result<(Tls, String), Box<dyn Error>> {
    let how = "`cargo run --release --features tls-self-signed --example httpbin_delay`";
    Err(format!("built without certificates of its own: use {how}").into())
}
