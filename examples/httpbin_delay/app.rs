//! The routes.

use brigade::http::{Request, Router};

use crate::endpoint::{Allowed, deferred, immediate, respond};
use crate::events::Format::{JsonLines, ServerSent};
use crate::failure::Failure;
use crate::go_duration::GoDuration;
use crate::{
    chaos, delay, drip, echo, events, index, lines, random_bytes, range, status, unstable,
};

/// Returns the routes of one loop. No delay may be longer than `max_delay`.
pub(crate) fn app(max_delay: GoDuration, with_chaos: bool) -> Router {
    let index = index::page(max_delay, with_chaos);
    let router = Router::new()
        .route("/", immediate(Allowed::GET, move |_| Ok(index::response(&index))))
        .fallback(async |request: Request| {
            respond(&request, &Allowed::Any, |request| Err(Failure::not_found(request)))
        });
    let router = timed(bytes(echoes(router)), max_delay);
    if !with_chaos {
        return router;
    }
    router
        .route("/block/{milliseconds}", immediate(Allowed::Any, chaos::block))
        .route("/panic", immediate(Allowed::Any, chaos::panic))
}

/// Adds the endpoints that describe the request, and those that return a status.
fn echoes(router: Router) -> Router {
    router
        .route("/get", immediate(Allowed::GET, echo::get))
        .route("/post", deferred(Allowed::POST, echo::anything))
        .route("/put", deferred(Allowed::PUT, echo::anything))
        .route("/patch", deferred(Allowed::PATCH, echo::anything))
        .route("/delete", deferred(Allowed::DELETE, echo::anything))
        .route("/anything", deferred(Allowed::Any, echo::anything))
        .route("/anything/{*path}", deferred(Allowed::Any, echo::anything))
        .route("/headers", immediate(Allowed::Any, echo::headers))
        .route("/ip", immediate(Allowed::Any, echo::ip))
        .route("/user-agent", immediate(Allowed::Any, echo::user_agent))
        .route("/stream/{count}", immediate(Allowed::Any, lines::lines))
        .route("/status/{code}", immediate(Allowed::Any, status::status))
        .route("/unstable", immediate(Allowed::Any, unstable::unstable))
}

/// Adds the endpoints that send bytes.
fn bytes(router: Router) -> Router {
    router
        .route("/bytes/{count}", immediate(Allowed::Any, random_bytes::bytes))
        .route("/stream-bytes/{count}", immediate(Allowed::Any, random_bytes::stream_bytes))
}

/// Adds the endpoints that take some time, at most `max`.
fn timed(router: Router, max: GoDuration) -> Router {
    router
        .route(
            "/delay/{duration}",
            deferred(Allowed::Any, async move |request| delay::delay(request, max).await),
        )
        .route("/drip", deferred(Allowed::Any, async move |request| drip::drip(request, max).await))
        .route(
            "/sse",
            deferred(Allowed::Any, async move |request| {
                events::events(request, ServerSent, max).await
            }),
        )
        .route(
            "/jsonl",
            deferred(Allowed::Any, async move |request| {
                events::events(request, JsonLines, max).await
            }),
        )
        .route(
            "/range/{count}",
            deferred(Allowed::Any, async move |request| range::range(request, max).await),
        )
}
