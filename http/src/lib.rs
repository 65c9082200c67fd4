//! A strict, minimal HTTP/1.1 for brigade's event loops: server, client, and the protocol itself.
//!
//! # Where things are
//!
//! | to | see |
//! | --- | --- |
//! | start a server | [`Server`]; for streams that are no sockets [`ConnectionServer`] |
//! | route requests, with options for each route | [`Router`], [`MethodRouter`] |
//! | receive parts of a request as arguments | [`Handler`], [`State`], `Path`, `Query`, `Json` |
//! | make arguments of your own | [`FromRequestParts`], [`FromRequest`] |
//! | read the path, the query, headers and cookies | [`Request`], [`RequestHead`] |
//! | read a body | [`Request::body_mut`], [`Body`]; with features `Request::json`, `form` |
//! | replace or transform a body | [`Request::map_body`], [`Body::inspect`], [`Body::map_data`] |
//! | respond | [`IntoResponse`], [`Response`], [`Html`], [`Redirect`] |
//! | return errors | [`HandlerError`], [`ResultExt`], [`Router::on_error`] |
//! | serve files | `serve_file`, `Router::files` (feature `files`) |
//! | log, allow other origins, catch panics, limit the time, add request ids | [`middleware`] |
//! | measure where the time of a request goes | [`Server::server_timing`]; spans at level `DEBUG` |
//! | notice that a client has disconnected | [`Request::disconnected`] |
//! | send events to browsers | [`Sse`], [`Event`] |
//! | end an endless response at a shutdown | [`Body::until_draining`], [`draining`] |
//! | serve WebSockets | `WebSocketUpgrade` (feature `websocket`) |
//! | switch to another protocol | [`Response::upgrade`] |
//! | observe a running server | [`Server::stats`]; `metrics` (feature `metrics`) |
//! | send requests to other servers | [`Client`] |
//! | pass requests on to other servers | [`Client::forward`], [`Headers::remove_hop_by_hop`] |
//! | test handlers and routers without sockets | [`Service`], [`Request::builder`] |
//! | drive HTTP/1.1 without this crate's server and client | [`protocol`] |
//!
//! # Features
//!
//! | feature | |
//! | --- | --- |
//! | `query` | `Path`, `Query`, `Form`: paths, queries and forms, by serde; for clients too |
//! | `json` | `Json`, `Request::json`, `Router::json_errors`: JSON by serde; for clients too |
//! | `files` | `serve_file`, `Router::files`: conditional requests, ranges, media types |
//! | `compression` | [`middleware`]`::{compression, decompression}`, `ClientBuilder::decompress` |
//! | `send-body` | `SendBody`: bodies for libraries that want them to be `Send`, such as `multer` |
//! | `websocket` | `WebSocketUpgrade`, `websocket`: WebSockets |
//! | `tower` | tower's services, such as axum's routers, and its layers, in a [`Router`] |
//! | `hyper` | `bridge`: streams, an executor and timers for hyper |
//! | `http2` | `Server::http2`, `Http2Options`: HTTP/2, and with `tls` that of the client |
//! | `metrics` | `metrics`: the server's statistics for Prometheus |
//! | `tls` | `Server::tls`, `TlsInfo`, `ClientBuilder::tls`: HTTPS |
//!
//! # Headers for framing
//!
//! The headers that frame a message are added when it is sent. If you set one of them yourself:
//!
//! - `Content-Length` is sent as it is with a response to `HEAD` and with a 304. A body of unknown
//!   length is then sent with this length instead of in chunks. In any other message it must equal
//!   the length of the body, or the message is refused.
//! - `Transfer-Encoding` is refused.
//! - `Connection: close` in a response closes the connection after it. Other options of its
//!   `Connection`, and its `Keep-Alive`, are left out.
//! - `Upgrade` adds `Connection: upgrade`.
//! - Your `Date` is sent in place of the current one.
//!
//! # Folders
//!
//! Each folder imports only from those before it: `protocol` (no I/O, no clock), `message`
//! (requests and responses), `transport` (shared by server and client), `extract` (arguments of
//! handlers), `websocket`, `routing`, `middleware`, `files`, `bridge`, `server`. `client` imports
//! from `protocol`, `message` and `transport`.
#![forbid(unsafe_code)]

#[cfg(any(feature = "tower", feature = "hyper"))]
pub mod bridge;
pub mod client;
mod extract;
#[cfg(feature = "files")]
mod files;
mod message;
pub mod middleware;
pub mod protocol;
mod routing;
mod server;
mod transport;
#[cfg(feature = "websocket")]
pub mod websocket;

// Types of other crates in our signatures, so that an application needs no dependency for them.
pub use brigade_runtime::net::PeerAddr;
pub use brigade_runtime::server::{
    OnLoopDeath, Phase, STALL_THRESHOLD, ServerState, UnixPath, draining, until_draining,
};
pub use bytes::Bytes;
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};

pub use client::{
    Client, ClientBuilder, ClientError, ClientErrorKind, ClientRequest, ClientResponse, TimeoutKind,
};
pub use extract::extension::Extension;
#[cfg(feature = "query")]
pub use extract::form::Form;
pub use extract::from_request::{FromRequest, FromRequestParts, ViaParts, ViaRequest};
#[cfg(feature = "query")]
pub use extract::path::Path;
pub use extract::peer::Peer;
#[cfg(feature = "query")]
pub use extract::query::Query;
pub use extract::state::State;
#[cfg(feature = "files")]
pub use files::{Directory, serve_file};
pub use message::body::Body;
pub use message::body_error::{BodyError, BoxError};
pub use message::cookies::{CookieIter, Cookies};
pub use message::extensions::Extensions;
#[cfg(feature = "query")]
pub use message::form::{FieldError, FormError};
pub use message::handler_error::{HandlerError, ResultExt};
pub use message::html::Html;
#[cfg(feature = "json")]
pub use message::json::{Json, JsonError};
pub use message::param_error::ParamError;
pub use message::part::Part;
#[cfg(feature = "query")]
pub use message::path_error::PathError;
pub use message::presence::Disconnected;
pub use message::redirect::Redirect;
pub use message::request::Request;
pub use message::request_builder::RequestBuilder;
pub use message::response::{IntoResponse, Response};
pub use message::response_parts::{IntoResponseParts, InvalidHeader};
#[cfg(feature = "send-body")]
pub use message::send_body::SendBody;
pub use message::sse::Sse;
pub use message::sse_event::{Event, EventError};
pub use message::states::Requirements;
#[cfg(feature = "tls")]
pub use message::tls_info::{TlsDetails, TlsInfo};
pub use message::upgrade::Upgraded;
pub use protocol::limits::{self, Limits};
pub use protocol::{BodyLength, EncodeError, Headers, ProtocolError, RequestHead, ResponseHead};
pub use routing::endpoint::Next;
pub use routing::handler::{BoxedHandler, Handler};
pub use routing::method_router::{MethodRouter, any, delete, get, head, options, patch, post, put};
pub use routing::router::Router;
pub use routing::service::Service;
pub use server::activity::{ConnectionInfo, ConnectionState};
pub use server::connection_server::ConnectionServer;
pub use server::handshake::HandshakeCounts;
#[cfg(feature = "http2")]
pub use server::http2::Http2Options;
#[cfg(feature = "metrics")]
pub use server::metrics::metrics;
pub use server::options::Server;
pub use server::stats::{LoopReport, LoopStats, RequestCounts, Stats};
pub use server::timeouts::Timeouts;
#[cfg(feature = "websocket")]
pub use websocket::{WebSocket, WebSocketUpgrade};
