//! Without the feature `http2`, its option says what is missing.

use std::error::Error;

use brigade::http::Server;

/// Returns an error that says how to build the server with HTTP/2.
pub(crate) fn allow(_: Server) -> Result<Server, Box<dyn Error>> {
    let how = "`cargo run --release --features http2 --example httpbin_delay`";
    Err(format!("built without HTTP/2: use {how}").into())
}
