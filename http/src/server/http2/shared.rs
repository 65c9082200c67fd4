//! What a connection and its streams know of each other.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Instant;

use brigade_runtime::net::PeerAddr;
use brigade_runtime::time;
use tracing::Span;

use crate::message::byte_stream::Description;
use crate::message::pipe::Pipe;
use crate::message::route::Route;
use crate::server::connection::timing::{Taken, Timing};
use crate::server::counters::Outcome;
use crate::server::loop_context::LoopContext;

/// What the connection and its streams share.
pub(super) struct Connection {
    pub(super) context: Rc<LoopContext>,
    pub(super) peer: PeerAddr,
    /// What handlers learn of the connection.
    pub(super) description: Option<Description>,
    pub(super) span: Span,
    /// For the `Server-Timing` header, as the next one.
    taken: Taken,
    /// There has been no stream yet.
    is_new: Cell<bool>,
    /// The number of open streams, and of detached handlers whose stream has ended.
    open: Cell<usize>,
    /// When the first of them began, or the last of them ended.
    changed: Cell<Instant>,
    /// The connection's task, to be woken when the last of them ends.
    waker: RefCell<Option<Waker>>,
}

impl Connection {
    pub(super) fn new(
        context: Rc<LoopContext>,
        peer: PeerAddr,
        description: Option<Description>,
        span: Span,
        taken: Taken,
    ) -> Rc<Self> {
        Rc::new(Self {
            context,
            peer,
            description,
            span,
            taken,
            is_new: Cell::new(true),
            open: Cell::new(0),
            changed: Cell::new(time::now()),
            waker: RefCell::default(),
        })
    }

    /// Returns the number of open streams.
    pub(super) fn open(&self) -> usize {
        self.open.get()
    }

    /// Returns since when there have been streams, or none.
    pub(super) fn changed(&self) -> Instant {
        self.changed.get()
    }

    /// Forgets the connection's task, while it is polled.
    pub(super) fn take_waker(&self) -> Option<Waker> {
        self.waker.borrow_mut().take()
    }

    /// Registers the connection's task, which `known` may wake.
    pub(super) fn register(&self, known: Option<Waker>, cx: &mut Context<'_>) {
        let known = known.filter(|known| known.will_wake(cx.waker()));
        *self.waker.borrow_mut() = Some(known.unwrap_or_else(|| cx.waker().clone()));
    }
}

/// Counts as an open stream of its connection.
pub(super) struct Open(pub(super) Rc<Connection>);

impl Open {
    pub(super) fn new(connection: Rc<Connection>) -> Self {
        if connection.open.replace(connection.open.get() + 1) == 0 {
            connection.changed.set(time::now());
        }
        Self(connection)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.update(|open| open - 1);
        if self.0.open.get() == 0 {
            self.0.changed.set(time::now());
            let waker = self.0.waker.borrow_mut().take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

/// What is known of a stream.
pub(super) struct Stream {
    open: Open,
    /// Set when the handler begins.
    pub(super) route: Option<Rc<Route>>,
    pub(super) span: Span,
    /// Present if responses get a `Server-Timing` header.
    pub(super) timing: Option<Timing>,
    /// The status of the response, as far as it is known. Present once the request is counted, and
    /// until its end is.
    pub(super) outcome: Option<Outcome>,
    /// Present if the handler runs on after its client has gone, to let it know.
    pub(super) pipe: Option<Rc<Pipe>>,
}

impl Stream {
    pub(super) fn new(connection: Rc<Connection>) -> Self {
        let is_first = connection.is_new.replace(false);
        let timing = connection
            .context
            .timed_loop
            .map(|number| Timing::of_stream(number, connection.taken, is_first));
        let (open, span) = (Open::new(connection), Span::none());
        Self { open, route: None, span, timing, outcome: None, pipe: None }
    }

    pub(super) fn connection(&self) -> &Rc<Connection> {
        &self.open.0
    }

    pub(super) fn context(&self) -> &LoopContext {
        &self.open.0.context
    }

    /// Calls `f` within the request's span, and with the route in the task's notebook.
    pub(super) fn within<R>(&self, f: impl FnOnce() -> R) -> R {
        self.context().notebook.set(self.route.as_ref().map(|route| route.note));
        self.span.in_scope(f)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(outcome) = self.outcome.take() {
            self.context().counters.end_request(outcome);
        }
        if let Some(pipe) = self.pipe.take() {
            pipe.leave();
        }
    }
}
