//! The task of a WebSocket: polls the handler, then writes what it has sent, and closes the
//! WebSocket when the handler is done.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use brigade_runtime::server::draining;
use brigade_runtime::task;

use crate::message::upgrade::Upgraded;
use crate::websocket::close_code;
use crate::websocket::closing::finish;
use crate::websocket::connection::Connection;
use crate::websocket::options::Options;
use crate::websocket::shared::{ReceivingHandle, Shared};
use crate::websocket::socket::WebSocket;

/// What a handler panicked with.
type Payload = Box<dyn Any + Send>;

/// Runs `handler` with the WebSocket over `upgraded`, and closes it when the handler has ended and
/// all handles are dropped. Meanwhile writes what they send, watches the clock, and closes the
/// WebSocket when the server drains.
///
/// The future has the size of the handler's and little more: none of its parts is moved after it
/// was made, and what follows the handler takes its place.
pub(super) fn drive<F>(
    upgraded: Upgraded,
    options: Options,
    handler: F,
) -> impl Future<Output = ()> + use<F>
where
    F: AsyncFnOnce(WebSocket),
{
    let shared = Shared::new(Connection::new(upgraded, options));
    async move {
        let ended = {
            let socket = WebSocket::new(ReceivingHandle::new(shared.clone()));
            let mut handler = pin!(handler(socket));
            let mut drained = pin!(draining());
            let mut state = Driver { shared: &shared, is_ended: false, is_draining: false };
            poll_fn(|cx| state.poll(handler.as_mut(), drained.as_mut(), cx)).await
        };
        match ended {
            Ok(()) => finish(shared, close_code::NORMAL).await,
            Err(payload) => {
                // The panic is reported at once.
                task::spawn(finish(shared, close_code::ERROR)).detach();
                resume_unwind(payload)
            }
        }
    }
}

/// How far the handler and the server are.
struct Driver<'a> {
    shared: &'a Rc<Shared>,
    is_ended: bool,
    is_draining: bool,
}

impl Driver<'_> {
    /// Polls all that happens before the WebSocket is closed. Returns the payload if the handler
    /// panics.
    fn poll(
        &mut self,
        handler: Pin<&mut impl Future<Output = ()>>,
        drained: Pin<&mut impl Future<Output = ()>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Payload>> {
        if !self.is_ended {
            match poll_handler(self.shared, handler, cx) {
                Ok(polled) => self.is_ended = polled.is_ready(),
                Err(payload) => return Poll::Ready(Err(payload)),
            }
        }
        if !self.is_draining && drained.poll(cx).is_ready() {
            self.is_draining = true;
            self.shared.with(|connection| connection.start_close(close_code::AWAY));
        }
        let is_closed = self.shared.with(|connection| {
            connection.poll_drive(cx);
            connection.is_closed()
        });
        match self.is_ended && (is_closed || Rc::strong_count(self.shared) == 1) {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }
}

/// Polls the handler. Returns the payload if it panics.
fn poll_handler(
    shared: &Shared,
    handler: Pin<&mut impl Future<Output = ()>>,
    cx: &mut Context<'_>,
) -> Result<Poll<()>, Payload> {
    // Until `poll_drive` has been called.
    shared.with(|connection| connection.is_driven = true);
    catch_unwind(AssertUnwindSafe(|| handler.poll(cx)))
}
