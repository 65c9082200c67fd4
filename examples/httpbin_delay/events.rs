//! `/sse` and `/jsonl`: numbered events over some time.

use std::convert::Infallible;
use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use brigade::http::{Body, BodyLength, BoxError, Part, Request, Response};
use brigade::time::{now, sleep};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use http::HeaderMap;
use http::header::{HeaderValue, TRAILER};

use crate::drip::durations;
use crate::failure::EndpointResult;
use crate::go_duration::GoDuration;
use crate::pace::{Pace, pause, pieces};
use crate::params::Params;
use crate::timing::{SERVER_TIMING, server_timing};

const COUNT_DEFAULT: u64 = 10;
const COUNT_MAX: u64 = 10_000;
const DURATION_DEFAULT: GoDuration = GoDuration::from_secs(5);

/// The format of events.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Format {
    /// For a browser's `EventSource`.
    ServerSent,
    /// A line of JSON for each.
    JsonLines,
}

/// Waits for `delay`, then sends `count` events over `duration`. A trailer reports how long that
/// took.
pub(crate) async fn events(
    request: &mut Request,
    format: Format,
    max: GoDuration,
) -> EndpointResult {
    let params = Params::of(request, &["count", "duration", "delay"])?;
    let defaults = (DURATION_DEFAULT, GoDuration::ZERO);
    let (duration, delay) = durations(&params, defaults, GoDuration::NANOSECOND, max)?;
    let count = params.number("count", COUNT_DEFAULT, 1..=COUNT_MAX)?;
    let (duration, delay) = (duration.to_std(), delay.to_std());
    let began = now();
    sleep(delay).await;
    let events = pieces(Pace::new(count, duration), move |due| format.write(due));
    let end = stream::once(async move {
        let timing = server_timing(&[
            ("total_duration", now() - began, "total request duration"),
            ("initial_delay", delay, "initial delay"),
            ("write_duration", duration, "duration of writes after initial delay"),
            ("pause_per_write", pause(count, duration), "computed pause between writes"),
        ]);
        Ok(Part::Trailers(HeaderMap::from_iter([(SERVER_TIMING, timing)])))
    });
    let events = events.map(|event: Result<Bytes, Infallible>| -> Result<Part, BoxError> {
        Ok(Part::Data(event?))
    });
    let body = Body::parts(events.chain(end), BodyLength::Unknown);
    let trailer = HeaderValue::from_static("Server-Timing");
    Ok(Response::typed(format.content_type(), body).with_header(TRAILER, trailer))
}

impl Format {
    fn content_type(self) -> &'static str {
        match self {
            Self::ServerSent => "text/event-stream; charset=utf-8",
            Self::JsonLines => "application/jsonl; charset=utf-8",
        }
    }

    fn write(self, due: Range<u64>) -> Bytes {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        let timestamp = since_epoch.map_or(0, |since: Duration| since.as_millis());
        let event = |id: u64| match self {
            Self::ServerSent => {
                format!("event: ping\ndata: {{\"id\":{id},\"timestamp\":{timestamp}}}\n\n")
            }
            Self::JsonLines => format!("{{\"id\":{id},\"timestamp\":{timestamp}}}\n"),
        };
        due.map(event).collect::<String>().into()
    }
}
