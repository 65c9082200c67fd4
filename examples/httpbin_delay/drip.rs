//! `/drip`: a body that is sent byte by byte.

use brigade::http::{Body, Request, Response};
use brigade::time::sleep;
use http::StatusCode;

use crate::failure::{EndpointResult, Failure};
use crate::go_duration::GoDuration;
use crate::pace::{Pace, pause, pieces};
use crate::params::Params;
use crate::status::parse_status;
use crate::timing::{SERVER_TIMING, server_timing};

const BYTES_DEFAULT: u64 = 10;
const BYTES_MAX: u64 = 1024 * 1024;
const DURATION_DEFAULT: GoDuration = GoDuration::from_secs(2);
const DELAY_DEFAULT: GoDuration = GoDuration::from_secs(2);

struct Drip {
    duration: GoDuration,
    delay: GoDuration,
    bytes: u64,
    status: StatusCode,
}

/// Waits for `delay`, then sends `numbytes` asterisks over `duration`. The response has a
/// `Content-Length`, so it is not chunked.
pub(crate) async fn drip(request: &mut Request, max: GoDuration) -> EndpointResult {
    let Drip { duration, delay, bytes, status } = Drip::of(request, max)?;
    let (duration, delay) = (duration.to_std(), delay.to_std());
    sleep(delay).await;
    let body =
        pieces(Pace::new(bytes, duration), |due| vec![b'*'; (due.end - due.start) as usize].into());
    let timing = server_timing(&[
        ("total_duration", delay + duration, "total request duration"),
        ("initial_delay", delay, "initial delay"),
        ("write_duration", duration, "duration of writes after initial delay"),
        ("pause_per_write", pause(bytes, duration), "computed pause between writes"),
    ]);
    let response = Response::text(Body::stream_with_length(bytes, body));
    Ok(response.with_status(status).with_header(SERVER_TIMING, timing))
}

impl Drip {
    fn of(request: &Request, max: GoDuration) -> Result<Self, Failure> {
        let params = Params::of(request, &["duration", "delay", "numbytes", "code"])?;
        let (duration, delay) =
            durations(&params, (DURATION_DEFAULT, DELAY_DEFAULT), GoDuration::ZERO, max)?;
        let bytes = params.number("numbytes", BYTES_DEFAULT, 1..=BYTES_MAX)?;
        let status = params.value("code").map_or(Ok(StatusCode::OK), parse_status);
        Ok(Self { duration, delay, bytes, status: status.map_err(Failure::bad_request)? })
    }
}

/// Returns the duration of a response and the delay before it. Their sum is at most `max`.
pub(crate) fn durations(
    params: &Params,
    (duration_default, delay_default): (GoDuration, GoDuration),
    duration_min: GoDuration,
    max: GoDuration,
) -> Result<(GoDuration, GoDuration), Failure> {
    let duration = params.duration("duration", duration_default, duration_min..=max)?;
    let delay = params.duration("delay", delay_default, GoDuration::ZERO..=max)?;
    if duration.saturating_add(delay) > max {
        return Err(Failure::bad_request(format!("too much time: {duration}+{delay} > {max}")));
    }
    Ok((duration, delay))
}
