//! Which endpoint answers what.

use std::future::ready;

use brigade::http::Router;

use crate::endpoint::{Allowed, answered, at_once, in_time};
use crate::events::Format::{JsonLines, ServerSent};
use crate::failure::Failure;
use crate::go_duration::GoDuration;
use crate::{
    answer, chaos, delay, drip, events, index, lines, random_bytes, range, status, unstable,
};

/// The routes of one loop. A delay may be `max_delay` at the most.
pub(crate) fn app(max_delay: GoDuration, with_chaos: bool) -> Router {
    let index = index::page(max_delay, with_chaos);
    let router = Router::new()
        .route("/", at_once(Allowed::GET, move |_| Ok(index::answer(&index))))
        .fallback(|request| {
            ready(answered(&request, &Allowed::Any, |request| Err(Failure::not_found(request))))
        });
    let router = timed(bytes(echoes(router)), max_delay);
    if !with_chaos {
        return router;
    }
    router
        .route("/block/{milliseconds}", at_once(Allowed::Any, chaos::block))
        .route("/panic", at_once(Allowed::Any, chaos::panic))
}

/// What tells requests back, and plain statuses.
fn echoes(router: Router) -> Router {
    router
        .route("/get", at_once(Allowed::GET, answer::get))
        .route("/post", in_time(Allowed::POST, answer::anything))
        .route("/put", in_time(Allowed::PUT, answer::anything))
        .route("/patch", in_time(Allowed::PATCH, answer::anything))
        .route("/delete", in_time(Allowed::DELETE, answer::anything))
        .route("/anything", in_time(Allowed::Any, answer::anything))
        .route("/anything/{*path}", in_time(Allowed::Any, answer::anything))
        .route("/headers", at_once(Allowed::Any, answer::headers))
        .route("/ip", at_once(Allowed::Any, answer::ip))
        .route("/user-agent", at_once(Allowed::Any, answer::user_agent))
        .route("/stream/{count}", at_once(Allowed::Any, lines::lines))
        .route("/status/{code}", at_once(Allowed::Any, status::status))
        .route("/unstable", at_once(Allowed::Any, unstable::unstable))
}

/// What sends bytes.
fn bytes(router: Router) -> Router {
    router
        .route("/bytes/{count}", at_once(Allowed::Any, random_bytes::bytes))
        .route("/stream-bytes/{count}", at_once(Allowed::Any, random_bytes::stream_bytes))
}

/// What takes its time, `max` at the most.
fn timed(router: Router, max: GoDuration) -> Router {
    router
        .route(
            "/delay/{duration}",
            in_time(Allowed::Any, async move |request| delay::delay(request, max).await),
        )
        .route("/drip", in_time(Allowed::Any, async move |request| drip::drip(request, max).await))
        .route(
            "/sse",
            in_time(Allowed::Any, async move |request| {
                events::events(request, ServerSent, max).await
            }),
        )
        .route(
            "/jsonl",
            in_time(Allowed::Any, async move |request| {
                events::events(request, JsonLines, max).await
            }),
        )
        .route(
            "/range/{count}",
            in_time(Allowed::Any, async move |request| range::range(request, max).await),
        )
}
