//! A request that is being made up, and its way to an answer.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use brigade_runtime::net::TcpStream;
use brigade_runtime::time;
use http::{HeaderName, HeaderValue, Method, StatusCode};

use crate::client::error::{ClientError, ClientErrorKind, TimeoutKind};
use crate::client::exchange::{Exchange, Question};
use crate::client::pool::{InUse, Link, LoopClient};
use crate::client::response::ClientResponse;
use crate::client::target::{Target, presentable};
use crate::message::body::{Body, BodyKind};
use crate::protocol::head::ResponseHead;
use crate::protocol::headers::Headers;

/// A request that is being made up; [`send`](ClientRequest::send) sends it.
///
/// What is wrong with the URL or a header is told by `send`.
#[must_use = "a request does nothing unless it is sent"]
pub struct ClientRequest {
    client: Rc<LoopClient>,
    method: Method,
    /// As it may stand in a message.
    url: String,
    target: Result<Target, ClientErrorKind>,
    headers: Headers,
    body: Body,
    timeout: Option<Duration>,
}

impl ClientRequest {
    pub(super) fn new(client: Rc<LoopClient>, method: Method, url: &str) -> Self {
        Self {
            method,
            url: presentable(url),
            target: Target::parse(url).map_err(ClientErrorKind::Url),
            headers: Headers::new(),
            body: Body::empty(),
            timeout: client.options.timeout,
            client,
        }
    }

    /// With a header more, or in place of the one of that name.
    ///
    /// `Host` and the framing of the body are added when the request is sent. A `Host` set here
    /// replaces ours; `Connection: close` closes the connection after the answer;
    /// `Expect: 100-continue` has the body wait for the server's word, or for a second.
    pub fn header(mut self, name: impl AsRef<str>, value: impl TryInto<HeaderValue>) -> Self {
        match (HeaderName::try_from(name.as_ref()), value.try_into()) {
            (Ok(name), Ok(value)) => self.headers.insert(name, value),
            _ if self.target.is_ok() => {
                self.target = Err(ClientErrorKind::Header(name.as_ref().into()));
            }
            _ => {}
        }
        self
    }

    /// All headers, to be changed.
    #[must_use]
    pub fn headers_mut(&mut self) -> &mut Headers {
        &mut self.headers
    }

    /// With a body, full or streamed. A stream goes out in chunks unless it has a length, and is
    /// polled while the answer is awaited and read; an error in it closes the connection.
    pub fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    /// How long it may take in all, from the call of [`send`](ClientRequest::send) to the end of
    /// the answer's body.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends the request, and waits for the head of the answer. The answer may come before the
    /// body of the request is sent to its end: that goes on while the answer's body is read. A
    /// server that refuses a request, with a status from 400 on, is sent no more of it.
    ///
    /// Redirects are not followed; informational answers are skipped. A request that fails on a
    /// connection which had been idle before any byte of an answer came, and that is idempotent
    /// and has no stream for a body, is sent once more on a new connection: most likely the server
    /// had just closed the old one.
    ///
    /// Cancellation: dropping the future closes the connection. The server may have acted on the
    /// request nevertheless.
    ///
    /// # Errors
    /// Whatever keeps the answer from coming; see [`ClientErrorKind`].
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    ///
    /// # Examples
    /// ```no_run
    /// use std::time::Duration;
    /// use brigade_http::{Client, ClientError};
    ///
    /// async fn greet(client: &Client) -> Result<String, ClientError> {
    ///     let request = client.post("http://127.0.0.1:8080/greet").header("accept", "text/plain");
    ///     let request = request.body("name=Ada").timeout(Duration::from_secs(5));
    ///     request.send().await?.text(64 * 1024).await
    /// }
    /// ```
    pub async fn send(self) -> Result<ClientResponse, ClientError> {
        let asked: Rc<str> = format!("{} {}", self.method, self.url).into();
        let answered = self.converse(&asked).await;
        answered.map_err(|kind| ClientError::new(&asked, kind))
    }

    async fn converse(self, asked: &Rc<str>) -> Result<ClientResponse, ClientErrorKind> {
        let Self { client, method, target, headers, body, timeout, .. } = self;
        let deadline = timeout.and_then(|limit| Some((limit, time::now().checked_add(limit)?)));
        let question = Question { method, target: target?, headers, deadline };
        let mut body = Some(body);
        if let Some(link) = client.take(&question.target.place) {
            let again = body.as_ref().and_then(replay);
            let mut exchange = new_exchange(&client, link, deadline);
            let first = body.take().unwrap_or_default();
            match ask(&mut exchange, &question, first).await {
                Ok(head) => return Ok(answer(head, asked, exchange)),
                Err(error) => {
                    // A server that took nothing acted on nothing.
                    let may_repeat = question.method.is_idempotent() || !exchange.is_sent();
                    let may_repeat = may_repeat && exchange.is_unheard(&error);
                    body = again.filter(|_| may_repeat);
                    if body.is_none() {
                        return Err(error);
                    }
                }
            }
        }
        let link = connect(&client, &question).await?;
        let mut exchange = new_exchange(&client, link, deadline);
        let head = ask(&mut exchange, &question, body.unwrap_or_default()).await?;
        Ok(answer(head, asked, exchange))
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

/// The same body once more, unless it is a stream.
fn replay(body: &Body) -> Option<Body> {
    match &body.kind {
        BodyKind::Empty => Some(Body::empty()),
        BodyKind::Full(bytes) => Some(bytes.clone().into()),
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

/// Sends the request and waits for the head of the answer.
async fn ask(
    exchange: &mut Exchange,
    question: &Question,
    body: Body,
) -> Result<ResponseHead, ClientErrorKind> {
    exchange.begin(question, body)?;
    poll_fn(|cx| exchange.poll_head(cx)).await
}

/// The answer. Without a body it is over, and its connection free.
fn answer(head: ResponseHead, asked: &Rc<str>, exchange: Box<Exchange>) -> ClientResponse {
    let has_body = head.framing().has_body() || head.status() == StatusCode::SWITCHING_PROTOCOLS;
    let mut response = ClientResponse::new(head, asked.clone(), exchange);
    if !has_body {
        response.end_at_once();
    }
    response
}

async fn connect(client: &Rc<LoopClient>, question: &Question) -> Result<Link, ClientErrorKind> {
    let mut timeout = (TimeoutKind::Connect, client.options.connect_timeout);
    let mut left = timeout.1;
    if let Some((limit, deadline)) = question.deadline {
        let rest = deadline.saturating_duration_since(time::now());
        if rest < left {
            (timeout, left) = ((TimeoutKind::Total, limit), rest);
        }
    }
    match time::timeout(left, open(&question.target)).await {
        Ok(Ok(stream)) => {
            client.opened.update(|opened| opened + 1);
            Ok(Link::new(stream, question.target.place.clone()))
        }
        Ok(Err(error)) => Err(ClientErrorKind::Connect(error)),
        Err(_) => Err(ClientErrorKind::Timeout(timeout.0, timeout.1)),
    }
}

/// Only a name is worth a look-up on another thread.
async fn open(target: &Target) -> io::Result<TcpStream> {
    match target.host.parse::<IpAddr>() {
        Ok(address) => TcpStream::connect_to(SocketAddr::new(address, target.port)).await,
        Err(_) => TcpStream::connect((target.host.clone(), target.port)).await,
    }
}
