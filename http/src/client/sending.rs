//! How a request is sent: over a kept connection or a new one, again if that is safe, and to
//! another URL after a redirect.

use std::future::poll_fn;
use std::rc::Rc;

use brigade_runtime::time;
use http::{Method, StatusCode};

use crate::client::connect::{Connected, within};
use crate::client::exchange::{Exchange, Outline};
use crate::client::http1::Http1Exchange;
use crate::client::http2;
use crate::client::options::RETRY_BACKOFF_MAX;
use crate::client::pool::{InUse, Link, LoopClient};
use crate::client::redirect;
use crate::client::response::ClientResponse;
use crate::message::body::{Body, BodyKind};
use crate::message::client_error::ClientErrorKind;
use crate::protocol::body_encoder::BodyLength;
use crate::protocol::head::ResponseHead;

/// Why there is no response, and what is left of the request.
pub(super) struct Failure {
    pub(super) kind: ClientErrorKind,
    pub(super) outline: Outline,
    /// The body, if nothing of the request was sent.
    pub(super) unsent: Option<Body>,
}

/// The head of a response, and the exchange that receives its body.
type Answer = (ResponseHead, Box<dyn Exchange>);

/// Why there is no response over one connection.
struct Failed {
    kind: ClientErrorKind,
    /// Nothing of the request was sent, or the server did not look at it.
    is_unsent: bool,
    /// The connection failed before the first byte of a response.
    is_unheard: bool,
    /// The body, unless it is a stream of which a part was sent.
    body: Option<Body>,
}

impl Failed {
    fn before_sending(kind: ClientErrorKind, body: Body) -> Self {
        // A request that cannot be encoded cannot be sent anywhere.
        let is_unsent = !matches!(kind, ClientErrorKind::Encode(_));
        Self { kind, is_unsent, is_unheard: is_unsent, body: Some(body) }
    }

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
/// one which the server has just closed, and always otherwise, opens a new one. A connection of
/// HTTP/2 is kept as soon as it is there, and several requests share it.
async fn attempt(
    client: &Rc<LoopClient>,
    outline: &Outline,
    mut body: Body,
) -> Result<Answer, Failed> {
    let mut kept =
        client.take(&outline.target.origin).map(|link| over_http1(client, link, outline));
    let mut repeats_left = 1;
    loop {
        let (exchange, is_kept) = match kept.take() {
            Some(exchange) => (exchange, true),
            None => match connect(client, outline, body.length()).await {
                Ok(connected) => connected,
                Err(kind) => return Err(Failed::before_sending(kind, body)),
            },
        };
        let mut failed = match exchange_over(exchange, outline, body).await {
            Ok(answer) => return Ok(answer),
            Err(failed) => failed,
        };
        if !is_kept || repeats_left == 0 {
            return Err(failed);
        }
        body = match failed.body_to_repeat(&outline.method) {
            Some(body) => body,
            None => return Err(failed),
        };
        repeats_left -= 1;
    }
}

/// Opens a connection for this request, or a stream of one of HTTP/2, within its timeouts. Returns
/// whether the connection was there before.
async fn connect(
    client: &Rc<LoopClient>,
    outline: &Outline,
    length: BodyLength,
) -> Result<(Box<dyn Exchange>, bool), ClientErrorKind> {
    let connecting = http2::connect(client, outline, length);
    Ok(match within(&client.options, outline, connecting).await? {
        Connected::Http1(stream) => {
            let link = Link::new(stream, outline.target.origin.clone());
            (over_http1(client, link, outline), false)
        }
        Connected::Http2 { exchange, is_kept } => (exchange, is_kept),
    })
}

fn over_http1(client: &Rc<LoopClient>, link: Link, outline: &Outline) -> Box<dyn Exchange> {
    Box::new(Http1Exchange::new(InUse::new(client), link, outline.deadline))
}

/// Sends the request over this connection and waits for the head of the response.
async fn exchange_over(
    mut exchange: Box<dyn Exchange>,
    outline: &Outline,
    body: Body,
) -> Result<Answer, Failed> {
    let again = replay(&body);
    let kind = match send_and_wait(&mut *exchange, outline, body).await {
        Ok(head) => return Ok((head, exchange)),
        Err(kind) => kind,
    };
    // A request that cannot be encoded cannot be sent anywhere.
    let is_unsent = exchange.is_unsent() && !matches!(kind, ClientErrorKind::Encode(_));
    let is_unheard = exchange.is_unheard(&kind);
    let body = again.or_else(|| exchange.take_unsent_body());
    Err(Failed { kind, is_unsent, is_unheard, body })
}

async fn send_and_wait(
    exchange: &mut dyn Exchange,
    outline: &Outline,
    body: Body,
) -> Result<ResponseHead, ClientErrorKind> {
    exchange.begin(outline, body)?;
    poll_fn(|cx| exchange.poll_head(cx)).await
}

/// Returns the response. Without a body it is complete, and its connection is kept at once.
fn response(head: ResponseHead, label: Rc<str>, exchange: Box<dyn Exchange>) -> ClientResponse {
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
