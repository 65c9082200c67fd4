//! `/delay/{duration}`: waits, then describes the request.

use std::time::Duration;

use brigade::http::Request;
use brigade::time::sleep;

use crate::echo;
use crate::failure::{EndpointResult, Failure};
use crate::go_duration::GoDuration;
use crate::timing::{SERVER_TIMING, server_timing};
use crate::{posted, query};

/// Responds after the duration in the path, which is at most `max`.
///
/// The body is read first, so that a client that waits for `100 Continue` receives it, and a client
/// that disconnects is noticed.
pub(crate) async fn delay(request: &mut Request, max: GoDuration) -> EndpointResult {
    let delay = parse(request, max)?;
    let body = posted::read(request).await?;
    sleep(delay).await;
    let response = echo::with_body(request, body).await?;
    let timing = server_timing(&[("initial_delay", delay, "initial delay")]);
    Ok(response.with_header(SERVER_TIMING, timing))
}

fn parse(request: &Request, max: GoDuration) -> Result<Duration, Failure> {
    let text = request.param("duration").unwrap_or_default();
    let parsed =
        query::decode(text).and_then(|text| GoDuration::parse_within(&text, GoDuration::ZERO, max));
    match parsed {
        Ok(delay) => Ok(delay.to_std()),
        Err(error) => Err(Failure::bad_request(format!("invalid duration: {error}"))),
    }
}
