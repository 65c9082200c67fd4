//! The reasons for closing a WebSocket, as numbers (RFC 6455 section 7.4).

/// Why a WebSocket is closed, as a number. [`close_code`](crate::websocket::close_code) has the
/// usual ones.
pub type CloseCode = u16;

/// The purpose of the connection is fulfilled.
pub const NORMAL: CloseCode = 1000;
/// The server shuts down, or the browser has left the page.
pub const AWAY: CloseCode = 1001;
/// The peer violated the protocol.
pub const PROTOCOL: CloseCode = 1002;
/// The peer sent a kind of message that is not accepted, such as binary in place of text.
pub const UNSUPPORTED: CloseCode = 1003;
/// The peer sent a text that is not UTF-8.
pub const INVALID: CloseCode = 1007;
/// The peer sent a message that the application's rules forbid.
pub const POLICY: CloseCode = 1008;
/// The peer sent a message that is too large.
pub const SIZE: CloseCode = 1009;
/// The server has not negotiated an extension that the client needs.
pub const EXTENSION: CloseCode = 1010;
/// The server failed.
pub const ERROR: CloseCode = 1011;
/// The server restarts.
pub const RESTART: CloseCode = 1012;
/// The server is overloaded, or the peer takes its messages too slowly.
pub const AGAIN: CloseCode = 1013;

/// Returns `true` if a close frame may have this code. Others are reserved, or stand for a
/// connection that was closed without a code (RFC 6455 section 7.4).
pub(super) const fn is_sendable(code: CloseCode) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
