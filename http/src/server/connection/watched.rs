//! A connection with spans or times, see `watch`: its requests, and its polls.

use std::pin::Pin;
use std::task::{Context, Poll};

use brigade_runtime::server::Connections;
use tracing::{Level, Span, debug_span, field, level_enabled};

use crate::message::response::Response;
use crate::message::route::Route;
use crate::protocol::head::RequestHead;
use crate::server::connection::ConnectionTask;
use crate::server::connection::timing::Timing;
use crate::server::connection::watch::Watch;

impl ConnectionTask {
    /// Returns `true` if this has to be polled as a [`WatchedConnection`].
    pub(crate) fn is_watched(&self) -> bool {
        self.watch.is_some()
    }

    /// Starts the task.
    pub(crate) fn spawn(self, connections: &Connections) {
        if self.is_watched() {
            connections.spawn(WatchedConnection(self));
        } else {
            connections.spawn(self);
        }
    }

    /// Starts the task, which takes the connection over from the running one.
    pub(crate) fn take_over(self, connections: &Connections) {
        if self.is_watched() {
            connections.spawn_successor(WatchedConnection(self));
        } else {
            connections.spawn_successor(self);
        }
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

    /// Takes the observers of a response that is about to be sent.
    #[cold]
    #[inline(never)]
    pub(super) fn observe(&mut self, response: &mut Response) {
        let watch = self.watch.get_or_insert_default();
        while let Some(observer) = response.body.take_observer() {
            watch.observed.add(observer);
        }
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
        let watch = self.watch.get_or_insert_default();
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
