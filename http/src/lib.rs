//! A strict, minimal HTTP/1.1.
//!
//! The modules in reading order, each importing only from those before it. Those of the core do
//! no I/O and read no clock: bytes in, events out, bytes out.
//!
//! | module | |
//! | --- | --- |
//! | `limits`, `error`, `date` | what a peer may cost, what can be wrong, the `Date` header |
//! | `syntax`, `buffer` | characters and lines; the bytes received and not decoded |
//! | `headers`, `fields` | headers to be sent; headers that were received |
//! | `framing` | how long a body is, in the order of RFC 9112 section 6.3 |
//! | `head` | what was received of a request or a response before its body |
//! | `chunked` | the chunked coding |
//! | `known_fields`, `scan` | headers that decide how a message is read; heads of the usual form |
//! | `decode`, `body_decoder` | bytes to heads and bodies |
//! | `body_encoder`, `encode` | heads and bodies to bytes |
//! | `connection`, `client_connection` | the two sides of the protocol as state machines |
//!
//! What a handler has of it:
//!
//! | to | see |
//! | --- | --- |
//! | route requests, and limit what a route may take | [`Router`], [`Methods`] |
//! | read path, query and cookies | [`Request`], [`RequestHead`] |
//! | read a body | [`Request::body_mut`], [`RequestBody`]; with features `Request::json`, `form` |
//! | answer, also with an error | [`IntoResponse`], [`Response`], [`HandlerError`] |
//! | send files | with a feature `serve_file`, `Router::files` |
//! | log, allow other origins, catch panics, tell requests apart | [`middleware`] |
//! | see where the time of a request goes | [`Server::server_timing`]; spans at level `DEBUG` |
//! | hear that a client has gone | [`Request::disconnected`] |
//! | go on with another protocol | [`Response::upgrade`] |
//! | see from outside what the server does | [`Server::stats`]; with a feature `metrics` |
//! | ask other servers | [`client`] |
//! | test handlers and routers without sockets | [`Service`], [`Request::builder`] |
//!
//! # Features
//!
//! | feature | |
//! | --- | --- |
//! | `query` | `RequestHead::query_as`, `Request::form`: queries and forms by serde |
//! | `json` | `Request::json`, `Json`: bodies in JSON by serde |
//! | `files` | `serve_file`, `Router::files`: conditional, by range, with their media type |
//! | `metrics` | `metrics`: the server's numbers for Prometheus |
//!
//! # What a header that is set by hand may say of framing
//!
//! - `Content-Length` counts where it says something new: on the answer to `HEAD`, on a 304, and
//!   on a body of unknown length, which is then sent with that length. Elsewhere it has to agree
//!   with the body, or the message is refused.
//! - `Transfer-Encoding` is refused.
//! - `Connection: close` in an answer closes the connection after it. Other options of an
//!   answer's `Connection`, and its `Keep-Alive`, are left out.
//! - `Date` replaces ours.
#![forbid(unsafe_code)]

mod activity;
mod body;
mod body_decoder;
mod body_encoder;
mod buffer;
mod chunked;
pub mod client;
mod client_connection;
mod connection;
mod connection_task;
mod cookies;
mod counters;
mod crew;
mod date;
mod decode;
mod disconnected;
mod encode;
mod error;
mod extensions;
mod fields;
#[cfg(feature = "files")]
mod file;
#[cfg(feature = "query")]
mod form;
mod framing;
mod handler;
mod handler_error;
mod head;
mod headers;
#[cfg(feature = "json")]
mod json;
mod known_fields;
pub mod limits;
mod listeners;
mod literals;
mod loop_server;
#[cfg(any(feature = "json", feature = "query"))]
mod media_type;
#[cfg(feature = "metrics")]
mod metrics;
pub mod middleware;
mod outgoing;
mod parts;
mod phase;
mod query;
mod request;
mod request_builder;
mod response;
mod router;
mod scan;
mod server;
mod service;
mod stats;
mod syntax;
mod upgrade;

// What our signatures speak of, so that an application needs no dependency of its own for it.
pub use bytes::Bytes;
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};

pub use activity::{Activity, ConnectionState};
pub use body::{Body, BodyError, BoxError, Part, RequestBody};
pub use body_encoder::BodyLength;
pub use client::{
    Client, ClientBuilder, ClientError, ClientErrorKind, ClientRequest, ClientResponse, Waited,
};
pub use client_connection::{ClientConnection, ClientEvent};
pub use connection::{Connection, Event};
pub use cookies::Cookies;
pub use crew::OnLoopDeath;
pub use date::{DATE_BYTES, DateCache};
pub use disconnected::Disconnected;
pub use error::{EncodeError, ProtocolError};
pub use fields::HeaderLines;
#[cfg(feature = "files")]
pub use file::{Directory, serve_file};
#[cfg(feature = "query")]
pub use form::FormError;
pub use framing::Framing;
pub use handler::Next;
pub use handler_error::HandlerError;
pub use head::{RequestHead, ResponseHead};
pub use headers::{Headers, Iter};
#[cfg(feature = "json")]
pub use json::{Json, JsonError};
pub use limits::{Limits, Timeouts};
#[cfg(feature = "metrics")]
pub use metrics::metrics;
pub use phase::{Phase, Phases};
pub use query::BadParam;
pub use request::Request;
pub use request_builder::RequestBuilder;
pub use response::{IntoResponse, Response};
pub use router::{Methods, Router, any, delete, get, head, options, patch, post, put};
pub use server::{LoopReport, STALL_THRESHOLD, Server};
pub use service::Service;
pub use stats::{LoopStats, Stats};
pub use upgrade::Upgraded;
