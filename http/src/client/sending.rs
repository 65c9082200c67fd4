//! How a request is sent: over a kept connection or a new one, again if that is safe, and to
//! another URL after a redirect.

use std::future::poll_fn;
use std::rc::Rc;
use std::time::{Duration, Instant};

use brigade_runtime::time;
use http::{Method, StatusCode};

use crate::client::connect::connect;
use crate::client::exchange::{Exchange, Outline};
use crate::client::options::RETRY_BACKOFF_MAX;
use crate::client::pool::{InUse, Link, LoopClient};
use crate::client::redirect;
use crate::client::response::ClientResponse;
use crate::message::body::{Body, BodyKind};
use crate::message::client_error::ClientErrorKind;
use crate::protocol::head::ResponseHead;

/// Why there is no response, and what is left of the request.
pub(super) struct Failure {
    pub(super) kind: ClientErrorKind,
    pub(super) outline: Outline,
    /// The body, if nothing of the request was sent.
    pub(super) unsent: Option<Body>,
}

/// The head of a response, and the exchange that receives its body.
type Answer = (ResponseHead, Box<Exchange>);

/// Why there is no response over one connection.
struct Failed {
    kind: ClientErrorKind,
    /// Nothing of the request was sent.
    is_unsent: bool,
    /// The connection failed before the first byte of a response.
    is_unheard: bool,
    /// The body, unless it is a stream of which a part was sent.
    body: Option<Body>,
}

impl Failed {
    /// Returns the body if the request may be sent once more. A server that received nothing has
    /// not acted on it, and acting twice on one that is idempotent does no harm (RFC 9110 section
    /// 9.2.2).
    fn body_to_repeat(&mut self, method: &Method) -> Option<Body> {
        let may_repeat = self.is_unsent || (self.is_unheard && method.is_idempotent());
        self.body.take_if(|_| may_repeat)
    }
}

/// Sends a request and follows redirects, as far as the client's options say. Returns the response
/// with its head received.
pub(super) async fn send(
    client: &Rc<LoopClient>,
    mut outline: Outline,
    mut body: Body,
) -> Result<ClientResponse, Box<Failure>> {
    let redirects_max = client.options.redirects_max;
    let mut redirects = 0;
    loop {
        let again = if redirects < redirects_max { replay(&body) } else { None };
        let (head, exchange) = match retry(client, &outline, body).await {
            Ok(answer) => answer,
            Err(Failed { kind, is_unsent, body, .. }) => {
                // After a redirect the first server has acted on the request.
                let unsent = body.filter(|_| is_unsent && redirects == 0);
                return Err(Box::new(Failure { kind, outline, unsent }));
            }
        };
        let redirected = redirect::location(&head).filter(|_| redirects_max > 0);
        let Some(location) = redirected.map(<[u8]>::to_vec) else {
            return Ok(response(head, outline.label().into(), exchange));
        };
        let status = head.status();
        // Keeps the connection if the rest of the response is short.
        drop(response(head, outline.label().into(), exchange));
        let followed = if redirects == redirects_max {
            Err(ClientErrorKind::TooManyRedirects(redirects_max))
        } else {
            redirect::follow(&mut outline, status, &location, again)
        };
        body = match followed {
            Ok(body) => body,
            Err(kind) => return Err(Box::new(Failure { kind, outline, unsent: None })),
        };
        redirects += 1;
    }
}

/// Sends a request, and again after a pause if that is safe, as often as the client's options say.
async fn retry(
    client: &Rc<LoopClient>,
    outline: &Outline,
    mut body: Body,
) -> Result<Answer, Failed> {
    let mut pause = client.options.retry_backoff;
    let mut retries_left = client.options.retries_max;
    loop {
        let mut failed = match attempt(client, outline, body).await {
            Ok(answer) => return Ok(answer),
            Err(failed) => failed,
        };
        let has_time = |(_, latest)| time::now().checked_add(pause).is_some_and(|at| at < latest);
        if retries_left == 0 || !outline.deadline.is_none_or(has_time) {
            return Err(failed);
        }
        body = match failed.body_to_repeat(&outline.method) {
            Some(body) => body,
            None => return Err(failed),
        };
        time::sleep(pause).await;
        pause = pause.saturating_mul(2).min(RETRY_BACKOFF_MAX);
        retries_left -= 1;
    }
}

/// Sends a request over a kept connection if there is one. If that fails in a way that is usual for
/// one which the server has just closed, and always otherwise, opens a new one.
async fn attempt(
    client: &Rc<LoopClient>,
    outline: &Outline,
    mut body: Body,
) -> Result<Answer, Failed> {
    if let Some(link) = client.take(&outline.target.origin) {
        let mut failed = match exchange_over(client, link, outline, body).await {
            Ok(answer) => return Ok(answer),
            Err(failed) => failed,
        };
        body = match failed.body_to_repeat(&outline.method) {
            Some(body) => body,
            None => return Err(failed),
        };
    }
    match connect(client, outline).await {
        Ok(link) => exchange_over(client, link, outline, body).await,
        Err(kind) => Err(Failed { kind, is_unsent: true, is_unheard: true, body: Some(body) }),
    }
}

/// Sends the request over this connection and waits for the head of the response.
async fn exchange_over(
    client: &Rc<LoopClient>,
    link: Link,
    outline: &Outline,
    body: Body,
) -> Result<Answer, Failed> {
    let again = replay(&body);
    let mut exchange = new_exchange(client, link, outline.deadline);
    let kind = match send_and_wait(&mut exchange, outline, body).await {
        Ok(head) => return Ok((head, exchange)),
        Err(kind) => kind,
    };
    // A request that cannot be encoded cannot be sent anywhere.
    let is_unsent = !exchange.is_sent() && !matches!(kind, ClientErrorKind::Encode(_));
    let is_unheard = exchange.failed_unheard(&kind);
    let body = again.or_else(|| exchange.take_unsent_stream());
    Err(Failed { kind, is_unsent, is_unheard, body })
}

fn new_exchange(
    client: &Rc<LoopClient>,
    link: Link,
    deadline: Option<(Duration, Instant)>,
) -> Box<Exchange> {
    Box::new(Exchange::new(InUse::new(client), link, deadline))
}

async fn send_and_wait(
    exchange: &mut Exchange,
    outline: &Outline,
    body: Body,
) -> Result<ResponseHead, ClientErrorKind> {
    exchange.begin(outline, body)?;
    poll_fn(|cx| exchange.poll_head(cx)).await
}

/// Returns the response. Without a body it is complete, and its connection is kept at once.
fn response(head: ResponseHead, label: Rc<str>, exchange: Box<Exchange>) -> ClientResponse {
    let has_body = head.framing().has_body() || head.status() == StatusCode::SWITCHING_PROTOCOLS;
    let mut response = ClientResponse::new(head, label, exchange);
    if !has_body {
        response.end_at_once();
    }
    response
}

/// Returns a copy of the body, unless it is a stream.
fn replay(body: &Body) -> Option<Body> {
    match &body.kind {
        BodyKind::Empty | BodyKind::Trailers(_) => Some(Body::empty()),
        BodyKind::Full(bytes) => Some(bytes.clone().into()),
        BodyKind::Error(error) => Some(error.text.clone().into()),
        _ => None,
    }
}
