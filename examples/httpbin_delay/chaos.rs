//! The endpoints of `--chaos`, which do what a handler must never do.

use std::thread;
use std::time::Duration;

use brigade::http::{Request, Response};

use crate::failure::{EndpointResult, Failure};

const BLOCK_MILLIS_MAX: u64 = 60_000;

/// `/block/{milliseconds}`: blocks the thread, and so every connection of its loop.
pub(crate) fn block(request: &Request) -> EndpointResult {
    let text = request.param("milliseconds").unwrap_or_default();
    match text.parse() {
        Ok(millis) if millis <= BLOCK_MILLIS_MAX => {
            thread::sleep(Duration::from_millis(millis));
            Ok(Response::text(format!("blocked this event loop for {millis} ms\n")))
        }
        _ => Err(Failure::bad_request(format!(
            "invalid milliseconds: {text:?} is no number in range [0, {BLOCK_MILLIS_MAX}]"
        ))),
    }
}

/// `/panic`: panics.
pub(crate) fn panic(_: &Request) -> EndpointResult {
    panic!("a panic on request");
}
