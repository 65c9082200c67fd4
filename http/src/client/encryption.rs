//! How a client encrypts the connections of `https` URLs.

use std::fmt::Debug;
use std::io;
use std::pin::Pin;

use brigade_runtime::net::AnyStream;

use crate::message::byte_stream::ByteStream;

/// What encrypts connections, as TLS does.
pub(super) trait Encryption: Send + Sync + Debug {
    /// Begins a handshake with the server of this name or IP address.
    ///
    /// # Errors
    /// If the handshake fails.
    fn encrypt<'a>(
        &'a self,
        socket: AnyStream,
        server: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<ByteStream>> + 'a>>;
}
