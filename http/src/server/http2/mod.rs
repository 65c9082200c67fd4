//! HTTP/2, by h2 (feature `http2`).
//!
//! The connection's task polls a `connection::Http2Connection`, which polls h2. Requests are
//! handled there as far as that is possible at once, and within the task's budget. A stream that
//! waits is spawned as a task on the same loop, with a budget of its own, so that no stream holds
//! the others. What h2 leaves to the server is here: the routes, the spans and counters of
//! requests, deadlines, idle connections, the drain, and a limit on frames that ask for nothing.
//!
//! Reading order: `start`, how a connection becomes one of HTTP/2, and `options`; `connection`,
//! with the socket of `transport::http2` below it; `stream`, with `request` and `incoming` for what
//! is received, `response` and `sending` for what is sent. `shared` is what a connection and its
//! streams know of each other. Without the feature, `absent` stands in for `start` and `options`.

#[cfg(not(feature = "http2"))]
#[allow(dead_code, reason = "there is no connection of HTTP/2")]
mod absent;
#[cfg(feature = "http2")]
mod connection;
#[cfg(feature = "http2")]
mod ending;
#[cfg(feature = "http2")]
mod incoming;
#[cfg(feature = "http2")]
mod options;
#[cfg(feature = "http2")]
mod request;
#[cfg(feature = "http2")]
mod response;
#[cfg(feature = "http2")]
mod sending;
#[cfg(feature = "http2")]
mod server_options;
#[cfg(feature = "http2")]
mod shared;
#[cfg(feature = "http2")]
#[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "only TLS has ALPN"))]
mod start;
#[cfg(feature = "http2")]
mod stream;

#[cfg(not(feature = "http2"))]
#[cfg_attr(not(feature = "tls"), allow(unused_imports, reason = "only TLS has ALPN"))]
pub(crate) use absent::{
    ALPN_PROTOCOLS, Detected, Http2Options, Http2Start, detect, is_detected, of_alpn,
};
#[cfg(feature = "http2")]
pub use options::Http2Options;
#[cfg(feature = "http2")]
#[cfg_attr(not(feature = "tls"), allow(unused_imports, reason = "only TLS has ALPN"))]
pub(crate) use start::{ALPN_PROTOCOLS, Detected, Http2Start, detect, is_detected, of_alpn};
