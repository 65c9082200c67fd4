//! What a client allows, and the builder that says so.

use std::time::Duration;

use crate::protocol::limits::Limits;

/// The system sends a lost SYN again after 1, 3 and 7 s; looking the name up is included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A server that takes nothing for so long has gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Three times what a server should need; those that think for longer are known to their caller.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// As long as a server waits for its clients: a stall of the network is over by then.
pub const BODY_GAP_TIMEOUT: Duration = Duration::from_secs(30);
/// Servers that do not know `Expect` say nothing; the body is sent to them after this time.
pub const CONTINUE_TIMEOUT: Duration = Duration::from_secs(1);
/// Less than the 75 s after which nginx and brigade close their side, so that we do it first.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// A burst of requests to one host finds its connections again; a descriptor is what each costs.
pub const IDLE_PER_HOST_MAX: usize = 32;
/// A quarter of the 1,024 descriptors that a process may have open where nobody raised it.
pub const IDLE_MAX: usize = 256;

/// What a client allows.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) connect_timeout: Duration,
    pub(super) write_timeout: Duration,
    pub(super) head_timeout: Duration,
    pub(super) body_gap_timeout: Duration,
    pub(super) timeout: Option<Duration>,
    pub(super) idle_timeout: Duration,
    pub(super) idle_per_host_max: usize,
    pub(super) idle_max: usize,
    pub(super) body_bytes_max: u64,
    pub(super) limits: Limits,
}

/// Makes a [`Client`](crate::Client) with options.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use brigade_http::Client;
///
/// let client = Client::builder()
///     .head_timeout(Duration::from_secs(90))
///     .body_bytes_max(10 * 1024 * 1024)
///     .build();
/// assert_eq!(client.connections_opened(), 0);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ClientBuilder {
    pub(super) options: Options,
}

impl ClientBuilder {
    pub(super) fn new() -> Self {
        let options = Options {
            connect_timeout: CONNECT_TIMEOUT,
            write_timeout: WRITE_TIMEOUT,
            head_timeout: HEAD_TIMEOUT,
            body_gap_timeout: BODY_GAP_TIMEOUT,
            timeout: None,
            idle_timeout: IDLE_TIMEOUT,
            idle_per_host_max: IDLE_PER_HOST_MAX,
            idle_max: IDLE_MAX,
            body_bytes_max: u64::MAX,
            limits: Limits::default(),
        };
        Self { options }
    }

    /// How long looking a name up and connecting may take in all: 10 s by default.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.options.connect_timeout = timeout;
        self
    }

    /// The longest time for which the server takes nothing of a request: 30 s by default.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.options.write_timeout = timeout;
        self
    }

    /// How long the head of an answer may take, to its last byte and counted from the end of the
    /// request: 30 s by default. Informational answers do not prolong it.
    pub fn head_timeout(mut self, timeout: Duration) -> Self {
        self.options.head_timeout = timeout;
        self
    }

    /// The longest silence within the body of an answer: 30 s by default.
    pub fn body_gap_timeout(mut self, timeout: Duration) -> Self {
        self.options.body_gap_timeout = timeout;
        self
    }

    /// How long a request may take in all, from the call of `send` to the end of the answer's
    /// body. Not limited by default; [`ClientRequest::timeout`](crate::ClientRequest::timeout)
    /// says it for one request.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// How long an idle connection is kept: 60 s by default. With zero none is.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.options.idle_timeout = timeout;
        self
    }

    /// How many idle connections to one host and port are kept: 32 by default. With zero none is.
    pub fn idle_per_host_max(mut self, count: usize) -> Self {
        self.options.idle_per_host_max = count;
        self
    }

    /// How many idle connections are kept in all: 256 by default. With zero none is.
    pub fn idle_max(mut self, count: usize) -> Self {
        self.options.idle_max = count;
        self
    }

    /// How long the body of an answer may be, in bytes. Not limited by default: it is read only
    /// as it is asked for.
    pub fn body_bytes_max(mut self, bytes: u64) -> Self {
        self.options.body_bytes_max = bytes;
        self
    }

    /// What the head, the chunks and the trailers of an answer may cost. The `body_bytes_max`
    /// among them is for servers; here [`ClientBuilder::body_bytes_max`] counts.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.options.limits = limits;
        self
    }
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self::new()
    }
}
