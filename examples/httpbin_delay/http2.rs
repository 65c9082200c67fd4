//! HTTP/2 without TLS.

use std::error::Error;

use brigade::http::{Http2Options, Server};

/// Lets clients speak HTTP/2 without asking.
pub(crate) fn allow(server: Server) -> Result<Server, Box<dyn Error>> {
    Ok(server.http2(Http2Options { prior_knowledge: true, ..Http2Options::default() }))
}
