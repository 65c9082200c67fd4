//! A panic as an answer.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use brigade_runtime::panic_message;
use http::StatusCode;

use crate::message::request::Request;
use crate::message::response::Response;
use crate::routing::handler::Next;

/// Answers 500 where what is below panics, and logs the panic, so that the layers above see an
/// answer and can log it or give it their headers.
///
/// Without this a panic is a 500 as well, but one that no layer sees and that closes the
/// connection.
pub async fn catch_panic(request: Request, next: Next) -> Response {
    let (route, peer) = (request.parts.route.clone(), request.peer_addr());
    let mut running = pin!(next.run(request));
    poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(cx)));
        polled.unwrap_or_else(|payload| {
            let pattern = route.as_ref().map_or("(no route)", |route| &route.pattern);
            let text = panic_message(&*payload);
            tracing::error!(
                target: "brigade::http",
                "the handler of {pattern} panicked, serving {peer}: {text}"
            );
            Poll::Ready(Response::plain(StatusCode::INTERNAL_SERVER_ERROR, ""))
        })
    })
    .await
}
