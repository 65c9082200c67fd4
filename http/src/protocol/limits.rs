//! Limits to the size of messages, and their defaults.
//!
//! The decoders enforce the sizes of messages. The driver of a connection enforces
//! `read_ahead_bytes_max`, `write_queue_bytes_max` and `discard_bytes_max`, since it owns the
//! socket.

/// The longest registered method has 17 bytes (`UPDATEREDIRECTREF`); this is about twice that.
pub const METHOD_BYTES_MAX: u16 = 32;
/// RFC 9112 section 3 asks for at least 8,000 bytes of request line.
pub const TARGET_BYTES_MAX: u16 = 8 * 1024;
/// Four times the target. Leaves room for large cookies and tokens.
pub const HEAD_BYTES_MAX: u16 = 32 * 1024;
/// Browsers send about 20 headers, and proxies add about 20.
pub const HEADERS_COUNT_MAX: u8 = 100;
/// Enough for a form or a JSON document. Routes for uploads raise it.
pub const BODY_BYTES_MAX: u64 = 1024 * 1024;
/// Names and values in a form or a query that is deserialized. More than people fill in by hand.
pub const FORM_PAIRS_MAX: usize = 1000;
/// Chunk extensions carry signatures at most, and are ignored here (CVE-2023-39326).
pub const CHUNK_EXTENSION_BYTES_MAX: u32 = 4 * 1024;
/// Allows about 16,000 chunks of one byte.
pub const CHUNK_OVERHEAD_BYTES_MAX: u32 = 64 * 1024;
/// A quarter of a head. Trailers hold a checksum or a status.
pub const TRAILER_BYTES_MAX: u16 = 8 * 1024;
/// Enough for a pipeline of requests. Larger parts of a body cost more, since they leave the cache:
/// docs/decisions/0014-large-bodies.md.
pub const READ_AHEAD_BYTES_MAX: usize = 32 * 1024;
/// Enough to keep a socket busy while the handler produces more. A client that is slow to take a
/// streamed body costs this much memory and one part of the body; files that the system copies to
/// the socket cost none.
pub const WRITE_QUEUE_BYTES_MAX: usize = 512 * 1024;
/// Up to this size, discarding a body costs both sides less than a new connection.
pub const DISCARD_BYTES_MAX: u64 = 64 * 1024;

/// Limits to the size of messages and of buffers, in bytes unless the name says `count`.
///
/// The types of the fields are limits as well: a head can have 65,535 bytes at most, since offsets
/// into it are kept as `u16`.
///
/// # Examples
/// ```
/// use brigade_http::Limits;
///
/// let limits = Limits { head_bytes_max: 8 * 1024, ..Limits::default() };
/// assert_eq!(limits.headers_count_max, 100);
/// ```
#[derive(Clone, Debug)]
pub struct Limits {
    /// Maximum length of a method. The response to a longer one is 501.
    pub method_bytes_max: u16,
    /// Maximum length of a request target. The response to a longer one is 414.
    pub target_bytes_max: u16,
    /// Maximum size of a head, from the request line to the blank line. The response to a larger
    /// one is 431.
    pub head_bytes_max: u16,
    /// Maximum number of header lines in a head, and of lines in a trailer section. The response to
    /// more is 431.
    pub headers_count_max: u8,
    /// Maximum length of a request body, unless the route sets another one. The response to a
    /// longer one is 413.
    pub body_bytes_max: u64,
    /// Maximum length of all chunk extensions in a message. The response to more is 400.
    pub chunk_extension_bytes_max: u32,
    /// Maximum number of bytes by which chunk framing may exceed the data. The response to more is
    /// 400.
    pub chunk_overhead_bytes_max: u32,
    /// Maximum size of a trailer section. The response to a larger one is 431.
    pub trailer_bytes_max: u16,
    /// How much is read from a socket at once, before it is decoded. At least 1. A read of a large
    /// body may return up to 4,095 bytes more.
    pub read_ahead_bytes_max: usize,
    /// How much of a response may be queued for writing before its stream is no longer polled.
    pub write_queue_bytes_max: usize,
    /// How much of a body that the handler did not read is discarded in order to keep the
    /// connection.
    pub discard_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            method_bytes_max: METHOD_BYTES_MAX,
            target_bytes_max: TARGET_BYTES_MAX,
            head_bytes_max: HEAD_BYTES_MAX,
            headers_count_max: HEADERS_COUNT_MAX,
            body_bytes_max: BODY_BYTES_MAX,
            chunk_extension_bytes_max: CHUNK_EXTENSION_BYTES_MAX,
            chunk_overhead_bytes_max: CHUNK_OVERHEAD_BYTES_MAX,
            trailer_bytes_max: TRAILER_BYTES_MAX,
            read_ahead_bytes_max: READ_AHEAD_BYTES_MAX,
            write_queue_bytes_max: WRITE_QUEUE_BYTES_MAX,
            discard_bytes_max: DISCARD_BYTES_MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_documented_ones() {
        let limits = Limits::default();
        assert_eq!((limits.method_bytes_max, limits.headers_count_max), (32, 100));
        assert_eq!((limits.target_bytes_max, limits.head_bytes_max), (8192, 32_768));
        assert_eq!((limits.body_bytes_max, limits.discard_bytes_max), (1_048_576, 65_536));
        let chunks = (limits.chunk_extension_bytes_max, limits.chunk_overhead_bytes_max);
        assert_eq!((chunks, limits.trailer_bytes_max), ((4096, 65_536), 8192));
        let buffers = (limits.read_ahead_bytes_max, limits.write_queue_bytes_max);
        assert_eq!(buffers, (32_768, 524_288));
    }
}
