//! The options of a client, and their builder.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use crate::client::encryption::Encryption;
use crate::client::tls;
use crate::message::body::Body;
use crate::protocol::head::ResponseHead;
use crate::protocol::limits::Limits;

/// Default of [`ClientBuilder::connect_timeout`]. The system sends a lost SYN again after 1, 3 and
/// 7 s. Includes looking up the name.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Default of [`ClientBuilder::write_timeout`]. A server that accepts nothing for so long has gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Default of [`ClientBuilder::head_timeout`]: three times what a server should need. Callers of a
/// slower server can raise it.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Default of [`ClientBuilder::body_gap_timeout`]: as long as a server waits for its clients, which
/// outlasts a stall of the network.
pub const BODY_GAP_TIMEOUT: Duration = Duration::from_secs(30);
/// Default of [`ClientBuilder::body_rate`]: that of a server for its clients.
pub const BODY_RATE: u32 = 240;
/// Default of [`ClientBuilder::upgraded_idle_timeout`]: longer than the usual interval of pings.
pub const UPGRADED_IDLE_TIMEOUT: Duration = Duration::from_secs(600);
/// How long a request with `Expect: 100-continue` waits for a response. Then its body is sent,
/// since some servers do not know `Expect`.
pub const CONTINUE_TIMEOUT: Duration = Duration::from_secs(1);
/// Default of [`ClientBuilder::idle_timeout`]. Less than the 75 s after which nginx and brigade
/// close an idle connection, so that the client closes first.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Default of [`ClientBuilder::idle_per_host_max`]: enough for a burst of requests to one host.
pub const IDLE_PER_HOST_MAX: usize = 32;
/// Default of [`ClientBuilder::idle_max`]: a quarter of the 1,024 descriptors that a process may
/// usually open.
pub const IDLE_MAX: usize = 256;
/// Default of [`ClientBuilder::retry_backoff`]: enough for a server that restarts its listener.
pub const RETRY_BACKOFF: Duration = Duration::from_millis(100);
/// The longest pause before a request is sent again.
pub const RETRY_BACKOFF_MAX: Duration = Duration::from_secs(10);
/// How many bytes [`ClientResponse::bytes`](crate::ClientResponse::bytes), `text` and `json`
/// collect at most: ten times what a server accepts by default, since responses are longer than
/// requests.
pub const COLLECT_BYTES_MAX: usize = 10 * 1024 * 1024;

/// The limits of a client.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) connect_timeout: Duration,
    pub(super) write_timeout: Duration,
    pub(super) head_timeout: Duration,
    pub(super) body_gap_timeout: Duration,
    pub(super) body_rate: u32,
    pub(super) timeout: Option<Duration>,
    pub(super) upgraded_idle_timeout: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) idle_per_host_max: usize,
    pub(super) idle_max: usize,
    pub(super) body_bytes_max: u64,
    pub(super) redirects_max: u32,
    pub(super) retries_max: u32,
    pub(super) retry_backoff: Duration,
    pub(super) unix_socket: Option<PathBuf>,
    /// Servers may choose HTTP/2. Has an effect with the features `tls` and `http2`.
    pub(super) http2: bool,
    pub(super) decompression: Option<Decompression>,
    /// Absent without the feature `tls`.
    pub(super) encryption: Option<Arc<dyn Encryption>>,
    pub(super) limits: Limits,
}

/// How responses are decompressed.
#[derive(Clone, Copy)]
pub(super) struct Decompression {
    /// Returns the codings to ask for.
    pub(super) accept_encoding: fn() -> HeaderValue,
    /// Returns how to decompress the body that follows this head, if that is possible.
    pub(super) begin: fn(&mut ResponseHead) -> Option<Decompress>,
}

/// Returns a body decompressed. It fails if it has more bytes than the given number.
pub(super) type Decompress = Box<dyn FnOnce(Body, u64) -> Body>;

impl fmt::Debug for Decompression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decompression")
    }
}

/// Builds a [`Client`](crate::Client) with options.
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
            body_rate: BODY_RATE,
            timeout: None,
            upgraded_idle_timeout: UPGRADED_IDLE_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            idle_per_host_max: IDLE_PER_HOST_MAX,
            idle_max: IDLE_MAX,
            body_bytes_max: u64::MAX,
            redirects_max: 0,
            retries_max: 0,
            retry_backoff: RETRY_BACKOFF,
            unix_socket: None,
            http2: true,
            decompression: None,
            encryption: tls::by_default(),
            limits: Limits::default(),
        };
        Self { options }
    }

    /// Sets how long looking up a name and connecting may take together. 10 s by default. Over
    /// HTTP/2 it includes the wait for a stream, while the connection has as many as the server
    /// allows.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.options.connect_timeout = timeout;
        self
    }

    /// Sets how long the server may accept no more bytes of a request that is being sent. 30 s by
    /// default.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.options.write_timeout = timeout;
        self
    }

    /// Sets how long the head of a response may take to arrive completely, counted from the end of
    /// the request. 30 s by default. Informational responses do not extend it.
    pub fn head_timeout(mut self, timeout: Duration) -> Self {
        self.options.head_timeout = timeout;
        self
    }

    /// Sets the longest silence within the body of a response. 30 s by default.
    pub fn body_gap_timeout(mut self, timeout: Duration) -> Self {
        self.options.body_gap_timeout = timeout;
        self
    }

    /// Sets the minimum average rate, in bytes a second, at which the server has to take the
    /// request and to send the body of the response. Only the time counts in which the request
    /// waits for the server. One that falls behind by 30 s is too slow. 240 by default. 0 allows
    /// any rate, for example for events that are sent now and then.
    pub fn body_rate(mut self, bytes_per_second_min: u32) -> Self {
        self.options.body_rate = bytes_per_second_min;
        self
    }

    /// Sets for how long nothing may be read from or written to a connection after an
    /// [upgrade](crate::ClientResponse::upgrade). 10 min by default.
    pub fn upgraded_idle_timeout(mut self, timeout: Duration) -> Self {
        self.options.upgraded_idle_timeout = timeout;
        self
    }

    /// Sets how long a request may take in total, from the call of `send` to the end of the
    /// response's body. Unlimited by default.
    /// [`ClientRequest::timeout`](crate::ClientRequest::timeout) sets it for one request.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// Sets how long an idle connection is kept. 60 s by default. Zero keeps none.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.options.idle_timeout = timeout;
        self
    }

    /// Sets how many idle connections to one host and port are kept. 32 by default. Zero keeps
    /// none. There is only one of HTTP/2.
    pub fn idle_per_host_max(mut self, count: usize) -> Self {
        self.options.idle_per_host_max = count;
        self
    }

    /// Sets how many idle connections are kept in total. 256 by default. Zero keeps none.
    pub fn idle_max(mut self, count: usize) -> Self {
        self.options.idle_max = count;
        self
    }

    /// Sets how many bytes the body of a response may have. Unlimited by default, since a body is
    /// read only as the caller asks for it. If it is decompressed, it may have as many before and
    /// after that.
    pub fn body_bytes_max(mut self, bytes: u64) -> Self {
        self.options.body_bytes_max = bytes;
        self
    }

    /// Sets how many redirects a request follows: responses of status 301, 302, 303, 307 and 308
    /// with a `Location`. 0 by default: they are returned like any other response.
    ///
    /// Methods change as in browsers: after 301 and 302 a `POST` becomes a `GET`, and after 303 all
    /// but `HEAD` do, without their body and the headers that describe it. If the host or the port
    /// changes, `Authorization`, `Cookie`, `Proxy-Authorization` and a `Host` of your own are left
    /// out from then on. [`ClientResponse::url`](crate::ClientResponse::url) returns the last URL.
    ///
    /// A redirect too many is the error
    /// [`TooManyRedirects`](crate::ClientErrorKind::TooManyRedirects). One that cannot be followed,
    /// since its URL cannot be requested or the body would have to be sent again and is a stream,
    /// is the error [`Redirect`](crate::ClientErrorKind::Redirect).
    pub fn redirects(mut self, count_max: u32) -> Self {
        self.options.redirects_max = count_max;
        self
    }

    /// Sets how many times a request is sent again after it has failed. 0 by default.
    ///
    /// A request is sent again if nothing of it was sent, since connecting failed, for instance; if
    /// a server of HTTP/2 has said that it did not look at it (RFC 9113 section 8.7); or if it is
    /// idempotent (RFC 9110 section 9.2.2) and the connection failed before the first byte of a
    /// response. A body that is a stream cannot be sent again once a part of it was sent. A
    /// response is never a reason, whatever its status, and neither is a timeout, except that for
    /// connecting.
    ///
    /// Whatever is set here, a request whose kept connection turns out to be closed is sent once
    /// more at once, on a new connection, under the same conditions.
    pub fn retries(mut self, count_max: u32) -> Self {
        self.options.retries_max = count_max;
        self
    }

    /// Sets the pause before a request is sent again for the first time. 100 ms by default. Each
    /// further pause is twice as long, up to 10 s. If the total timeout would pass meanwhile, the
    /// request fails at once.
    pub fn retry_backoff(mut self, pause: Duration) -> Self {
        self.options.retry_backoff = pause;
        self
    }

    /// Sends all requests to the Unix socket at this path, whatever the host and the port of their
    /// URLs, which only become the `Host`. Connections are kept for each
    /// scheme, host and port, as usual.
    ///
    /// After an [upgrade](crate::ClientResponse::upgrade),
    /// [`Upgraded::socket`](crate::Upgraded::socket) is a Unix socket.
    ///
    /// # Examples
    /// ```no_run
    /// use brigade_http::{Client, ClientError};
    ///
    /// async fn images() -> Result<String, ClientError> {
    ///     let client = Client::builder().unix_socket("/run/docker.sock").build();
    ///     client.get("http://docker/images/json").send().await?.text().await
    /// }
    /// ```
    pub fn unix_socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.options.unix_socket = Some(path.into());
        self
    }

    /// Speaks only HTTP/1.1. Otherwise, with the features `tls` and `http2`, the servers of `https`
    /// URLs are offered HTTP/2 before it (ALPN), and choose.
    pub fn http1_only(mut self) -> Self {
        self.options.http2 = false;
        self
    }

    /// Sets the limits of the head, the chunks and the trailers of a response. Their
    /// `body_bytes_max` is for servers and has no effect here: see
    /// [`ClientBuilder::body_bytes_max`].
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
