//! The body of a request, as its handler asks for it.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use futures_core::Stream;
use h2::RecvStream;

use crate::message::body_error::BoxError;
use crate::message::part::Part;
use crate::message::route::RouteOptions;
use crate::protocol::error::ProtocolError;
use crate::protocol::limits::Limits;
use crate::server::timeouts::Timeouts;
use crate::transport::deadline::Deadline;
use crate::transport::http2::bodies::trailers_size;

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

/// What a stream shares with the body of its request.
pub(super) struct BodyLink {
    /// To be set before the body is read.
    pub(super) limits: RefCell<Option<BodyLimits>>,
    /// The error that has ended the body.
    failure: Cell<Option<ProtocolError>>,
    permission: Cell<Permission>,
    /// The task of the stream, while the client waits for a 100.
    waker: RefCell<Option<Waker>>,
}

/// Whether the client waits for a `100 Continue` (RFC 9110 section 10.1.1).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Permission {
    /// The client does not wait for it, or it was sent, or it is too late.
    Settled,
    /// The client waits for it, and the handler has not asked for the body.
    Awaited,
    /// It is to be sent.
    Due,
}

impl BodyLink {
    pub(super) fn new(expects_continue: bool) -> Self {
        let permission = if expects_continue { Permission::Awaited } else { Permission::Settled };
        Self {
            limits: RefCell::default(),
            failure: Cell::default(),
            permission: Cell::new(permission),
            waker: RefCell::default(),
        }
    }

    /// Returns the error that has ended the body.
    pub(super) const fn failure(&self) -> Option<ProtocolError> {
        self.failure.get()
    }

    /// Returns `true` if a `100 Continue` is to be sent now. Otherwise registers the task of the
    /// stream, to be woken when it is.
    pub(super) fn take_continue(&self, cx: &mut Context<'_>) -> bool {
        match self.permission.get() {
            Permission::Settled => false,
            Permission::Awaited => {
                *self.waker.borrow_mut() = Some(cx.waker().clone());
                false
            }
            Permission::Due => {
                self.permission.set(Permission::Settled);
                true
            }
        }
    }

    /// Notes that the response begins: after its head no 100 can be sent.
    pub(super) fn settle(&self) {
        self.permission.set(Permission::Settled);
    }

    /// Notes that the handler waits for the body, of which nothing has come.
    fn ask(&self) {
        if self.permission.get() == Permission::Awaited {
            self.permission.set(Permission::Due);
            // The handler may have passed the body to another task.
            let waker = self.waker.borrow_mut().take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

/// The parts of the body of a request.
pub(super) struct IncomingParts {
    incoming: RecvStream,
    link: Rc<BodyLink>,
    received: u64,
    /// How long the handler has waited for parts, without the current wait.
    waited: Duration,
    /// `true` while the handler waits.
    deadline: Deadline<bool>,
}

impl IncomingParts {
    pub(super) fn new(incoming: RecvStream, link: Rc<BodyLink>) -> Self {
        let (received, waited, deadline) = (0, Duration::ZERO, Deadline::new());
        Self { incoming, link, received, waited, deadline }
    }

    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Part, ProtocolError>>> {
        let Poll::Ready(part) = self.poll_received(cx) else {
            if self.received == 0 {
                self.link.ask();
            }
            ready!(self.poll_late(cx));
            return Poll::Ready(Some(Err(ProtocolError::BodyTimeout)));
        };
        if self.deadline.waiting() {
            self.waited += self.deadline.waited();
            self.deadline.stop();
        }
        let limits = self.link.limits.borrow();
        Poll::Ready(match part {
            // The client has reset the stream, or its connection has ended.
            Err(_) => Some(Err(ProtocolError::UnexpectedEnd)),
            Ok(None) => None,
            Ok(Some(Part::Data(data))) => {
                self.received += data.len() as u64;
                match limits.as_ref().is_some_and(|limits| self.received > limits.bytes_max) {
                    true => Some(Err(ProtocolError::BodyTooLarge)),
                    false => Some(Ok(Part::Data(data))),
                }
            }
            Ok(Some(Part::Trailers(trailers))) => {
                let bytes_max = limits.as_ref().map_or(usize::MAX, |of| of.trailer_bytes_max);
                match trailers_size(&trailers) > bytes_max {
                    true => Some(Err(ProtocolError::TrailersTooLarge)),
                    false => Some(Ok(Part::Trailers(trailers))),
                }
            }
        })
    }

    /// Ready with what h2 has received. The client may send as much more.
    fn poll_received(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Part>, h2::Error>> {
        while let Some(data) = ready!(self.incoming.poll_data(cx)?) {
            // Fails only if more is released than was received.
            let _ = self.incoming.flow_control().release_capacity(data.len());
            if !data.is_empty() {
                return Poll::Ready(Ok(Some(Part::Data(data))));
            }
        }
        self.incoming.poll_trailers(cx).map_ok(|trailers| trailers.map(Part::Trailers))
    }

    /// Ready when the handler has waited for too long. Registers the task to be woken then.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.deadline.waiting() {
            self.deadline.start(true);
        }
        let limits = self.link.limits.borrow();
        let limits = limits.as_ref().map(|limits| (limits.gap, self.rate_deadline(limits)));
        let Some((gap, latest)) = limits else { return Poll::Pending };
        self.deadline.poll_passed_anywhere(Some(gap), latest, cx)
    }

    /// Returns when the body will be too slow on average, unless more of it comes before. Only the
    /// time counts in which the handler waited for it.
    fn rate_deadline(&self, limits: &BodyLimits) -> Option<Instant> {
        let earned = self.received.checked_div(limits.bytes_per_second_min.into())?;
        let granted = BODY_RATE_GRACE.saturating_add(Duration::from_secs(earned));
        self.deadline.since().checked_add(granted.saturating_sub(self.waited))
    }
}

impl Stream for IncomingParts {
    type Item = Result<Part, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(match ready!(self.poll_part(cx)) {
            Some(Err(error)) => {
                self.link.failure.set(Some(error));
                Some(Err(error.into()))
            }
            part => part.map(|part| part.map_err(Into::into)),
        })
    }
}
