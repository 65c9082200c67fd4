//! Whether the client of a request is still there, for handlers that run on without it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::request::Request;

impl Request {
    /// A future that is ready when the client has gone: for handlers of a route that runs to its
    /// end ([`Methods::run_to_end`](crate::Methods::run_to_end)) and would rather not, or not
    /// with all of it.
    ///
    /// It is ready as well when the request has been answered and when the connection was ended
    /// by us, so nobody awaits it for ever. A client that only closes its sending side counts as
    /// gone, since that cannot be told apart. While the client has not sent all of its body, and
    /// the handler does not read it, nothing is noticed.
    ///
    /// Of a route that does not run to its end the handler is dropped when the client goes, and
    /// this future is never ready.
    ///
    /// # Examples
    /// ```
    /// use std::cell::Cell;
    /// use std::future::pending;
    /// use std::rc::Rc;
    ///
    /// use brigade_http::{Request, Router, post};
    ///
    /// async fn work(request: Request) -> String {
    ///     let is_alone = Rc::new(Cell::new(false));
    ///     let (disconnected, noted) = (request.disconnected(), is_alone.clone());
    ///     brigade_runtime::spawn(async move {
    ///         disconnected.await;
    ///         noted.set(true);
    ///     })
    ///     .detach();
    ///     let mut steps = 0;
    ///     while steps < 100 && !is_alone.get() {
    ///         brigade_runtime::task::yield_now().await;
    ///         steps += 1;
    ///     }
    ///     format!("{steps} steps done")
    /// }
    ///
    /// let router = Router::new().route("/work", post(work).run_to_end());
    /// ```
    pub fn disconnected(&self) -> Disconnected {
        let runs_to_end = self.parts.route.as_ref().is_some_and(|route| route.options.runs_to_end);
        Disconnected { presence: self.parts.body.presence().filter(|_| runs_to_end) }
    }
}

/// Ready when a client has gone; see [`Request::disconnected`]. It may be awaited anywhere on its
/// loop, any number of times.
#[derive(Clone)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Disconnected {
    /// Absent if the handler is dropped rather than told.
    presence: Option<Rc<Presence>>,
}

impl Disconnected {
    /// Returns `true` if the client has gone.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.presence.as_ref().is_some_and(|presence| presence.is_gone.get())
    }
}

impl Future for Disconnected {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &self.presence {
            Some(presence) => presence.poll_gone(cx.waker()),
            None => Poll::Pending,
        }
    }
}

impl fmt::Debug for Disconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disconnected").field("is_ready", &self.is_ready()).finish()
    }
}

/// Whether a client has gone, and who wants to know. Shared by its connection and its request.
#[derive(Debug)]
pub(crate) struct Presence {
    is_gone: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
}

impl Presence {
    pub(crate) fn new(is_gone: bool) -> Self {
        Self { is_gone: Cell::new(is_gone), waiting: RefCell::default() }
    }

    fn poll_gone(&self, waker: &Waker) -> Poll<()> {
        if self.is_gone.get() {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|known| known.will_wake(waker)) {
            waiting.push(waker.clone());
        }
        Poll::Pending
    }

    /// The client has gone, or there is nothing any more that it could get.
    pub(crate) fn leave(&self) {
        self.is_gone.set(true);
        let waiting = self.waiting.take();
        waiting.into_iter().for_each(Waker::wake);
    }
}
