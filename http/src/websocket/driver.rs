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
use crate::websocket::closing::finish;
use crate::websocket::close_code;
use crate::websocket::connection::Connection;
use crate::websocket::options::Options;
use crate::websocket::shared::{ReceivingHandle, Shared};
use crate::websocket::socket::WebSocket;

/// How a handler ended.
type Ended = Result<(), Box<dyn Any + Send>>;

/// Runs `handler` with the WebSocket over `upgraded`, and closes it.
pub(super) async fn drive<F>(upgraded: Upgraded, options: Options, handler: F)
where
    F: AsyncFnOnce(WebSocket),
{
    let shared = Shared::new(Connection::new(upgraded, options));
    let socket = WebSocket::new(ReceivingHandle::new(shared.clone()));
    match run(&shared, handler(socket)).await {
        Ok(()) => finish(shared, close_code::NORMAL).await,
        Err(payload) => {
            // The panic is reported at once.
            task::spawn(finish(shared, close_code::ERROR)).detach();
            resume_unwind(payload)
        }
    }
}

/// Runs `handler` until it has ended, and the WebSocket is closed or all handles are dropped.
/// Meanwhile writes what they send, watches the clock, and closes the WebSocket when the server
/// drains.
async fn run(shared: &Rc<Shared>, handler: impl Future<Output = ()>) -> Ended {
    let (mut handler, mut drained) = (pin!(handler), pin!(draining()));
    let (mut is_ended, mut is_draining) = (false, false);
    poll_fn(|cx| {
        if !is_ended {
            match poll_handler(shared, handler.as_mut(), cx) {
                Ok(polled) => is_ended = polled.is_ready(),
                Err(payload) => return Poll::Ready(Err(payload)),
            }
        }
        if !is_draining && drained.as_mut().poll(cx).is_ready() {
            is_draining = true;
            shared.with(|connection| connection.start_close(close_code::AWAY));
        }
        let is_closed = shared.with(|connection| {
            connection.poll_drive(cx);
            connection.is_closed()
        });
        match is_ended && (is_closed || Rc::strong_count(shared) == 1) {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    })
    .await
}

/// Polls the handler. Returns the payload if it panics.
fn poll_handler(
    shared: &Shared,
    handler: Pin<&mut impl Future<Output = ()>>,
    cx: &mut Context<'_>,
) -> Result<Poll<()>, Box<dyn Any + Send>> {
    // Until `poll_drive` has been called.
    shared.with(|connection| connection.is_driven = true);
    catch_unwind(AssertUnwindSafe(|| handler.poll(cx)))
}
