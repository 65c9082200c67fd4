//! Requests and responses as handlers see them.

pub(crate) mod body;
pub(crate) mod body_error;
pub(crate) mod body_interop;
pub(crate) mod body_map;
#[cfg_attr(
    not(all(feature = "websocket", feature = "tls")),
    allow(dead_code, reason = "WebSockets end streams that others wait for, TLS encrypts")
)]
pub(crate) mod byte_stream;
pub(crate) mod client_error;
#[cfg(feature = "compression")]
mod codec;
#[cfg(feature = "compression")]
pub(crate) mod compress;
#[cfg(any(feature = "compression", feature = "files"))]
pub(crate) mod content_coding;
pub(crate) mod cookies;
#[cfg(feature = "compression")]
pub(crate) mod decompress;
pub(crate) mod escaped;
pub(crate) mod extensions;
pub(crate) mod failure;
#[cfg_attr(not(feature = "files"), allow(dead_code, reason = "only files have its errors"))]
pub(crate) mod file_error;
#[cfg(feature = "query")]
pub(crate) mod form;
pub(crate) mod guarded;
pub(crate) mod handler_error;
pub(crate) mod html;
#[cfg(feature = "json")]
pub(crate) mod json;
pub(crate) mod log_limit;
#[cfg(any(feature = "json", feature = "query"))]
pub(crate) mod media_type;
pub(crate) mod observed_body;
pub(crate) mod observer;
pub(crate) mod param_error;
pub(crate) mod params;
pub(crate) mod parked;
#[cfg_attr(
    not(feature = "files"),
    allow(dead_code, reason = "only files have parts that are not in memory")
)]
pub(crate) mod part;
pub(crate) mod parts;
#[cfg(feature = "query")]
pub(crate) mod path_error;
pub(crate) mod pipe;
pub(crate) mod presence;
pub(crate) mod query;
pub(crate) mod redirect;
pub(crate) mod request;
pub(crate) mod request_builder;
pub(crate) mod request_text;
pub(crate) mod response;
pub(crate) mod response_parts;
pub(crate) mod route;
#[cfg(feature = "send-body")]
pub(crate) mod send_body;
pub(crate) mod sse;
pub(crate) mod sse_event;
#[cfg(feature = "json")]
pub(crate) mod sse_json;
pub(crate) mod states;
#[cfg(feature = "tls")]
pub(crate) mod tls_info;
#[cfg_attr(
    not(feature = "websocket"),
    allow(dead_code, reason = "only WebSockets take the stream out of an upgrade")
)]
pub(crate) mod upgrade;
#[cfg(feature = "websocket")]
pub(crate) mod websocket_rejection;
