//! A request that is being built.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use brigade_runtime::{task, time};
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, RANGE};
use http::{HeaderName, HeaderValue, Method};

use crate::client::exchange::Outline;
use crate::client::options::Decompression;
use crate::client::pool::LoopClient;
use crate::client::response::ClientResponse;
use crate::client::sending::{self, Failure};
use crate::client::target::{Target, without_credentials};
use crate::message::body::Body;
use crate::message::client_error::{ClientError, ClientErrorKind};
use crate::message::parked::Ticket;
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
    pub(super) decompression: Option<Decompression>,
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
            decompression: client.options.decompression,
            client,
        }
    }

    /// Sets the URL, in place of the one that the request was built with. Queries that were added
    /// to that are not added to this one.
    pub fn url(mut self, url: impl AsRef<str>) -> Self {
        let url = url.as_ref();
        self.url = without_credentials(url);
        if matches!(self.target, Ok(_) | Err(ClientErrorKind::Url(_))) {
            self.target = Target::parse(url).map_err(ClientErrorKind::Url);
        }
        self
    }

    /// Sets a header, in place of any other of that name.
    ///
    /// `Host` and the headers that frame the body are added when the request is sent. A `Host` set
    /// here replaces the one from the URL. `Connection: close` closes the connection after the
    /// response. With `Expect: 100-continue` the body is sent when the server asks for it, or
    /// after a second. A request with an `Upgrade` is sent over HTTP/1.1.
    ///
    /// HTTP/2 has no headers that are about a connection: `Connection` and those that it names,
    /// `Keep-Alive`, `Proxy-Connection`, and `TE` but for `trailers`, are left out there.
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
    /// response is awaited and read. An error in it closes the connection, or over HTTP/2 resets
    /// the stream.
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
    /// Redirects are [followed](crate::ClientBuilder::redirects) only if the client was built so.
    /// Informational responses are skipped. If a reused connection fails before the first byte of a
    /// response, the server has most likely just closed it: then the request is sent once more, on
    /// a new connection, if none of it had been sent, or it is idempotent and its body is not a
    /// stream. Over HTTP/2 a server can also say that it has not looked at a request: then it is
    /// sent once more unless a part of its body was taken from a stream. See
    /// [`ClientBuilder::retries`](crate::ClientBuilder::retries) for other failures.
    ///
    /// # Errors
    /// If there is no response; see [`ClientErrorKind`]. If nothing of the request was sent,
    /// [`ClientError::take_request`] returns it.
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection, or over HTTP/2 resets the stream. The server may
    /// have acted on the request nevertheless.
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
        let Self { client, method, url, target, mut headers, body, timeout, decompression } = self;
        // An invalid request fails without waiting for anything.
        task::consume_budget().await;
        let target = target.map_err(|kind| ClientError::new(&format!("{method} {url}"), kind))?;
        let deadline = timeout.and_then(|limit| Some((limit, time::now().checked_add(limit)?)));
        // A part of a compressed response could not be decompressed.
        let asks = decompression
            .filter(|_| !headers.contains(&ACCEPT_ENCODING) && !headers.contains(&RANGE));
        if let Some(decompression) = asks {
            headers.insert(ACCEPT_ENCODING, (decompression.accept_encoding)());
        }
        let outline = Outline { method, target, headers, deadline };
        match sending::send(&client, outline, body).await {
            Ok(response) => Ok(match decompression {
                Some(decompression) => {
                    response.decompressed(decompression, client.options.body_bytes_max)
                }
                None => response,
            }),
            Err(failure) => {
                let Failure { kind, outline, unsent } = *failure;
                let error = ClientError::new(&outline.label(), kind);
                let Some(body) = unsent else { return Err(error) };
                let Outline { method, target, mut headers, .. } = outline;
                if asks.is_some() {
                    headers.remove(&ACCEPT_ENCODING);
                }
                let target = Ok(target);
                Err(error.with_unsent(Ticket::park(Self {
                    client,
                    method,
                    url,
                    target,
                    headers,
                    body,
                    timeout,
                    decompression,
                })))
            }
        }
    }
}

impl ClientError {
    /// Takes the request out of the error, if nothing of it was sent: since connecting failed, for
    /// instance, or if a server of HTTP/2 has said that it did not look at it. It is as it was
    /// before it was sent, with its body, of which a stream was not polled. So it can be sent to
    /// another server, even if it is not idempotent (RFC 9110 section 9.2.2). Its total timeout
    /// then begins anew.
    ///
    /// Returns `None` if some of the request may have been sent, if the request is invalid, and on
    /// any other thread than that of the request. An error that is kept keeps its request.
    ///
    /// # Examples
    /// ```no_run
    /// use brigade_http::{ClientError, ClientRequest, ClientResponse};
    ///
    /// /// Sends a request, and to the second URL if the server at the first one is down.
    /// async fn send(request: ClientRequest, second: &str) -> Result<ClientResponse, ClientError> {
    ///     let mut error = match request.send().await {
    ///         Ok(response) => return Ok(response),
    ///         Err(error) => error,
    ///     };
    ///     match error.take_request() {
    ///         Some(request) => request.url(second).send().await,
    ///         None => Err(error),
    ///     }
    /// }
    /// ```
    pub fn take_request(&mut self) -> Option<ClientRequest> {
        self.take_unsent()?.take()
    }

    /// Returns the request, if nothing of it was sent; see [`take_request`](Self::take_request).
    #[must_use]
    pub fn into_request(mut self) -> Option<ClientRequest> {
        self.take_request()
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
