//! The spans of a connection and its requests, the `Server-Timing` header, and the responses whose
//! end is reported.
//!
//! All are rarely used, so each step checks only whether there is a [`Watch`]. Whether a
//! subscriber wants a span is checked when a connection and when a request begins.
//!
//! The fields are named as in OpenTelemetry's semantic conventions for HTTP, where those have a
//! name.

use brigade_runtime::LoopHandle;
use brigade_runtime::net::PeerAddr;
use tracing::{Level, Span, debug_span, level_enabled};

use crate::message::response::Response;
use crate::server::connection::observed::ObservedResponses;
use crate::server::connection::timing::{SERVER_TIMING, Taken, Timing};

/// The spans and times of one connection and its current request.
pub(super) struct Watch {
    /// The responses whose end is reported.
    pub(super) observed: ObservedResponses,
    /// Present if responses get a `Server-Timing` header.
    pub(super) timing: Option<Timing>,
    /// Declared before `connection`: fields are dropped in this order, and a span ends before its
    /// parent.
    pub(super) request: Span,
    pub(super) connection: Span,
}

impl Watch {
    /// Returns the watch of a new connection, if one is wanted. With `timed_loop`, which is the
    /// loop's number, responses get a `Server-Timing` header.
    pub(super) fn new(
        timed_loop: Option<usize>,
        taken: Option<Taken>,
        peer: PeerAddr,
    ) -> Option<Box<Self>> {
        if timed_loop.is_none() && !level_enabled!(Level::DEBUG) {
            return None;
        }
        let connection = debug_span!(
            target: "brigade::http",
            "connection",
            client.address = peer.ip().map(display),
            client.port = peer.tcp().map(|address| address.port()),
            event_loop = LoopHandle::current().name(),
        );
        let timing = timed_loop.zip(taken).map(|(number, taken)| Timing::new(number, taken));
        let is_wanted = timing.is_some() || !connection.is_disabled();
        is_wanted.then(|| Box::new(Self { timing, connection, ..Self::default() }))
    }

    /// Calls `f` within the request's span.
    #[cold]
    #[inline(never)]
    pub(super) fn within<R>(&self, f: impl FnOnce() -> R) -> R {
        self.request.in_scope(f)
    }

    /// Calls `f` within the connection's span and the request's.
    #[cold]
    #[inline(never)]
    pub(super) fn within_both<R>(&self, f: impl FnOnce() -> R) -> R {
        self.connection.in_scope(|| self.request.in_scope(f))
    }

    /// Notes the response to the current request, and adds the `Server-Timing` header.
    #[cold]
    #[inline(never)]
    pub(super) fn respond(&mut self, response: &mut Response) {
        if let Some(timing) = &self.timing {
            response.headers.append(SERVER_TIMING, timing.header());
        }
        let bytes = response.body.as_bytes().map_or(0, <[u8]>::len);
        self.observed.begin(response.status, bytes as u64);
        self.request.record("http.response.status_code", response.status.as_u16());
    }

    /// Ends the span and the times of the current request. `queued` bytes wait for the socket, up
    /// to the end of its response.
    #[cold]
    #[inline(never)]
    pub(super) fn end_request(&mut self, queued: usize) {
        self.observed.end(queued);
        self.request = Span::none();
        if let Some(timing) = &mut self.timing {
            timing.end_request();
        }
    }

    /// Drops `state` within the request's span: a handler that is dropped may still log.
    #[cold]
    #[inline(never)]
    pub(super) fn end<T>(self, state: T) {
        self.within_both(|| drop(state));
    }
}

impl Default for Watch {
    fn default() -> Self {
        let observed = ObservedResponses::default();
        Self { observed, timing: None, request: Span::none(), connection: Span::none() }
    }
}
