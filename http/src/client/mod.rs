//! A client: requests from the tasks of a loop, over connections that are kept.
//!
//! Reading order: `error` and `options`, `target` (what a URL says), `pool` (what requests share),
//! `exchange` (one request and its answer), `response`, `request`.

mod error;
mod exchange;
mod options;
mod pool;
mod request;
mod response;
mod target;

use std::rc::Rc;

use http::Method;

pub use error::{ClientError, ClientErrorKind, TimeoutKind};
pub use options::{
    BODY_GAP_TIMEOUT, CONNECT_TIMEOUT, CONTINUE_TIMEOUT, ClientBuilder, HEAD_TIMEOUT, IDLE_MAX,
    IDLE_PER_HOST_MAX, IDLE_TIMEOUT,
};
pub use request::ClientRequest;
pub use response::ClientResponse;

use pool::LoopClient;

/// A client for `http://` URLs. It belongs to one loop; its clones share its connections.
///
/// - Connections are kept and used again, each for one request at a time; how many are idle is
///   limited, how many are open is not: a [`Semaphore`](brigade_runtime::local::Semaphore) does
///   that.
/// - Answers are framed as strictly as requests are by the server, and bodies stream both ways.
/// - Time and sizes are limited; see [`ClientBuilder`].
/// - Redirects are not followed, cookies not kept, and nothing is decompressed. There is no TLS:
///   an `https://` URL is an error that says so.
///
/// # Examples
/// ```no_run
/// use brigade_http::Client;
///
/// brigade_runtime::run(async {
///     let client = Client::new();
///     let mut response = client.get("http://127.0.0.1:8080/").send().await?;
///     println!("{}: {}", response.status(), response.text(1024 * 1024).await?);
///     Ok::<_, brigade_http::ClientError>(())
/// })
/// .unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    shared: Rc<LoopClient>,
}

impl Client {
    /// A client with the default options. It opens nothing before its first request.
    #[must_use]
    pub fn new() -> Self {
        ClientBuilder::new().build()
    }

    /// For a client with options.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }

    /// A request with whatever method, to a URL such as `http://host:8080/path?query`.
    pub fn request(&self, method: Method, url: impl AsRef<str>) -> ClientRequest {
        ClientRequest::new(self.shared.clone(), method, url.as_ref())
    }

    /// A `GET` of `url`.
    pub fn get(&self, url: impl AsRef<str>) -> ClientRequest {
        self.request(Method::GET, url)
    }

    /// A `HEAD` of `url`.
    pub fn head(&self, url: impl AsRef<str>) -> ClientRequest {
        self.request(Method::HEAD, url)
    }

    /// A `POST` to `url`.
    pub fn post(&self, url: impl AsRef<str>) -> ClientRequest {
        self.request(Method::POST, url)
    }

    /// A `PUT` to `url`.
    pub fn put(&self, url: impl AsRef<str>) -> ClientRequest {
        self.request(Method::PUT, url)
    }

    /// A `PATCH` of `url`.
    pub fn patch(&self, url: impl AsRef<str>) -> ClientRequest {
        self.request(Method::PATCH, url)
    }

    /// A `DELETE` of `url`.
    pub fn delete(&self, url: impl AsRef<str>) -> ClientRequest {
        self.request(Method::DELETE, url)
    }

    /// How many connections were opened so far.
    #[must_use]
    pub fn connections_opened(&self) -> u64 {
        self.shared.opened.get()
    }

    /// How many connections are idle. Some of them may have been closed by their server.
    #[must_use]
    pub fn connections_idle(&self) -> usize {
        self.shared.idle_count()
    }

    /// Closes the idle connections. Requests under way go on.
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
    /// The client.
    #[must_use]
    pub fn build(self) -> Client {
        Client { shared: Rc::new(LoopClient::new(self.options)) }
    }
}
