//! How a client encrypts the connections of `https` URLs.

use std::fmt::Debug;
use std::io;
use std::pin::Pin;

use brigade_runtime::net::AnyStream;

use crate::message::byte_stream::ByteStream;

/// A new connection. Without encryption it is only of HTTP/1.1.
pub(super) struct Opened {
    pub(super) stream: ByteStream,
    /// The server has chosen HTTP/2.
    #[cfg_attr(
        not(all(feature = "tls", feature = "http2")),
        expect(dead_code, reason = "no HTTP/2")
    )]
    pub(super) is_http2: bool,
}

/// What encrypts connections, as TLS does.
pub(super) trait Encryption: Send + Sync + Debug {
    /// Begins a handshake with the server of this name or IP address. `offers_http2` offers HTTP/2
    /// besides HTTP/1.1.
    ///
    /// # Errors
    /// If the handshake fails.
    fn encrypt<'a>(
        &'a self,
        socket: AnyStream,
        server: &'a str,
        offers_http2: bool,
    ) -> Pin<Box<dyn Future<Output = io::Result<Opened>> + 'a>>;
}
