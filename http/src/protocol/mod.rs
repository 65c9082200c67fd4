//! HTTP/1.1 without I/O: bytes in, events out; messages in, bytes out. It reads no clock and
//! knows no socket.

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
pub use headers::{Headers, Iter};
pub use limits::Limits;
pub use outgoing_body::OutgoingBody;
pub use server_connection::{RequestEvent, ServerConnection};
