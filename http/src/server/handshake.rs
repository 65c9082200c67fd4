//! What a server does with a connection before HTTP is spoken over it.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::pin::Pin;
use std::time::Duration;

use brigade_runtime::net::AnyStream;

use crate::message::byte_stream::ByteStream;

/// Turns accepted sockets into streams for HTTP, as TLS does. One for all loops.
pub(crate) trait Handshake: Send + Sync + Debug {
    /// Begins a handshake, now that the client has sent something. Returns `None` if it fails,
    /// and the connection has ended then.
    fn start(&self, socket: AnyStream) -> Pin<Box<dyn Future<Output = Option<Ready>>>>;

    /// Returns how long a client may be silent before it begins.
    fn timeout(&self) -> Duration;

    fn counts(&self) -> HandshakeCounts;
}

/// A stream over which a client speaks HTTP from now on.
pub(crate) struct Ready {
    pub(crate) stream: ByteStream,
    /// The protocol that both sides have chosen by ALPN (RFC 7301).
    pub(crate) alpn: Option<Vec<u8>>,
}

/// The TLS handshakes of all loops of a server, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandshakeCounts {
    /// Handshakes that succeeded.
    pub succeeded: u64,
    /// Those of them that resumed an earlier session.
    pub resumed: u64,
    /// Handshakes that failed, by reason, such as `timeout`, `not_tls` or `certificate`.
    pub failed: BTreeMap<&'static str, u64>,
}

impl fmt::Display for HandshakeCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { succeeded, resumed, failed } = self;
        write!(f, "{succeeded} TLS handshakes, {resumed} of them resumed")?;
        let failed = failed.iter().filter(|(_, count)| **count > 0);
        failed.into_iter().try_for_each(|(reason, count)| write!(f, ", {count} failed: {reason}"))
    }
}
