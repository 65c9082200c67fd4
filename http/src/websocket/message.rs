//! What is sent and received over a WebSocket.

use bytes::Bytes;
use bytestring::ByteString;

use crate::websocket::close_code::CloseCode;

/// A message, or a control frame, of a WebSocket.
///
/// Cloning one shares its memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A text in UTF-8. It dereferences to [`str`].
    Text(ByteString),
    /// Bytes.
    Binary(Bytes),
    /// Asks the peer for a pong with the same bytes, of which there are at most 125. When one is
    /// received, the pong is sent already.
    Ping(Bytes),
    /// The response to a ping. May also be sent unasked, and then the peer ignores it.
    Pong(Bytes),
    /// The last message in its direction.
    Close(Option<CloseFrame>),
}

/// Why a WebSocket is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    /// The reason as a number.
    pub code: CloseCode,
    /// The reason as a text of at most 123 bytes, which may be empty.
    pub reason: ByteString,
}

impl Message {
    /// Creates a text message.
    #[must_use]
    pub fn text(text: impl Into<ByteString>) -> Self {
        Self::Text(text.into())
    }

    /// Creates a binary message.
    #[must_use]
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self::Binary(bytes.into())
    }

    /// Creates a close frame.
    #[must_use]
    pub fn close(code: CloseCode, reason: impl Into<ByteString>) -> Self {
        Self::Close(Some(CloseFrame { code, reason: reason.into() }))
    }

    /// Returns `true` for a text or binary message, and `false` for a control frame.
    #[must_use]
    pub const fn is_data(&self) -> bool {
        matches!(self, Self::Text(_) | Self::Binary(_))
    }

    /// Returns the text of a text message.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<ByteString> for Message {
    fn from(text: ByteString) -> Self {
        Self::Text(text)
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::binary(bytes)
    }
}
