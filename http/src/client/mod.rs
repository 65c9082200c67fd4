//! An HTTP client for the tasks of one loop, with a pool of idle connections.
//!
//! Reading order: `options`, `target` (a parsed URL), `pool` (what requests share), `exchange` (one
//! request and its response), `http1` (the same over HTTP/1.1, with `waits`), `response_body`,
//! `response`, `sending` (with `connect` and `redirect`), `request`. `http2` has connections of
//! HTTP/2 (features `tls` and `http2`). `json`, `form` and `decompression` add to requests and
//! responses; `forward` is for proxies. The errors are in `message`, since handlers return them.

mod connect;
#[cfg(feature = "compression")]
mod decompression;
mod encryption;
mod exchange;
#[cfg(feature = "query")]
mod form;
mod forward;
mod http1;
#[cfg(all(feature = "tls", feature = "http2"))]
mod http2;
#[cfg(not(all(feature = "tls", feature = "http2")))]
#[path = "no_http2.rs"]
mod http2;
#[cfg(feature = "json")]
mod json;
mod options;
mod pool;
mod redirect;
mod request;
mod response;
mod response_body;
mod sending;
#[cfg(any(feature = "json", feature = "query"))]
mod serialized;
mod target;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
mod tls;
#[cfg(feature = "tls")]
mod tls_options;
mod waits;

use std::path::PathBuf;
use std::rc::Rc;

use http::Method;

pub use options::{
    BODY_GAP_TIMEOUT, BODY_RATE, COLLECT_BYTES_MAX, CONNECT_TIMEOUT, CONTINUE_TIMEOUT,
    ClientBuilder, HEAD_TIMEOUT, IDLE_MAX, IDLE_PER_HOST_MAX, IDLE_TIMEOUT, RETRY_BACKOFF,
    RETRY_BACKOFF_MAX, UPGRADED_IDLE_TIMEOUT,
};
pub use request::ClientRequest;
pub use response::ClientResponse;

use pool::LoopClient;

pub use crate::message::client_error::{ClientError, ClientErrorKind, TimeoutKind};

/// A client for `http://` and `https://` URLs. It belongs to one loop; its clones share its
/// connections.
///
/// - Connections are kept and reused, each for one request at a time. The number of idle
///   connections is limited. To limit the number of open ones, use a
///   [`Semaphore`](brigade_runtime::local::Semaphore).
/// - A server of `https` URLs that chooses HTTP/2 (feature `http2`) gets one connection, over which
///   all requests to it are sent at the same time. [`ClientBuilder::http1_only`] turns that off.
/// - Responses are parsed as strictly as the server parses requests, and bodies stream both ways.
/// - Time and sizes are limited; see [`ClientBuilder`].
/// - Redirects are followed, failed requests are sent again, responses are decompressed (feature
///   `compression`), and Unix sockets are used only if the [`ClientBuilder`] says so. Cookies are
///   not kept.
/// - `https://` URLs need the feature `tls`. The system's certificates are trusted, or those that
///   `ClientBuilder::tls` sets.
///
/// # Examples
/// ```no_run
/// use brigade_http::Client;
///
/// brigade_runtime::run(async {
///     let client = Client::new();
///     let mut response = client.get("http://127.0.0.1:8080/").send().await?;
///     println!("{}: {}", response.status(), response.text().await?);
///     Ok::<_, brigade_http::ClientError>(())
/// })
/// .unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    shared: Rc<LoopClient>,
}

impl Client {
    /// Returns a client with the default options. It opens no connection before its first request.
    #[must_use]
    pub fn new() -> Self {
        ClientBuilder::new().build()
    }

    /// Returns a builder for a client with other options.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }

    /// Returns a client that sends all requests to the Unix socket at this path; see
    /// [`ClientBuilder::unix_socket`].
    #[must_use]
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        ClientBuilder::new().unix_socket(path).build()
    }

    /// Returns a request with any method, to a URL such as `http://host:8080/path?query`.
    pub fn request(&self, method: Method, url: impl AsRef<str>) -> ClientRequest {
        ClientRequest::new(self.shared.clone(), method, url.as_ref())
    }

    /// Returns a `GET` request to `url`.
    pub fn get(&self, url: impl AsRef<str>) -> ClientRequest {
        self.request(Method::GET, url)
    }

    /// Returns a `HEAD` request to `url`.
    pub fn head(&self, url: impl AsRef<str>) -> ClientRequest {
        self.request(Method::HEAD, url)
    }

    /// Returns a `POST` request to `url`.
    pub fn post(&self, url: impl AsRef<str>) -> ClientRequest {
        self.request(Method::POST, url)
    }

    /// Returns a `PUT` request to `url`.
    pub fn put(&self, url: impl AsRef<str>) -> ClientRequest {
        self.request(Method::PUT, url)
    }

    /// Returns a `PATCH` request to `url`.
    pub fn patch(&self, url: impl AsRef<str>) -> ClientRequest {
        self.request(Method::PATCH, url)
    }

    /// Returns a `DELETE` request to `url`.
    pub fn delete(&self, url: impl AsRef<str>) -> ClientRequest {
        self.request(Method::DELETE, url)
    }

    /// Returns how many connections have been opened so far.
    #[must_use]
    pub fn connections_opened(&self) -> u64 {
        self.shared.opened.get()
    }

    /// Returns how many connections are idle. Their servers may have closed some of them.
    #[must_use]
    pub fn connections_idle(&self) -> usize {
        self.shared.idle_count()
    }

    /// Closes the idle connections. Requests in progress are not affected.
    pub fn close_idle(&self) {
        self.shared.close_idle();
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl ClientBuilder {
    /// Returns a client with these options.
    #[must_use]
    pub fn build(self) -> Client {
        Client { shared: Rc::new(LoopClient::new(self.options)) }
    }
}
