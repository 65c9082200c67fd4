//! Without the feature `tls`, the options of TLS say what is missing.

use std::error::Error;
use std::path::Path;

use brigade::http::Server;

/// Returns an error that says how to build the server with TLS.
pub(crate) fn serve(_: Server, _: &Path, _: &Path) -> Result<Server, Box<dyn Error>> {
    Err("built without TLS: use `cargo run --features websocket,tls --example websocket_echo`"
        .into())
}
