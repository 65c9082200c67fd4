//! The HTTP part of a server: what each loop does with its connections.

pub(crate) mod activity;
pub(crate) mod connection;
pub(crate) mod connection_server;
pub(crate) mod counters;
pub(crate) mod handshake;
pub(crate) mod http2;
pub(crate) mod loop_context;
#[cfg(feature = "metrics")]
pub(crate) mod metrics;
mod opening;
pub(crate) mod options;
mod serve;
pub(crate) mod stats;
pub(crate) mod timeouts;
#[cfg(feature = "tls")]
mod tls;
