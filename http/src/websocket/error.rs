//! Why a WebSocket failed.

use std::error::Error;
use std::fmt;
use std::io;

use crate::websocket::close_code::{self, CloseCode};

/// Why a message could not be received or sent.
#[derive(Debug)]
#[non_exhaustive]
pub enum WsError {
    /// The peer violated the protocol, as the text says. It was sent the code 1002.
    Protocol(&'static str),
    /// The peer sent a text, or the reason of a close, that is not UTF-8. It was sent the code
    /// 1007.
    Utf8,
    /// The peer sent a frame or a message of more bytes than the limit, which is `max`. It was sent
    /// the code 1009.
    TooLarge {
        /// The limit.
        max: usize,
    },
    /// The message cannot be sent, as the text says. Nothing was sent.
    Invalid(&'static str),
    /// The message was not sent, because a close frame was sent before, or the connection has
    /// ended.
    Closed,
    /// The message was not sent, because too many bytes wait for the peer to take them.
    Full,
    /// The peer has ended the connection without a close frame.
    Disconnected,
    /// The peer did not do in time what the text says.
    Timeout(&'static str),
    /// The connection failed.
    Io(io::Error),
}

impl WsError {
    /// Returns the code that was sent to a peer that caused this error.
    #[must_use]
    pub const fn close_code(&self) -> Option<CloseCode> {
        match self {
            Self::Protocol(_) => Some(close_code::PROTOCOL),
            Self::Utf8 => Some(close_code::INVALID),
            Self::TooLarge { .. } => Some(close_code::SIZE),
            _ => None,
        }
    }
}

impl fmt::Display for WsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(reason) => write!(f, "the peer violated the protocol: {reason}"),
            Self::Utf8 => f.write_str("the peer sent a text that is not UTF-8"),
            Self::TooLarge { max } => {
                write!(f, "the peer sent a message or frame of more than {max} bytes")
            }
            Self::Invalid(reason) => write!(f, "the message cannot be sent: {reason}"),
            Self::Closed => f.write_str("the WebSocket is closed"),
            Self::Full => f.write_str("the peer takes its messages too slowly"),
            Self::Disconnected => f.write_str("the peer disconnected without a close frame"),
            Self::Timeout(what) => write!(f, "the peer {what} in time"),
            Self::Io(error) => write!(f, "the connection failed: {error}"),
        }
    }
}

impl Error for WsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}
