//! Requests of hyper as ours.
//!
//! The head is written as one of HTTP/1.1 and decoded like one, so that the same rules and limits
//! hold. h2 has refused headers that HTTP/2 does not allow before, such as `Connection`, by
//! resetting the stream.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use brigade_runtime::net::PeerAddr;
use futures_core::Stream;
use http::header::{CONTENT_LENGTH, COOKIE, HOST};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Version, request};
use http_body::Body as HttpBody;
use hyper::body::Incoming;

use crate::message::body::Body;
use crate::message::body_error::BoxError;
use crate::message::part::Part;
use crate::message::request::Request;
use crate::message::route::RouteOptions;
use crate::protocol::body_encoder::BodyLength;
use crate::protocol::error::ProtocolError;
use crate::protocol::limits::Limits;
use crate::server::http2::shared::BodyFailure;
use crate::server::timeouts::Timeouts;
use crate::transport::deadline::Deadline;

/// The body rate is checked only after this grace period.
const BODY_RATE_GRACE: Duration = Duration::from_secs(30);

/// What limits the body of a request. It is known only when its route is.
#[derive(Debug)]
pub(super) struct BodyLimits {
    bytes_max: u64,
    gap: Duration,
    bytes_per_second_min: u32,
    trailer_bytes_max: usize,
}

impl BodyLimits {
    pub(super) fn new(limits: &Limits, timeouts: &Timeouts, route: Option<&RouteOptions>) -> Self {
        let route = route.copied().unwrap_or_default();
        let rate = route.body_bytes_per_second_min;
        Self {
            bytes_max: route.body_bytes_max.unwrap_or(limits.body_bytes_max),
            gap: route.body_gap.unwrap_or(timeouts.body_gap),
            bytes_per_second_min: rate.unwrap_or(timeouts.body_bytes_per_second_min),
            trailer_bytes_max: limits.trailer_bytes_max.into(),
        }
    }

    /// Returns the largest length of a body.
    pub(super) const fn bytes_max(&self) -> u64 {
        self.bytes_max
    }
}

/// A request with what its body has to know of its route, and leaves for its response.
pub(super) struct Converted {
    pub(super) request: Request,
    /// Absent if there is no body.
    pub(super) link: Option<BodyLink>,
}

/// What a request shares with its body.
#[derive(Clone, Default)]
pub(super) struct BodyLink {
    /// To be set before the body is read.
    pub(super) limits: Rc<RefCell<Option<BodyLimits>>>,
    pub(super) failure: BodyFailure,
}

/// Converts a request.
///
/// # Errors
/// The error with which a server of HTTP/1.1 would refuse it.
pub(super) fn convert(
    request: http::Request<Incoming>,
    limits: &Limits,
    peer: PeerAddr,
) -> Result<Converted, ProtocolError> {
    let (parts, incoming) = request.into_parts();
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let (body, link) = incoming_body(incoming);
    let mut builder = Request::builder(parts.method.clone(), target).body(body).peer_addr(peer);
    if let Some(host) = host(&parts)? {
        builder = builder.valid_header(HOST, host);
    }
    for (name, value) in &parts.headers {
        check_value(value)?;
        if *name != HOST && *name != CONTENT_LENGTH && *name != COOKIE {
            builder = builder.valid_header(name.clone(), value.clone());
        }
    }
    if let Some(cookies) = cookies(&parts.headers)? {
        builder = builder.valid_header(COOKIE, cookies);
    }
    let mut request = builder.build_within(limits)?;
    request.parts.head.version = Version::HTTP_2;
    Ok(Converted { request, link })
}

/// Refuses a value with white space at its start or end (RFC 9113 section 8.2.1). HTTP/1.1 would
/// take it for the space around a value.
fn check_value(value: &HeaderValue) -> Result<(), ProtocolError> {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let bytes = value.as_bytes();
    match is_space(bytes.first()) || is_space(bytes.last()) {
        true => Err(ProtocolError::HeaderSpace),
        false => Ok(()),
    }
}

/// Returns the value of `Host`. It may be sent besides the authority if they are equal (RFC 9113
/// section 8.3.1).
fn host(parts: &request::Parts) -> Result<Option<HeaderValue>, ProtocolError> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(ProtocolError::HostRepeated);
    }
    let authority = parts.uri.authority().map(Authority::as_str);
    match (authority, host) {
        (Some(authority), Some(host)) if host.as_bytes() != authority.as_bytes() => {
            Err(ProtocolError::HostInvalid)
        }
        (Some(authority), _) => {
            HeaderValue::from_str(authority).map(Some).map_err(|_| ProtocolError::HostInvalid)
        }
        (None, Some(host)) => Ok(Some(host.clone())),
        (None, None) => Err(ProtocolError::HostMissing),
    }
}

/// Returns all cookies as one header, since HTTP/2 may send each on a line of its own (RFC 9113
/// section 8.2.3).
fn cookies(headers: &HeaderMap) -> Result<Option<HeaderValue>, ProtocolError> {
    let mut lines = headers.get_all(COOKIE).iter();
    let Some(first) = lines.next() else { return Ok(None) };
    let mut all = first.as_bytes().to_vec();
    for line in lines {
        all.extend_from_slice(b"; ");
        all.extend_from_slice(line.as_bytes());
    }
    HeaderValue::from_bytes(&all).map(Some).map_err(|_| ProtocolError::HeaderValue)
}

fn incoming_body(incoming: Incoming) -> (Body, Option<BodyLink>) {
    if incoming.is_end_stream() {
        return (Body::empty(), None);
    }
    let link = BodyLink::default();
    let length = incoming.size_hint().exact().map_or(BodyLength::Unknown, BodyLength::Known);
    let parts = IncomingParts {
        incoming,
        link: link.clone(),
        received: 0,
        waited: Duration::ZERO,
        deadline: Deadline::new(),
    };
    (Body::parts(parts, length), Some(link))
}

/// The parts of a request's body, as its handler asks for them.
struct IncomingParts {
    incoming: Incoming,
    link: BodyLink,
    received: u64,
    /// How long the handler has waited for parts, without the current wait.
    waited: Duration,
    /// `true` while the handler waits.
    deadline: Deadline<bool>,
}

impl IncomingParts {
    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Part, ProtocolError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) else {
            ready!(self.poll_late(cx));
            return Poll::Ready(Some(Err(ProtocolError::BodyTimeout)));
        };
        if self.deadline.waiting() {
            self.waited += self.deadline.waited();
            self.deadline.stop();
        }
        let Some(frame) = frame else { return Poll::Ready(None) };
        // The client has reset the stream, or its connection has ended.
        let Ok(frame) = frame else {
            return Poll::Ready(Some(Err(ProtocolError::UnexpectedEnd)));
        };
        let limits = self.link.limits.borrow();
        Poll::Ready(match (frame.into_data(), limits.as_ref()) {
            (Ok(data), limits) => {
                self.received += data.len() as u64;
                match limits.is_some_and(|limits| self.received > limits.bytes_max) {
                    true => Some(Err(ProtocolError::BodyTooLarge)),
                    false => Some(Ok(Part::Data(data))),
                }
            }
            (Err(frame), limits) => match frame.into_trailers() {
                Ok(trailers) => {
                    let bytes_max = limits.map_or(usize::MAX, |limits| limits.trailer_bytes_max);
                    match size(&trailers) > bytes_max {
                        true => Some(Err(ProtocolError::TrailersTooLarge)),
                        false => Some(Ok(Part::Trailers(trailers))),
                    }
                }
                Err(_) => None,
            },
        })
    }

    /// Ready when the handler has waited for too long. Registers the task to be woken then.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.deadline.waiting() {
            self.deadline.start(true);
        }
        let Some((gap, latest)) = self
            .link
            .limits
            .borrow()
            .as_ref()
            .map(|limits| (limits.gap, self.rate_deadline(limits)))
        else {
            return Poll::Pending;
        };
        self.deadline.poll_passed(Some(gap), latest, cx)
    }

    /// Returns when the body will be too slow on average, unless more of it comes before. Only the
    /// time counts in which the handler waited for it.
    fn rate_deadline(&self, limits: &BodyLimits) -> Option<Instant> {
        let earned = self.received.checked_div(limits.bytes_per_second_min.into())?;
        let granted = BODY_RATE_GRACE.saturating_add(Duration::from_secs(earned));
        self.deadline.since().checked_add(granted.saturating_sub(self.waited))
    }
}

/// Returns the size of trailers as HTTP/1.1 would send them.
fn size(trailers: &HeaderMap) -> usize {
    const FRAMING: usize = ": \r\n".len();
    trailers.iter().map(|(name, value)| name.as_str().len() + value.len() + FRAMING).sum()
}

impl Stream for IncomingParts {
    type Item = Result<Part, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(match ready!(self.poll_incoming(cx)) {
            Some(Err(error)) => {
                self.link.failure.set(Some(error));
                Some(Err(error.into()))
            }
            part => part.map(|part| part.map_err(Into::into)),
        })
    }
}
