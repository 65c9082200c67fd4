//! WebSockets (RFC 6455): messages in both directions over the connection of a request.
//!
//! A handler takes a [`WebSocketUpgrade`] and returns the response of
//! [`on_upgrade`](WebSocketUpgrade::on_upgrade), which runs a function with the [`WebSocket`].
//!
//! Reading order: `upgrade` and `origin` (the handshake), `options`; `message`,
//! `close_code` and `error`; `mask`, `frame`, `utf8` and `decoder` (the protocol, without I/O);
//! `buffers`; `connection` with its operations in `receiving`, `sending`, `clock` and `closing`;
//! `shared`, `driver` (the task of a WebSocket), and `socket`, which handlers see.

mod buffers;
mod clock;
pub mod close_code;
mod closing;
mod connection;
mod decoder;
mod driver;
mod error;
mod frame;
mod mask;
mod message;
mod options;
mod origin;
mod receiving;
mod sending;
mod shared;
mod socket;
mod upgrade;
mod utf8;

pub use bytestring::ByteString;

pub use crate::message::websocket_rejection::WebSocketRejection;

pub use close_code::CloseCode;
pub use error::WsError;
pub use message::{CloseFrame, Message};
pub use options::{
    CLOSE_TIMEOUT, FRAME_BYTES_MAX, MESSAGE_BYTES_MAX, PING_INTERVAL, PONG_TIMEOUT,
    WRITE_BUFFER_BYTES_MAX, WRITE_TIMEOUT,
};
pub use socket::{WebSocket, WebSocketReceiver, WebSocketSender};
pub use upgrade::WebSocketUpgrade;
