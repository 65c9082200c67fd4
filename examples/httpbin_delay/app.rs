//! Which endpoint answers what.

use std::future::ready;

use brigade::http::Router;

use crate::endpoint::{Allowed, answered, at_once, in_time};
use crate::failure::Failure;
use crate::go_duration::GoDuration;
use crate::{answer, chaos, delay, index, status};

/// The routes of one loop. A delay may be `max_delay` at the most.
pub(crate) fn app(max_delay: GoDuration, with_chaos: bool) -> Router {
    let index = index::page(max_delay, with_chaos);
    let router = Router::new()
        .route("/", at_once(Allowed::GET, move |_| Ok(index::answer(&index))))
        .route("/get", at_once(Allowed::GET, answer::get))
        .route("/post", in_time(Allowed::POST, answer::anything))
        .route("/put", in_time(Allowed::PUT, answer::anything))
        .route("/patch", in_time(Allowed::PATCH, answer::anything))
        .route("/delete", in_time(Allowed::DELETE, answer::anything))
        .route("/anything", in_time(Allowed::Any, answer::anything))
        .route("/anything/{*path}", in_time(Allowed::Any, answer::anything))
        .route("/headers", at_once(Allowed::Any, answer::headers))
        .route("/ip", at_once(Allowed::Any, answer::ip))
        .route("/status/{code}", at_once(Allowed::Any, status::status))
        .route("/user-agent", at_once(Allowed::Any, answer::user_agent))
        .route(
            "/delay/{duration}",
            in_time(Allowed::Any, async move |request| delay::delay(request, max_delay).await),
        )
        .fallback(|request| {
            ready(answered(&request, &Allowed::Any, |request| Err(Failure::not_found(request))))
        });
    if !with_chaos {
        return router;
    }
    router
        .route("/block/{milliseconds}", at_once(Allowed::Any, chaos::block))
        .route("/panic", at_once(Allowed::Any, chaos::panic))
}
