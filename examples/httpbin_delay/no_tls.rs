//! Without the feature `tls`, the options of TLS say what is missing.

use std::error::Error;
use std::path::Path;

use brigade::http::Server;

/// There is no certificate.
pub(crate) enum Tls {}

impl Tls {
    /// Returns an error that says how to build the server with TLS.
    pub(crate) fn from_files(_: &Path, _: &Path, _: Option<&Path>) -> Result<Self, Box<dyn Error>> {
        let how = "`cargo run --release --features tls --example httpbin_delay`";
        Err(format!("built without TLS: use {how}").into())
    }

    pub(crate) fn serve(&self, _: Server) -> Server {
        match *self {}
    }

    pub(crate) fn reload_on_hangup(&self) {
        match *self {}
    }
}
