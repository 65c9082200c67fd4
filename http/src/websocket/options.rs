//! The limits of a WebSocket, and how long it waits for its peer.

use std::time::Duration;

/// The default limit of a message: as for the body of a request, enough for a JSON document.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// The default limit of a frame. Browsers send each message in one.
pub const FRAME_BYTES_MAX: usize = MESSAGE_BYTES_MAX;
/// The default limit of what waits for the peer to take it, as for the body of a response.
pub const WRITE_BUFFER_BYTES_MAX: usize = 256 * 1024;
/// The default time of silence after which the peer is sent a ping. Shorter than the 60 s after
/// which common load balancers close a silent connection.
pub const PING_INTERVAL: Duration = Duration::from_secs(30);
/// The default time that the peer has to respond to a ping. A phone may be without a network for a
/// while.
pub const PONG_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the peer may take none of the bytes that are sent. A peer that takes nothing for so
/// long has gone, or wants to tie up memory.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a peer that was sent a close frame may take to send its own.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// The limits of a WebSocket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    pub(super) message_bytes_max: usize,
    pub(super) frame_bytes_max: usize,
    pub(super) write_buffer_bytes_max: usize,
    /// `None` if no pings are sent.
    pub(super) ping_interval: Option<Duration>,
    pub(super) pong_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            message_bytes_max: MESSAGE_BYTES_MAX,
            frame_bytes_max: FRAME_BYTES_MAX,
            write_buffer_bytes_max: WRITE_BUFFER_BYTES_MAX,
            ping_interval: Some(PING_INTERVAL),
            pong_timeout: PONG_TIMEOUT,
        }
    }
}
