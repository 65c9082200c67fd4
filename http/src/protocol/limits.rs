//! What a peer may cost at most: sizes in [`Limits`], waiting in [`Timeouts`].
//!
//! Plain data, on by default. The core enforces the sizes of what it decodes; whoever drives it
//! owns the clock and the sockets, and enforces the timeouts and the sizes of the queues.

// std
use std::time::Duration;

/// The longest registered method has 17 bytes (`UPDATEREDIRECTREF`); twice that is no method.
pub const METHOD_BYTES_MAX: u16 = 32;
/// RFC 9112 section 3 asks for at least 8,000 bytes of request line.
pub const TARGET_BYTES_MAX: u16 = 8 * 1024;
/// Four times the target: room for large cookies and tokens, and still one small allocation.
pub const HEAD_BYTES_MAX: u16 = 32 * 1024;
/// Browsers send about 20, proxies add about 20; every line more is work for the one who reads.
pub const HEADERS_COUNT_MAX: u8 = 100;
/// What a form or a JSON document needs; uploads raise it for their own route.
pub const BODY_BYTES_MAX: u64 = 1024 * 1024;
/// Chunk extensions carry signatures at most, and nobody here reads them (CVE-2023-39326).
pub const CHUNK_EXTENSION_BYTES_MAX: u32 = 4 * 1024;
/// How far the framing of chunks may run ahead of their data: some 16,000 one-byte chunks.
pub const CHUNK_OVERHEAD_BYTES_MAX: u32 = 64 * 1024;
/// A trailer section holds a checksum or a status; a quarter of a head is plenty.
pub const TRAILER_BYTES_MAX: u16 = 8 * 1024;
/// What one connection may have read ahead of its handler: a pipeline's worth of requests.
pub const READ_AHEAD_BYTES_MAX: usize = 64 * 1024;
/// What one connection may have written ahead of its socket before the handler has to wait.
pub const WRITE_QUEUE_BYTES_MAX: usize = 256 * 1024;
/// Reading on this far is cheaper for both sides than a new connection.
pub const DRAIN_BYTES_MAX: u64 = 64 * 1024;

/// The honest need milliseconds; a peer that drips its head holds a connection for no longer.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A mobile client may fall silent for a while between two cells.
pub const BODY_GAP_TIMEOUT: Duration = Duration::from_secs(30);
/// Slower than a 2,400 baud modem is slow on purpose.
pub const BODY_BYTES_PER_SECOND_MIN: u32 = 240;
/// A peer that takes nothing for so long is gone, or wants us to hold its answer.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Longer than the 60 s after which the usual load balancers drop their side, so that they do.
pub const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(75);
/// What orchestrators grant before they kill.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// The sizes that a message and a connection may have. All sizes are in bytes unless named a
/// count.
///
/// The types are limits as well: offsets into a head are kept as `u16`, so no head is larger
/// than 65,535 bytes, whatever the option says.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Longest method; a longer one is answered with 501.
    pub method_bytes_max: u16,
    /// Longest request target; a longer one is answered with 414.
    pub target_bytes_max: u16,
    /// Longest head, from the request line to the blank line; a longer one is answered with 431.
    pub head_bytes_max: u16,
    /// Most header lines in a head, and in a trailer section; more are answered with 431.
    pub headers_count_max: u8,
    /// Longest body that a request may have unless its route allows more; answered with 413.
    pub body_bytes_max: u64,
    /// Most bytes of chunk extensions in one message; more are answered with 400.
    pub chunk_extension_bytes_max: u32,
    /// How many bytes of chunk framing may come in excess of the data; more are answered with 400.
    pub chunk_overhead_bytes_max: u32,
    /// Longest trailer section; a longer one is answered with 431.
    pub trailer_bytes_max: u16,
    /// How much is read from a socket at once, and so ahead of what is decoded; at least 1.
    pub read_ahead_bytes_max: usize,
    /// How much may wait to be written before the handler has to wait.
    pub write_queue_bytes_max: usize,
    /// How much of a body that the handler ignored is read and dropped to keep the connection.
    pub drain_bytes_max: u64,
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
            drain_bytes_max: DRAIN_BYTES_MAX,
        }
    }
}

/// How long a peer may take.
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// From a head's first byte to its last, in all; then 408.
    pub head: Duration,
    /// The longest silence within a body; then 408.
    pub body_gap: Duration,
    /// The average rate below which a body is given up, in bytes a second.
    pub body_bytes_per_second_min: u32,
    /// The longest time for which the peer takes nothing of what is written; then a reset.
    pub write: Duration,
    /// The longest silence between two requests; then the connection is closed.
    pub keep_alive: Duration,
    /// What a graceful shutdown grants to the answers in flight; then they are cancelled.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            head: HEAD_TIMEOUT,
            body_gap: BODY_GAP_TIMEOUT,
            body_bytes_per_second_min: BODY_BYTES_PER_SECOND_MIN,
            write: WRITE_TIMEOUT,
            keep_alive: KEEP_ALIVE_TIMEOUT,
            drain: DRAIN_TIMEOUT,
        }
    }
}
