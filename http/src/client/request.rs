//! A request that is being built, and how it is sent.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use brigade_runtime::net::TcpStream;
use brigade_runtime::{task, time};
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, Method, StatusCode};

use crate::client::exchange::{Exchange, Outline};
use crate::client::pool::{InUse, Link, LoopClient};
use crate::client::response::ClientResponse;
use crate::client::target::{Target, without_credentials};
use crate::message::body::{Body, BodyKind};
use crate::message::client_error::{ClientError, ClientErrorKind, TimeoutKind};
use crate::protocol::head::ResponseHead;
use crate::protocol::headers::Headers;

/// A request that is being built. [`send`](ClientRequest::send) sends it, and returns the error if
/// the URL or a header is invalid.
#[must_use = "a request does nothing unless it is sent"]
pub struct ClientRequest {
    client: Rc<LoopClient>,
    method: Method,
    /// The URL as it was given, without credentials, for messages about an invalid one.
    url: String,
    /// The first error in the request, if there is one.
    pub(super) target: Result<Target, ClientErrorKind>,
    headers: Headers,
    body: Body,
    timeout: Option<Duration>,
}

impl ClientRequest {
    pub(super) fn new(client: Rc<LoopClient>, method: Method, url: &str) -> Self {
        Self {
            method,
            url: without_credentials(url),
            target: Target::parse(url).map_err(ClientErrorKind::Url),
            headers: Headers::new(),
            body: Body::empty(),
            timeout: client.options.timeout,
            client,
        }
    }

    /// Sets a header, in place of any other of that name.
    ///
    /// `Host` and the headers that frame the body are added when the request is sent. A `Host` set
    /// here replaces the one from the URL. `Connection: close` closes the connection after the
    /// response. With `Expect: 100-continue` the body is sent when the server asks for it, or
    /// after a second.
    pub fn header(mut self, name: impl AsRef<str>, value: impl TryInto<HeaderValue>) -> Self {
        match (HeaderName::try_from(name.as_ref()), value.try_into()) {
            (Ok(name), Ok(value)) => self.headers.insert(name, value),
            _ => self.fail(ClientErrorKind::Header(name.as_ref().into())),
        }
        self
    }

    /// Sets `Authorization` to this token (RFC 6750 section 2.1). The value is marked as sensitive,
    /// so that it does not appear in debug output.
    ///
    /// [`send`](ClientRequest::send) returns [`ClientErrorKind::Header`] if the token has
    /// characters that a header may not have.
    pub fn bearer_auth(self, token: impl AsRef<str>) -> Self {
        self.authorization(HeaderValue::try_from(format!("Bearer {}", token.as_ref())).ok())
    }

    /// Sets `Authorization` to a user name and a password (RFC 7617). The value is marked as
    /// sensitive, so that it does not appear in debug output. Anybody who can read the connection
    /// can read the password.
    ///
    /// [`send`](ClientRequest::send) returns [`ClientErrorKind::Header`] if the user name has a
    /// colon, or one of the two has a control character.
    pub fn basic_auth(self, user: impl AsRef<str>, password: impl AsRef<str>) -> Self {
        let (user, password) = (user.as_ref(), password.as_ref());
        let is_valid =
            !user.contains(':') && !user.chars().chain(password.chars()).any(char::is_control);
        let encoded = || format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
        let value = is_valid.then(encoded).map(HeaderValue::try_from);
        self.authorization(value.transpose().ok().flatten())
    }

    fn authorization(mut self, value: Option<HeaderValue>) -> Self {
        match value {
            Some(mut value) => {
                value.set_sensitive(true);
                self.headers.insert(AUTHORIZATION, value);
            }
            None => self.fail(ClientErrorKind::Header(AUTHORIZATION.as_str().into())),
        }
        self
    }

    /// Records an error, to be returned by [`send`](ClientRequest::send). The first one counts.
    pub(super) fn fail(&mut self, kind: ClientErrorKind) {
        if self.target.is_ok() {
            self.target = Err(kind);
        }
    }

    /// Returns the headers, to be changed.
    #[must_use]
    pub fn headers_mut(&mut self) -> &mut Headers {
        &mut self.headers
    }

    /// Sets the body. A stream is sent in chunks unless it has a length, and is polled while the
    /// response is awaited and read. An error in it closes the connection.
    pub fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets how long the request may take in total, from the call of [`send`](ClientRequest::send)
    /// to the end of the response's body.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends the request, and waits for the head of the response. The response may begin before
    /// the body of the request is complete: the rest is then sent while the response's body is
    /// read. If the server refuses the request with a status of 400 or more, no more of it is sent.
    ///
    /// Redirects are not followed, and informational responses are skipped. If a reused connection
    /// fails before the first byte of a response, the server has most likely just closed it: then
    /// the request is sent once more, on a new connection, if its body is not a stream, and if it
    /// is idempotent or none of it had been sent.
    ///
    /// # Errors
    /// If there is no response; see [`ClientErrorKind`].
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection. The server may have acted on the request
    /// nevertheless.
    ///
    /// # Examples
    /// ```no_run
    /// use std::time::Duration;
    /// use brigade_http::{Client, ClientError};
    ///
    /// async fn greet(client: &Client) -> Result<String, ClientError> {
    ///     let request = client.post("http://127.0.0.1:8080/greet").header("accept", "text/plain");
    ///     let request = request.body("name=Ada").timeout(Duration::from_secs(5));
    ///     request.send().await?.text().await
    /// }
    /// ```
    pub async fn send(self) -> Result<ClientResponse, ClientError> {
        let label: Rc<str> = match &self.target {
            Ok(target) => format!("{} {}", self.method, target).into(),
            Err(_) => format!("{} {}", self.method, self.url).into(),
        };
        let response = self.exchange(&label).await;
        response.map_err(|kind| ClientError::new(&label, kind))
    }

    async fn exchange(self, label: &Rc<str>) -> Result<ClientResponse, ClientErrorKind> {
        let Self { client, method, target, headers, body, timeout, .. } = self;
        // An invalid request fails without waiting for anything.
        task::consume_budget().await;
        let deadline = timeout.and_then(|limit| Some((limit, time::now().checked_add(limit)?)));
        let outline = Outline { method, target: target?, headers, deadline };
        let mut body = Some(body);
        if let Some(link) = client.take(&outline.target.host_and_port) {
            let again = body.as_ref().and_then(replay);
            let mut exchange = new_exchange(&client, link, deadline);
            let first = body.take().unwrap_or_default();
            match send_and_wait(&mut exchange, &outline, first).await {
                Ok(head) => return Ok(response(head, label, exchange)),
                Err(error) => {
                    // A server that received nothing has not acted on it.
                    let may_repeat = outline.method.is_idempotent() || !exchange.is_sent();
                    let may_repeat = may_repeat && exchange.failed_unheard(&error);
                    body = again.filter(|_| may_repeat);
                    if body.is_none() {
                        return Err(error);
                    }
                }
            }
        }
        let link = connect(&client, &outline).await?;
        let mut exchange = new_exchange(&client, link, deadline);
        let head = send_and_wait(&mut exchange, &outline, body.unwrap_or_default()).await?;
        Ok(response(head, label, exchange))
    }
}

impl fmt::Debug for ClientRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientRequest")
            .field("method", &self.method)
            .field("url", &self.url)
            .field("headers", &self.headers)
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

/// Returns a copy of the body, unless it is a stream.
fn replay(body: &Body) -> Option<Body> {
    match &body.kind {
        BodyKind::Empty => Some(Body::empty()),
        BodyKind::Full(bytes) => Some(bytes.clone().into()),
        BodyKind::Error(error) => Some(error.text.clone().into()),
        BodyKind::Stream(..) | BodyKind::Upgrade(_) => None,
    }
}

fn new_exchange(
    client: &Rc<LoopClient>,
    link: Link,
    deadline: Option<(Duration, Instant)>,
) -> Box<Exchange> {
    Box::new(Exchange::new(InUse::new(client), link, deadline))
}

/// Sends the request and waits for the head of the response.
async fn send_and_wait(
    exchange: &mut Exchange,
    outline: &Outline,
    body: Body,
) -> Result<ResponseHead, ClientErrorKind> {
    exchange.begin(outline, body)?;
    poll_fn(|cx| exchange.poll_head(cx)).await
}

/// Returns the response. Without a body it is complete, and its connection is kept at once.
fn response(head: ResponseHead, label: &Rc<str>, exchange: Box<Exchange>) -> ClientResponse {
    let has_body = head.framing().has_body() || head.status() == StatusCode::SWITCHING_PROTOCOLS;
    let mut response = ClientResponse::new(head, label.clone(), exchange);
    if !has_body {
        response.end_at_once();
    }
    response
}

async fn connect(client: &Rc<LoopClient>, outline: &Outline) -> Result<Link, ClientErrorKind> {
    let mut timeout = (TimeoutKind::Connect, client.options.connect_timeout);
    let mut left = timeout.1;
    if let Some((limit, deadline)) = outline.deadline {
        let rest = deadline.saturating_duration_since(time::now());
        if rest < left {
            (timeout, left) = ((TimeoutKind::Total, limit), rest);
        }
    }
    match time::timeout(left, open(&outline.target)).await {
        Ok(Ok(stream)) => {
            client.opened.update(|opened| opened + 1);
            Ok(Link::new(stream, outline.target.host_and_port.clone()))
        }
        Ok(Err(error)) => Err(ClientErrorKind::Connect(error)),
        Err(_) => Err(ClientErrorKind::Timeout(timeout.0, timeout.1)),
    }
}

/// Connects. Only a name needs a lookup, which runs on another thread.
async fn open(target: &Target) -> io::Result<TcpStream> {
    match target.host.parse::<IpAddr>() {
        Ok(address) => TcpStream::connect_to(SocketAddr::new(address, target.port)).await,
        Err(_) => TcpStream::connect((target.host.clone(), target.port)).await,
    }
}
