//! What is told of a connection and its requests to those who watch: spans to a subscriber, and
//! times to the client.
//!
//! Both are rare, so each step asks only whether there is a [`Watch`]; whether a subscriber wants
//! one is asked when a connection and when a request begins.
//!
//! Names of fields are those of OpenTelemetry's semantic conventions for HTTP where it has any.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use brigade_runtime::LoopHandle;
use tracing::{Level, Span, debug_span, field, level_enabled};

use crate::message::response::Response;
use crate::message::route::Route;
use crate::protocol::head::RequestHead;
use crate::server::connection::ConnectionTask;
use crate::server::connection::timing::{SERVER_TIMING, Timing};

/// What is watched of one connection and of its current request.
pub(super) struct Watch {
    /// Present if answers are to tell their times.
    timing: Option<Timing>,
    /// Before the connection, since fields are dropped in this order and a span ends before the
    /// one it is in.
    request: Span,
    connection: Span,
}

impl Watch {
    /// The watch over a connection that begins, if anybody wants one. Times are told by those of
    /// the loop with the number `timed_loop`.
    pub(super) fn new(
        timed_loop: Option<usize>,
        accepted: Instant,
        peer: SocketAddr,
    ) -> Option<Box<Self>> {
        if timed_loop.is_none() && !level_enabled!(Level::DEBUG) {
            return None;
        }
        let connection = debug_span!(
            target: "brigade::http",
            "connection",
            client.address = %peer.ip(),
            client.port = peer.port(),
            event_loop = LoopHandle::current().name(),
        );
        let timing = timed_loop.map(|number| Timing::new(number, accepted));
        let is_wanted = timing.is_some() || !connection.is_disabled();
        is_wanted.then(|| Box::new(Self { timing, connection, request: Span::none() }))
    }

    /// Calls `f` within the request's span.
    #[cold]
    #[inline(never)]
    pub(super) fn within<R>(&self, f: impl FnOnce() -> R) -> R {
        self.request.in_scope(f)
    }

    /// The request is answered with `response`.
    #[cold]
    #[inline(never)]
    pub(super) fn respond(&self, response: &mut Response) {
        if let Some(timing) = &self.timing {
            response.headers.append(SERVER_TIMING, timing.header());
        }
        self.request.record("http.response.status_code", response.status.as_u16());
    }

    #[cold]
    #[inline(never)]
    pub(super) fn end_request(&mut self) {
        self.request = Span::none();
        if let Some(timing) = &mut self.timing {
            timing.end_request();
        }
    }

    /// Drops what a connection worked on: what a handler does then belongs to its request.
    #[cold]
    #[inline(never)]
    pub(super) fn end<T>(self, work: T) {
        self.connection.in_scope(|| self.request.in_scope(|| drop(work)));
    }
}

impl ConnectionTask {
    /// Returns `true` if this is to be polled as a [`WatchedConnection`].
    pub(crate) fn is_watched(&self) -> bool {
        self.watch.is_some()
    }

    fn timing(&mut self) -> Option<&mut Timing> {
        self.watch.as_mut()?.timing.as_mut()
    }

    /// Calls `f` within the request's span, if there is one.
    #[inline(always)]
    pub(super) fn within<R>(watch: Option<&Watch>, f: impl FnOnce() -> R) -> R {
        match watch {
            None => f(),
            Some(watch) => watch.within(f),
        }
    }

    /// Whether a request that begins is to be watched, as far as that is quickly known.
    pub(super) fn may_be_watched(&self) -> bool {
        self.watch.is_some() || level_enabled!(Level::DEBUG)
    }

    #[cold]
    #[inline(never)]
    pub(super) fn watch_request(&mut self, head: &RequestHead, route: Option<&Route>) {
        let request = debug_span!(
            target: "brigade::http",
            "request",
            http.request.method = head.method().as_str(),
            url.path = head.path(),
            http.route = route.map(|route| &*route.pattern),
            http.response.status_code = field::Empty,
        );
        if self.watch.is_none() && request.is_disabled() {
            return;
        }
        let none = || Watch { timing: None, connection: Span::none(), request: Span::none() };
        let watch = self.watch.get_or_insert_with(|| Box::new(none()));
        watch.request = request;
        if let Some(timing) = &mut watch.timing {
            timing.begin_request();
        }
    }
}

/// The task of a connection that is watched from its beginning.
pub(crate) struct WatchedConnection(pub(crate) ConnectionTask);

impl Future for WatchedConnection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let task = &mut self.0;
        let span = task.watch.as_ref().map_or_else(Span::none, |watch| watch.connection.clone());
        if let Some(timing) = task.timing() {
            timing.begin_poll();
        }
        let polled = span.in_scope(|| Pin::new(&mut *task).poll(cx));
        if let Some(timing) = task.timing() {
            timing.end_poll();
        }
        polled
    }
}
