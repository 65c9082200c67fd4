//! `/stream/{n}`: the request described in many lines.

use std::convert::Infallible;

use brigade::http::{Body, Request, Response};
use bytes::Bytes;
use futures_util::stream;

use crate::echo::EchoLine;
use crate::failure::{EndpointResult, Failure};

const LINES_MAX: i64 = 100;

/// Sends that many lines of JSON, each a chunk. The number is clamped to 1 to 100.
pub(crate) fn lines(request: &Request) -> EndpointResult {
    let text = request.param("count").unwrap_or_default();
    let Ok(count) = text.parse::<i64>() else {
        return Err(Failure::bad_request(format!("invalid count: {text:?} is no number")));
    };
    let count = count.clamp(1, LINES_MAX);
    let mut line = EchoLine::of(request);
    let lines = (0..count).map(move |id| {
        line.id = id;
        let mut text = serde_json::to_vec(&line).unwrap_or_default();
        text.push(b'\n');
        Ok::<_, Infallible>(Bytes::from(text))
    });
    Ok(Response::typed("application/json; charset=utf-8", Body::stream(stream::iter(lines))))
}
