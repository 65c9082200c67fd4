//! What the drivers of a server connection and of a client connection share.
//!
//! Reading order: `buffers` (which the connections of a loop share), `reading`, `outgoing`
//! (writing), `deadline` (timeouts), `pace` (minimum rates), `futures_duplex` (streams that are no
//! sockets), `tls_duplex`, `http2` (the frames of HTTP/2).

pub(crate) mod buffers;
pub(crate) mod deadline;
pub(crate) mod futures_duplex;
#[cfg(feature = "http2")]
#[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "clients have it only with TLS"))]
pub(crate) mod http2;
pub(crate) mod outgoing;
pub(crate) mod pace;
pub(crate) mod reading;
#[cfg(feature = "tls")]
pub(crate) mod tls_duplex;
