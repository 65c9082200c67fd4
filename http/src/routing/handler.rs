//! Handlers: async functions from a request to an answer, called without an allocation.
//!
//! The future of a handler lives in a box, since only the handler knows its type. The box of one
//! that has finished is kept, empty, for the next call; so a handler that answers at once costs
//! no allocation, and one that waits takes its box with it.

use std::cell::RefCell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::message::request::Request;
use crate::message::response::{IntoResponse, Response};

/// Empty boxes that a handler keeps. What a burst of waiting calls needed beyond is given back.
const SPARE_BOXES_MAX: usize = 16;

/// A handler without its type: what a route holds, and what middleware is put around.
pub(crate) trait Endpoint {
    /// Begins the answer to `request`; nothing of the handler runs before the first poll.
    fn call(&self, request: Request) -> Running;
}

/// A handler's call under way.
pub(crate) struct Running {
    /// Present until dropped.
    call: Option<Pin<Box<dyn Call>>>,
}

trait Call {
    /// Once ready, the answer is in `place`.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>, place: &mut Option<Response>) -> Poll<()>;

    /// Drops the future, and gives the box back for the next call.
    fn finish(self: Pin<Box<Self>>);
}

impl Running {
    /// Once ready, the answer is in `place`: it is too large to be handed around.
    pub(crate) fn poll_into(
        &mut self,
        cx: &mut Context<'_>,
        place: &mut Option<Response>,
    ) -> Poll<()> {
        let call = self.call.as_mut().expect("a call is present until dropped");
        call.as_mut().poll(cx, place)
    }
}

impl Future for Running {
    type Output = Response;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response> {
        let mut place = None;
        ready!(self.poll_into(cx, &mut place));
        Poll::Ready(place.expect("a call that is ready has left its answer"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            call.finish();
        }
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Running")
    }
}

/// An endpoint of the async function `F`.
pub(crate) struct Handler<F, Fut> {
    function: F,
    spare: Rc<Spare<Fut>>,
}

type Spare<Fut> = RefCell<Vec<Pin<Box<Slot<Fut>>>>>;

pin_project! {
    /// A box for the handler's future, and where it goes afterwards.
    struct Slot<Fut> {
        #[pin]
        future: Option<Fut>,
        home: Rc<Spare<Fut>>,
    }
}

impl<F, Fut> Handler<F, Fut>
where
    F: Fn(Request) -> Fut + 'static,
    Fut: Future + 'static,
    Fut::Output: IntoResponse,
{
    pub(crate) fn endpoint(function: F) -> Rc<dyn Endpoint> {
        Rc::new(Self { function, spare: Rc::default() })
    }
}

impl<F, Fut> Endpoint for Handler<F, Fut>
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
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>, place: &mut Option<Response>) -> Poll<()> {
        let future = self.project().future.as_pin_mut().expect("a call has a future");
        let output = ready!(future.poll(cx));
        *place = Some(output.into_response());
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

/// The rest of the way to the handler, for middleware: the next middleware or the handler itself.
#[derive(Clone)]
pub struct Next {
    pub(crate) endpoint: Rc<dyn Endpoint>,
}

impl Next {
    /// Goes on to the handler, and gives its answer. Nothing of it runs before the first poll.
    pub fn run(self, request: Request) -> impl Future<Output = Response> {
        self.endpoint.call(request)
    }
}

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Next")
    }
}
