//! The options of a server that are about HTTP/2.

use crate::server::http2::options::Http2Options;
use crate::server::options::Server;

/// # HTTP/2 (feature `http2`)
impl Server {
    /// Sets the options of HTTP/2. See [`Http2Options`].
    ///
    /// # Examples
    /// A server behind a proxy that speaks HTTP/2 without TLS:
    ///
    /// ```no_run
    /// use brigade_http::{Http2Options, Router, Server, get};
    ///
    /// fn main() -> std::io::Result<()> {
    ///     let http2 = Http2Options { prior_knowledge: true, ..Http2Options::default() };
    ///     let server = Server::bind("127.0.0.1:8080")?.http2(http2);
    ///     server.run(|| Router::new().route("/", get(async || "Hello, World!")))?;
    ///     Ok(())
    /// }
    /// ```
    pub fn http2(self, http2: Http2Options) -> Self {
        self.with_http2(http2)
    }
}
