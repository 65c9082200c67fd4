//! Endpoints: functions from a request to a response, called without an allocation.
//!
//! The future of a handler lives in a box, since only the handler knows its type. When a call ends,
//! its empty box is kept for the next one. So a handler that never waits needs a single box, and of
//! those that wait each call in progress has one.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::message::request::Request;
use crate::message::response::{IntoResponse, Response};

/// Maximum number of empty boxes that a handler keeps. Further ones are freed after a burst of
/// waiting calls.
const SPARE_BOXES_MAX: usize = 16;

/// A handler without its type. Routes hold it, and middleware wraps it.
pub(crate) trait Endpoint {
    /// Starts to handle `request`. The handler's future runs only when it is polled.
    fn call(&self, request: Request) -> Running;
}

/// A call of a handler that is in progress.
pub(crate) struct Running {
    /// `None` only while it is dropped.
    call: Option<Pin<Box<dyn Call>>>,
}

trait Call {
    /// Polls the future. When it is ready, puts the response into `response`.
    fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        response: &mut Option<Response>,
    ) -> Poll<()>;

    /// Drops the future and keeps the box for the next call.
    fn finish(self: Pin<Box<Self>>);
}

impl Running {
    /// Polls the handler. When it is ready, puts the response into `response`, since moving one is
    /// expensive.
    pub(crate) fn poll_into(
        &mut self,
        cx: &mut Context<'_>,
        response: &mut Option<Response>,
    ) -> Poll<()> {
        let call = self.call.as_mut().expect("the call is present until it is dropped");
        call.as_mut().poll(cx, response)
    }

    /// Drops the handler's future. To be called when it is ready, or not at all.
    #[inline]
    pub(crate) fn end(&mut self) {
        if let Some(call) = self.call.take() {
            call.finish();
        }
    }
}

impl Future for Running {
    type Output = Response;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response> {
        let mut response = None;
        ready!(self.poll_into(cx, &mut response));
        Poll::Ready(response.expect("a call that is ready has a response"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Running")
    }
}

/// The endpoint for an async function `F`.
pub(crate) struct FnEndpoint<F, Fut> {
    function: F,
    spare: Rc<Spare<Fut>>,
}

/// The empty boxes of a handler.
struct Spare<Fut> {
    /// The one that is used first, so that a handler that never waits does not touch the others.
    first: Cell<Option<Pin<Box<Slot<Fut>>>>>,
    others: RefCell<Vec<Pin<Box<Slot<Fut>>>>>,
}

impl<Fut> Spare<Fut> {
    /// Returns a box while `first` is in use.
    #[cold]
    fn take_other(&self) -> Pin<Box<Slot<Fut>>> {
        let other = self.others.borrow_mut().pop();
        other.unwrap_or_else(|| Box::pin(Slot { future: None, home: None }))
    }

    /// Keeps a box besides `first`.
    #[cold]
    fn keep_other(&self, slot: Pin<Box<Slot<Fut>>>) {
        let mut others = self.others.borrow_mut();
        if others.len() + 1 < SPARE_BOXES_MAX {
            others.push(slot);
        }
    }
}

pin_project! {
    /// The content of a box: the handler's future, and where the box returns to. It has none of
    /// the two while it is empty.
    struct Slot<Fut> {
        #[pin]
        future: Option<Fut>,
        home: Option<Rc<Spare<Fut>>>,
    }
}

impl<F, Fut> FnEndpoint<F, Fut>
where
    F: Fn(Request) -> Fut + 'static,
    Fut: Future + 'static,
    Fut::Output: IntoResponse,
{
    fn new(function: F) -> Self {
        let spare = Spare { first: Cell::new(None), others: RefCell::default() };
        Self { function, spare: Rc::new(spare) }
    }

    pub(crate) fn endpoint(function: F) -> Rc<dyn Endpoint> {
        Rc::new(Self::new(function))
    }
}

impl<F, Fut> Endpoint for FnEndpoint<F, Fut>
where
    F: Fn(Request) -> Fut,
    Fut: Future + 'static,
    Fut::Output: IntoResponse,
{
    fn call(&self, request: Request) -> Running {
        let mut slot = self.spare.first.take().unwrap_or_else(|| self.spare.take_other());
        let mut this = slot.as_mut().project();
        this.future.set(Some((self.function)(request)));
        *this.home = Some(self.spare.clone());
        Running { call: Some(slot) }
    }
}

impl<Fut> Call for Slot<Fut>
where
    Fut: Future,
    Fut::Output: IntoResponse,
{
    fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        response: &mut Option<Response>,
    ) -> Poll<()> {
        let future = self.project().future.as_pin_mut().expect("a call has a future");
        let output = ready!(future.poll(cx));
        *response = Some(output.into_response());
        Poll::Ready(())
    }

    fn finish(mut self: Pin<Box<Self>>) {
        let mut this = self.as_mut().project();
        this.future.set(None);
        let Some(home) = this.home.take() else { return };
        if let Some(other) = home.first.replace(Some(self)) {
            home.keep_other(other);
        }
    }
}

/// The next middleware or the handler, as a middleware receives it.
#[derive(Clone)]
pub struct Next {
    pub(crate) endpoint: Rc<dyn Endpoint>,
}

impl Next {
    /// Runs the next middleware or the handler, and returns its response.
    pub fn run(self, request: Request) -> impl Future<Output = Response> {
        self.endpoint.call(request)
    }
}

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Next")
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use http::Method;

    use super::*;

    fn request() -> Request {
        Request::builder(Method::GET, "/").build().unwrap()
    }

    fn kept<F, Fut>(endpoint: &FnEndpoint<F, Fut>) -> usize {
        let first = endpoint.spare.first.take();
        let kept = usize::from(first.is_some()) + endpoint.spare.others.borrow().len();
        endpoint.spare.first.set(first);
        kept
    }

    #[test]
    fn boxes_are_reused_and_a_burst_leaves_a_limited_number_of_them() {
        brigade_runtime::run(async {
            let endpoint = FnEndpoint::new(|_| ready("done"));
            for _ in 0..3 {
                endpoint.call(request()).await;
                assert_eq!(kept(&endpoint), 1);
            }
            let endpoint = FnEndpoint::new(|_| pending::<Response>());
            let burst: Vec<_> =
                (0..SPARE_BOXES_MAX + 5).map(|_| endpoint.call(request())).collect();
            assert_eq!(kept(&endpoint), 0);
            drop(burst);
            assert_eq!(kept(&endpoint), SPARE_BOXES_MAX);
        });
    }

    #[test]
    fn boxes_are_freed_with_their_endpoint_or_with_the_last_call() {
        brigade_runtime::run(async {
            let endpoint = FnEndpoint::new(|_| ready("done"));
            endpoint.call(request()).await;
            let running = endpoint.call(request());
            let spare = Rc::downgrade(&endpoint.spare);
            drop(endpoint);
            assert!(spare.upgrade().is_some());
            drop(running);
            assert!(spare.upgrade().is_none());
        });
    }
}
