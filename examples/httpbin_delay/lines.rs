//! `/stream/{n}`: the request described in many lines.

use std::convert::Infallible;

use brigade::http::{Body, Request, Response};
use bytes::Bytes;
use futures_util::stream;

use crate::echo::EchoLine;
use crate::failure::{EndpointResult, Failure};

const LINES_MAX: usize = 100;
/// As much as other endpoints send at most. Lines are longer than 10 KiB only for a request whose
/// head is, too.
const BYTES_MAX: usize = 1024 * 1024;

/// Sends that many lines of JSON, each a chunk. The number is clamped to 1 to 100, or to as many as
/// are 1 MiB together.
pub(crate) fn lines(request: &Request) -> EndpointResult {
    let text = request.param("count").unwrap_or_default();
    let Ok(count) = text.parse::<i64>() else {
        return Err(Failure::bad_request(format!("invalid count: {text:?} is no number")));
    };
    let mut line = EchoLine::of(request);
    let mut write = move |id| {
        line.id = id;
        let mut text = serde_json::to_vec(&line).unwrap_or_default();
        text.push(b'\n');
        text
    };
    let lines_max = LINES_MAX.min(BYTES_MAX / write(0).len()).max(1) as i64;
    let lines =
        (0..count.clamp(1, lines_max)).map(move |id| Ok::<_, Infallible>(Bytes::from(write(id))));
    Ok(Response::typed("application/json; charset=utf-8", Body::stream(stream::iter(lines))))
}
