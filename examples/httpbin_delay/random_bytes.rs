//! `/bytes/{n}` and `/stream-bytes/{n}`: random bytes.

use std::convert::Infallible;

use brigade::http::{Body, Request, Response};
use bytes::Bytes;
use fastrand::Rng;
use futures_util::stream;
use http::StatusCode;

use crate::failure::{EndpointResult, Failure};
use crate::params::{self, Params};

const BYTES_MAX: usize = 1024 * 1024;
const CHUNK_BYTES_DEFAULT: usize = 10 * 1024;
const CONTENT_TYPE: &str = "application/octet-stream";

/// Sends all bytes at once.
pub(crate) fn bytes(request: &Request) -> EndpointResult {
    let params = Params::of(request, &["seed"])?;
    let count = count(request)?;
    let mut rng = params.rng()?;
    Ok(match count {
        0 => Response::empty(StatusCode::OK),
        count => Response::typed(CONTENT_TYPE, random(&mut rng, count)),
    })
}

/// Sends the bytes in chunks.
pub(crate) fn stream_bytes(request: &Request) -> EndpointResult {
    let params = Params::of(request, &["seed", "chunk_size"])?;
    let count = count(request)?;
    let rng = params.rng()?;
    let chunk = params.number("chunk_size", CHUNK_BYTES_DEFAULT, 1..=BYTES_MAX)?;
    if count == 0 {
        return Ok(Response::empty(StatusCode::OK));
    }
    let body = stream::unfold((rng, count), move |(mut rng, left)| async move {
        let bytes = random(&mut rng, left.min(chunk));
        let left = left - bytes.len();
        (!bytes.is_empty()).then_some((Ok::<_, Infallible>(bytes), (rng, left)))
    });
    Ok(Response::typed(CONTENT_TYPE, Body::stream(body)))
}

fn count(request: &Request) -> Result<usize, Failure> {
    params::path_number(request, "count", "byte count", 0..=BYTES_MAX)
}

fn random(rng: &mut Rng, count: usize) -> Bytes {
    // One by one, so that the bytes do not depend on the size of the chunks.
    std::iter::repeat_with(|| rng.u8(..)).take(count).collect()
}
