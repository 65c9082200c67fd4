//! Turns a panic of a handler into a response.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

use brigade_runtime::panic_message;
use http::StatusCode;

use crate::message::escaped::Escaped;
use crate::message::guarded::drop_guarded;
use crate::message::log_limit::limited_log;
use crate::message::request::Request;
use crate::message::response::Response;
use crate::routing::endpoint::Next;

/// Runs the handler. Returns a 500 if it panics, and logs the panic.
pub(crate) async fn caught(request: Request, next: Next) -> Response {
    let (route, peer) = (request.parts.route.clone(), request.peer_addr());
    let mut running = next.endpoint.call(request);
    let response = poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut running).poll(cx)));
        polled.unwrap_or_else(|payload| {
            let route = route.as_ref().map(|route| &*route.pattern);
            let panic = panic_message(&*payload).to_owned();
            drop_guarded(payload);
            limited_log!(error, { route, %peer, panic = %Escaped(panic) }, "handler panicked");
            Poll::Ready(Response::plain(StatusCode::INTERNAL_SERVER_ERROR, ""))
        })
    })
    .await;
    drop_guarded(running);
    response
}
