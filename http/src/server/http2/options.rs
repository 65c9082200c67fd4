//! The options of HTTP/2.

use std::time::Duration;

use h2::server::Builder;

/// As nginx's, Go's and hyper's: more than browsers use at once.
const CONCURRENT_STREAMS_MAX: u32 = 200;
/// What a client can send of a body while its handler does not read. It is granted on demand, so
/// an idle stream holds none of it.
const WINDOW_BYTES: u32 = 1024 * 1024;
/// The smallest maximum that RFC 9113 allows: a larger frame would hold the others for longer.
const FRAME_BYTES_MAX: u32 = 16 * 1024;
/// As Node's: half of what a request of HTTP/1.1 may have.
const HEADER_LIST_BYTES_MAX: u32 = 16 * 1024;
/// Enough to keep a fast connection busy.
const SEND_BUFFER_BYTES_MAX: u32 = 400 * 1024;
/// Streams that a client resets before its request is looked at; none do without bad intent
/// (CVE-2023-44487).
const PENDING_RESETS_MAX: usize = 20;
/// Streams that the server resets because of errors of the client (CVE-2025-8671).
const LOCAL_RESETS_MAX: usize = 1024;
/// A client that opens all its streams at once, sets their windows and resets them all sends fewer.
const CONTROL_FRAMES_MAX: u32 = 1000;
/// Less than the 30 s after which some middleboxes forget a connection.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// A client that answers later has gone, or would be no use.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// The largest window of RFC 9113 section 6.9.1.
const WINDOW_BYTES_MAX: u32 = (1 << 31) - 1;
/// The largest frame of RFC 9113 section 4.2.
const FRAME_BYTES_LIMIT: u32 = (1 << 24) - 1;

/// The options of HTTP/2 (feature `http2`): whether it is spoken without TLS, and its limits. The
/// limits of a connection are the client's as well as the loop's, since a stream that waits is a
/// task.
///
/// [`Timeouts`](crate::Timeouts) and [`Limits`](crate::Limits) hold for HTTP/2, too.
///
/// # Examples
/// ```
/// use brigade_http::Http2Options;
///
/// let options = Http2Options { prior_knowledge: true, ..Http2Options::default() };
/// assert_eq!(options.concurrent_streams_max, 200);
/// ```
#[derive(Clone, Debug)]
pub struct Http2Options {
    /// Speaks HTTP/2 with a client that begins with its preface on a connection without TLS (RFC
    /// 9113 section 3.3). Off by default. The upgrade from HTTP/1.1, `h2c`, does not exist.
    pub prior_knowledge: bool,
    /// Maximum number of open streams of a connection. Further ones are refused with
    /// `REFUSED_STREAM`, and a client may try them again. The default is 200.
    pub concurrent_streams_max: u32,
    /// How much of a request body may be sent before its handler has read it. The default is 1 MiB.
    pub stream_window_bytes: u32,
    /// How much of all request bodies of a connection may be sent before their handlers have read
    /// it. The default is 1 MiB.
    pub connection_window_bytes: u32,
    /// Maximum size of a frame that is received, 16 KiB at least. The default is 16 KiB.
    pub frame_bytes_max: u32,
    /// Maximum size of the headers of a request, decompressed, with 32 bytes for each (RFC 9113
    /// section 6.5.2). The response to more is 431. The default is 16 KiB.
    pub header_list_bytes_max: u32,
    /// How much of a response body may be queued before its stream is no longer polled. The default
    /// is 400 KiB for each stream.
    pub send_buffer_bytes_max: u32,
    /// Maximum number of requests that were received and reset before the server has looked at
    /// them. More end the connection with `ENHANCE_YOUR_CALM`. The default is 20.
    pub pending_resets_max: usize,
    /// Maximum number of streams of a connection that the server resets because of errors of the
    /// client. More end the connection with `ENHANCE_YOUR_CALM`. The default is 1,024.
    pub local_resets_max: usize,
    /// Maximum number of frames that ask for nothing, such as `PING`, `SETTINGS`, `RST_STREAM`,
    /// `WINDOW_UPDATE`, and `DATA` without data, beyond those that go with responses and a hundred
    /// a second. More end the connection with `ENHANCE_YOUR_CALM`. The default is 1,000.
    pub control_frames_max: u32,
    /// After how much silence the client is sent a `PING`. The default is 20 s.
    pub ping_interval: Duration,
    /// How long the client may take to acknowledge it. After that the connection is closed. The
    /// default is 20 s.
    pub ping_timeout: Duration,
}

impl Default for Http2Options {
    fn default() -> Self {
        Self {
            prior_knowledge: false,
            concurrent_streams_max: CONCURRENT_STREAMS_MAX,
            stream_window_bytes: WINDOW_BYTES,
            connection_window_bytes: WINDOW_BYTES,
            frame_bytes_max: FRAME_BYTES_MAX,
            header_list_bytes_max: HEADER_LIST_BYTES_MAX,
            send_buffer_bytes_max: SEND_BUFFER_BYTES_MAX,
            pending_resets_max: PENDING_RESETS_MAX,
            local_resets_max: LOCAL_RESETS_MAX,
            control_frames_max: CONTROL_FRAMES_MAX,
            ping_interval: PING_INTERVAL,
            ping_timeout: PING_TIMEOUT,
        }
    }
}

impl Http2Options {
    /// Returns what makes the connections of h2. Values that HTTP/2 does not allow become the
    /// nearest ones that it does.
    pub(super) fn builder(&self) -> Builder {
        let mut builder = Builder::new();
        builder
            .max_concurrent_streams(self.concurrent_streams_max)
            .initial_window_size(self.stream_window_bytes.min(WINDOW_BYTES_MAX))
            .initial_connection_window_size(self.connection_window_bytes.min(WINDOW_BYTES_MAX))
            .max_frame_size(self.frame_bytes_max.clamp(FRAME_BYTES_MAX, FRAME_BYTES_LIMIT))
            .max_header_list_size(self.header_list_bytes_max)
            .max_send_buffer_size(self.send_buffer_bytes_max as usize)
            .max_pending_accept_reset_streams(self.pending_resets_max)
            .max_local_error_reset_streams(Some(self.local_resets_max));
        builder
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_documented_ones() {
        let options = Http2Options::default();
        assert!(!options.prior_knowledge);
        assert_eq!((options.concurrent_streams_max, options.control_frames_max), (200, 1000));
        let windows = (options.stream_window_bytes, options.connection_window_bytes);
        assert_eq!(windows, (1_048_576, 1_048_576));
        let sizes = (options.frame_bytes_max, options.header_list_bytes_max);
        assert_eq!((sizes, options.send_buffer_bytes_max), ((16_384, 16_384), 409_600));
        assert_eq!((options.pending_resets_max, options.local_resets_max), (20, 1024));
        let pings = (options.ping_interval, options.ping_timeout);
        assert_eq!(pings, (Duration::from_secs(20), Duration::from_secs(20)));
    }
}
