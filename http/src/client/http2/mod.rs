//! HTTP/2, by h2 (features `tls` and `http2`).
//!
//! A request to an `https` URL is a stream of the connection to its server, if that has chosen
//! HTTP/2. The task of the connection moves its frames. As over HTTP/1.1, the caller's task does
//! the rest while it awaits the response: it sends the body, receives, and watches the clock.
//!
//! Reading order: `connecting`, how a request gets a stream; `origins`, which servers speak HTTP/2,
//! and the connections to them; `connection`; `exchange`, with `request` and `response`; `errors`.
//! `no_http2` stands in for this without the features.

mod connecting;
mod connection;
mod errors;
mod exchange;
mod origins;
mod request;
mod response;

pub(super) use connecting::connect;
pub(super) use origins::Origins;
