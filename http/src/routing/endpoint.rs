//! Endpoints: functions from a request to a response, called without an allocation.
//!
//! The future of a handler lives in a box, since only the handler knows its type. When a call ends,
//! its empty box is kept for the next one. So a handler that never waits needs a single box, and of
//! those that wait each call in progress has one.

use std::cell::RefCell;
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

type Spare<Fut> = RefCell<Vec<Pin<Box<Slot<Fut>>>>>;

pin_project! {
    /// The content of a box: the handler's future, and the list that the box returns to.
    struct Slot<Fut> {
        #[pin]
        future: Option<Fut>,
        home: Rc<Spare<Fut>>,
    }
}

impl<F, Fut> FnEndpoint<F, Fut>
where
    F: Fn(Request) -> Fut + 'static,
    Fut: Future + 'static,
    Fut::Output: IntoResponse,
{
    pub(crate) fn endpoint(function: F) -> Rc<dyn Endpoint> {
        Rc::new(Self { function, spare: Rc::default() })
    }
}

impl<F, Fut> Endpoint for FnEndpoint<F, Fut>
where
    F: Fn(Request) -> Fut,
    Fut: Future + 'static,
    Fut::Output: IntoResponse,
{
    fn call(&self, request: Request) -> Running {
        let spare = self.spare.borrow_mut().pop();
        let mut slot =
            spare.unwrap_or_else(|| Box::pin(Slot { future: None, home: self.spare.clone() }));
        slot.as_mut().project().future.set(Some((self.function)(request)));
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
        let this = self.as_mut().project();
        let mut future = this.future;
        future.set(None);
        let home = this.home.clone();
        let mut home = home.borrow_mut();
        if home.len() < SPARE_BOXES_MAX {
            home.push(self);
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
