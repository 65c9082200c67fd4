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
//! | route requests, and limit what a route may take | [`Router`], [`MethodRouter`] |
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

pub mod client;
#[cfg(feature = "files")]
mod files;
mod message;
pub mod middleware;
pub mod protocol;
mod routing;
mod server;
mod transport;

// What our signatures speak of, so that an application needs no dependency of its own for it.
pub use bytes::Bytes;
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};

pub use client::{
    Client, ClientBuilder, ClientError, ClientErrorKind, ClientRequest, ClientResponse, TimeoutKind,
};
#[cfg(feature = "files")]
pub use files::{Directory, serve_file};
pub use message::body::{Body, Part};
pub use message::body_error::{BodyError, BoxError};
pub use message::cookies::Cookies;
pub use message::extensions::Extensions;
#[cfg(feature = "query")]
pub use message::form::FormError;
pub use message::handler_error::HandlerError;
#[cfg(feature = "json")]
pub use message::json::{Json, JsonError};
pub use message::presence::Disconnected;
pub use message::query::ParamError;
pub use message::request::Request;
pub use message::request_body::RequestBody;
pub use message::request_builder::RequestBuilder;
pub use message::response::{IntoResponse, Response};
pub use message::upgrade::Upgraded;
pub use protocol::limits::{self, Limits, Timeouts};
pub use protocol::{
    BodyEvent, BodyLength, ClientConnection, DATE_BYTES, DateCache, EncodeError, Framing,
    HeaderLines, Headers, Iter, OutgoingBody, ProtocolError, RequestEvent, RequestHead,
    ResponseEvent, ResponseHead, ServerConnection,
};
pub use routing::handler::Next;
pub use routing::method_router::{MethodRouter, any, delete, get, head, options, patch, post, put};
pub use routing::router::Router;
pub use routing::service::Service;
pub use server::activity::{Activity, ConnectionState};
pub use server::crew::OnLoopDeath;
#[cfg(feature = "metrics")]
pub use server::metrics::metrics;
pub use server::options::{LoopReport, STALL_THRESHOLD, Server};
pub use server::phase::{Phase, ServerState};
pub use server::stats::{LoopStats, Stats};
