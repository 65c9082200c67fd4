//! The spans of a connection and its requests, and the `Server-Timing` header.
//!
//! Both are rarely used, so each step checks only whether there is a [`Watch`]. Whether a subscriber
//! wants a span is checked when a connection and when a request begins.
//!
//! The fields are named as in OpenTelemetry's semantic conventions for HTTP, where those have a
//! name.

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

/// The spans and times of one connection and its current request.
pub(super) struct Watch {
    /// Present if responses get a `Server-Timing` header.
    timing: Option<Timing>,
    /// Declared before `connection`: fields are dropped in this order, and a span ends before its
    /// parent.
    request: Span,
    connection: Span,
}

impl Watch {
    /// Returns the watch of a new connection, if one is wanted. With `timed_loop`, which is the
    /// loop's number, responses get a `Server-Timing` header.
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

    /// Notes the response to the current request, and adds the `Server-Timing` header.
    #[cold]
    #[inline(never)]
    pub(super) fn respond(&self, response: &mut Response) {
        if let Some(timing) = &self.timing {
            response.headers.append(SERVER_TIMING, timing.header());
        }
        self.request.record("http.response.status_code", response.status.as_u16());
    }

    /// Ends the span and the times of the current request.
    #[cold]
    #[inline(never)]
    pub(super) fn end_request(&mut self) {
        self.request = Span::none();
        if let Some(timing) = &mut self.timing {
            timing.end_request();
        }
    }

    /// Drops `state` within the request's span: a handler that is dropped may still log.
    #[cold]
    #[inline(never)]
    pub(super) fn end<T>(self, state: T) {
        self.connection.in_scope(|| self.request.in_scope(|| drop(state)));
    }
}

impl ConnectionTask {
    /// Returns `true` if this has to be polled as a [`WatchedConnection`].
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

    /// Returns `false` if a request that begins need not be watched.
    pub(super) fn may_be_watched(&self) -> bool {
        self.watch.is_some() || level_enabled!(Level::DEBUG)
    }

    /// Starts the span and the times of a request, if they are wanted.
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

/// The task of a connection that is watched from its start: polled in its span, and timed.
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
