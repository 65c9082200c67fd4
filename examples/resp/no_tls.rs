//! Without the feature `tls`, the options of TLS say what is missing.

use std::error::Error;
use std::path::Path;

use brigade::TcpServer;

/// Returns an error that says how to build the server with TLS.
pub(crate) fn run(_: TcpServer, _: &Path, _: &Path) -> Result<(), Box<dyn Error>> {
    Err("built without TLS: use `cargo run --features tls --example resp`".into())
}
