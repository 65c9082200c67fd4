//! HTTP/1.1 without I/O: bytes in, events out, bytes out.
//!
//! [`ServerConnection`] is the server's side of a connection, [`ClientConnection`] the client's.
//! Neither knows a socket or reads a clock, so they can be driven by any transport and tested
//! without one.
//! The driver
//!
//! 1. reads from its socket and passes the bytes to `receive`, and the end of the stream to
//!    `receive_eof`;
//! 2. calls `next_head` for the next head, then `next_body` for the parts of its body, until they
//!    return `NeedData` or the end;
//! 3. sends with `send_head`, `outgoing_body` and `send_end`, which append to a buffer, and writes
//!    that buffer to its socket;
//! 4. enforces the timeouts, and the limits of its own buffers.
//!
//! Servers and clients of this crate do all of that by themselves: see [`Server`](crate::Server)
//! and [`Client`](crate::Client).
//!
//! # Examples
//!
//! ```
//! use std::time::SystemTime;
//!
//! use brigade_http::protocol::{DateCache, RequestEvent, ServerConnection};
//! use brigade_http::{BoxError, Headers, Limits, RequestHead, StatusCode};
//!
//! let (limits, mut date) = (Limits::default(), DateCache::new());
//! let mut connection = ServerConnection::new();
//! let mut head = RequestHead::empty();
//! let received = b"GET /hello HTTP/1.1\r\nHost: example.org\r\n\r\n";
//! let event = connection.receive_head(received, &mut head, &limits)?;
//! assert!(matches!(event, RequestEvent::Head));
//! assert_eq!((head.path(), head.host()), ("/hello", Some("example.org")));
//!
//! let date = date.bytes(SystemTime::now());
//! let mut out = Vec::new();
//! connection.send_whole(StatusCode::OK, &Headers::new(), b"Hello!", date, &mut out)?;
//! assert!(out.starts_with(b"HTTP/1.1 200 OK\r\n") && out.ends_with(b"\r\n\r\nHello!"));
//! # Ok::<_, BoxError>(())
//! ```
//!
//! # Modules
//!
//! In reading order; each imports only from those before it.
//!
//! | module | |
//! | --- | --- |
//! | `limits`, `error`, `date` | the limits for a peer, the errors, the `Date` header |
//! | `syntax`, `receive_buffer` | characters and lines; the bytes received and not decoded yet |
//! | `headers`, `fields` | headers to send; headers that were received |
//! | `framing` | the length of a body, in the order of RFC 9112 section 6.3 |
//! | `head` | the received head of a request or a response |
//! | `chunked` | the chunked coding |
//! | `known_fields`, `scan` | headers that determine how to read a message; usual heads |
//! | `decode`, `body_decoder` | bytes to heads and bodies |
//! | `body_encoder`, `encode` | heads and bodies to bytes |
//! | `incoming`, `outgoing_body` | what both sides share: the body that comes, the body that goes |
//! | `server_connection`, `client_connection` | the two sides of the protocol as state machines |

pub(crate) mod body_decoder;
pub(crate) mod body_encoder;
pub(crate) mod chunked;
pub(crate) mod client_connection;
pub(crate) mod date;
pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod error;
pub(crate) mod fields;
pub(crate) mod framing;
pub(crate) mod head;
pub(crate) mod headers;
pub(crate) mod incoming;
pub(crate) mod known_fields;
pub mod limits;
pub(crate) mod outgoing_body;
pub(crate) mod receive_buffer;
pub(crate) mod scan;
pub(crate) mod server_connection;
pub(crate) mod syntax;

pub use body_decoder::BodyEvent;
pub use body_encoder::BodyLength;
pub use client_connection::{ClientConnection, ResponseEvent};
pub use date::{DATE_BYTES, DateCache};
pub use error::{EncodeError, ProtocolError};
pub use fields::HeaderLines;
pub use framing::Framing;
pub use head::{RequestHead, ResponseHead};
pub use headers::{Headers, HeadersIter};
pub use limits::Limits;
pub use outgoing_body::OutgoingBody;
pub use server_connection::{RequestEvent, ServerConnection};
