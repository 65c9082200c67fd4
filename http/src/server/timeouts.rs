//! How long a server waits for its clients.

use std::time::Duration;

/// How long a server waits for a client.
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// use brigade_http::Timeouts;
///
/// let timeouts = Timeouts { head: Duration::from_secs(5), ..Timeouts::default() };
/// assert_eq!(timeouts.keep_alive, Duration::from_secs(75));
/// ```
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// Maximum time from the first byte of a head to its last. The response after that is 408.
    /// The default is 10 s.
    pub head: Duration,
    /// Maximum pause within a body. The response after that is 408. The default is 30 s.
    pub body_gap: Duration,
    /// Minimum average rate of a body, in bytes a second. The response to a slower one is 408. The
    /// default is 240.
    pub body_bytes_per_second_min: u32,
    /// Maximum time for which the client takes none of the bytes that are sent. After that the
    /// connection is reset. The default is 30 s.
    pub write: Duration,
    /// Minimum average rate, in bytes a second, at which the client takes what is sent, while the
    /// system accepts no more of it. A client that falls behind by 30 s is reset. The default is
    /// 240.
    pub write_bytes_per_second_min: u32,
    /// Maximum pause between two requests. After that the connection is closed. The default is 75
    /// s.
    pub keep_alive: Duration,
    /// How long a graceful shutdown waits for responses in progress. After that their handlers are
    /// cancelled. The default is 30 s.
    pub drain: Duration,
    /// Maximum time for which nothing is read from or written to a connection that was upgraded to
    /// another protocol. After that its reads and writes fail with `TimedOut`. The default is 10
    /// min.
    pub upgraded_idle: Duration,
}

/// Honest clients need milliseconds. A client that drips its head holds a connection for this long.
const HEAD: Duration = Duration::from_secs(10);
/// A mobile client may be silent for a while between two cells.
const BODY_GAP: Duration = Duration::from_secs(30);
/// The rate of a 2,400 baud modem. Slower clients are slow on purpose.
const BYTES_PER_SECOND_MIN: u32 = 240;
/// A client that takes nothing for so long has gone, or wants to tie up memory.
const WRITE: Duration = Duration::from_secs(30);
/// Longer than the 60 s after which common load balancers close their side, so that they close
/// first.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// The time that orchestrators usually grant before they kill a process.
const DRAIN: Duration = Duration::from_secs(30);

/// Longer than the intervals at which clients and proxies send pings. A connection that is silent
/// for so long has gone, or nobody would notice if it had.
const UPGRADED_IDLE: Duration = Duration::from_secs(600);

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            head: HEAD,
            body_gap: BODY_GAP,
            body_bytes_per_second_min: BYTES_PER_SECOND_MIN,
            write: WRITE,
            write_bytes_per_second_min: BYTES_PER_SECOND_MIN,
            keep_alive: KEEP_ALIVE,
            drain: DRAIN,
            upgraded_idle: UPGRADED_IDLE,
        }
    }
}
