//! The counters of a server in the text format of OpenMetrics, for Prometheus.

use std::fmt;
use std::time::Duration;

use brigade_runtime::PollTimes;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use crate::message::handler_error::HandlerError;
use crate::message::request::Request;
use crate::message::response::Response;
use crate::server::handshake::HandshakeCounts;
use crate::server::stats::{LoopStats, Stats};

/// The media type of the OpenMetrics specification 1.0.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Responds with the counters of the server that runs this handler ([`Stats`]), those of all its
/// loops, no matter which loop runs it. Each series has the number of its loop as the label `loop`.
/// Counters are read without the help of the loops, so a stuck loop is included. They continue when
/// a loop dies and is replaced.
///
/// | | | |
/// | --- | --- | --- |
/// | `brigade_turns_total` | counter | turns of the loop |
/// | `brigade_polls_total` | counter | polls of tasks |
/// | `brigade_poll_seconds` | histogram | how long polls took, of one in 64 |
/// | `brigade_stalls_total` | counter | stalls that the watchdog reported |
/// | `brigade_awake` | gauge | 1 while the loop runs, 0 while it waits for I/O |
/// | `brigade_tasks`, `brigade_ready_tasks`, `brigade_timers` | gauges | as of the last turn |
/// | `brigade_connections_total` | counter | connections given to the loop or accepted by it |
/// | `brigade_connections_taken_back_total` | counter | of these, taken back unread |
/// | `brigade_connections_open` | gauge | connections that are open |
/// | `brigade_requests_total` | counter | responses, with `class` from `1xx` to `5xx` |
/// | `brigade_requests_unanswered_total` | counter | requests that ended without a response |
/// | `brigade_bodies_failed_total` | counter | responses cut off because their body failed |
/// | `brigade_requests_in_flight` | gauge | requests whose response is not complete |
/// | `brigade_connections_refused_total` | counter | closed at once: no descriptors left |
/// | `brigade_tls_handshakes_total` | counter | with TLS: handshakes that succeeded |
/// | `brigade_tls_handshakes_resumed_total` | counter | of these, of earlier sessions |
/// | `brigade_tls_handshakes_failed_total` | counter | handshakes that failed, with `reason` |
///
/// # Errors
/// 500 if there is no server on this thread.
///
/// # Examples
/// ```
/// use brigade_http::{Router, get, metrics};
///
/// let router = Router::new().route("/metrics", get(metrics));
/// ```
pub async fn metrics(_: Request) -> Result<Response, HandlerError> {
    let stats = Stats::current();
    let stats = stats.ok_or_else(|| HandlerError::internal("no server runs on this thread"))?;
    let text = text_of(&stats).map_err(HandlerError::internal)?;
    Ok(Response::typed(CONTENT_TYPE, text))
}

fn text_of(stats: &Stats) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("brigade");
    let scrape = Scrape {
        loops: stats.loops(),
        turned_away: stats.turned_away() as u64,
        handshakes: stats.handshakes(),
    };
    registry.register_collector(Box::new(scrape));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

/// The counters at one moment.
#[derive(Debug)]
struct Scrape {
    loops: Vec<LoopStats>,
    turned_away: u64,
    handshakes: Option<HandshakeCounts>,
}

/// A counter of each loop: its name, its description, and where it is found.
type OfLoop = (&'static str, &'static str, fn(&LoopStats) -> u64);

const COUNTERS: [OfLoop; 7] = [
    ("turns", "Turns of the event loop", |stats| stats.tcp.event_loop.turns),
    ("polls", "Polls of tasks", |stats| stats.tcp.event_loop.polls),
    ("stalls", "Stalls of the event loop that were reported", |stats| stats.tcp.event_loop.stalls),
    ("connections", "Connections given to the event loop or accepted by it", |stats| {
        (stats.tcp.accepted + stats.tcp.taken_back) as u64
    }),
    (
        "connections_taken_back",
        "Connections taken back before the event loop read their first request",
        |stats| stats.tcp.taken_back as u64,
    ),
    ("requests_unanswered", "Requests that ended without a response", |stats| {
        stats.requests.unanswered
    }),
    ("bodies_failed", "Responses cut off because their body failed", |stats| {
        stats.requests.bodies_failed
    }),
];

const GAUGES: [OfLoop; 6] = [
    ("awake", "Whether the event loop runs, and does not wait for I/O", |stats| {
        stats.tcp.event_loop.is_awake.into()
    }),
    ("tasks", "Tasks that have not finished", |stats| stats.tcp.event_loop.tasks as u64),
    ("ready_tasks", "Tasks in the ready queue", |stats| stats.tcp.event_loop.ready as u64),
    ("timers", "Timers that are set", |stats| stats.tcp.event_loop.timers as u64),
    ("connections_open", "Connections that are open", |stats| stats.tcp.open as u64),
    ("requests_in_flight", "Requests whose response is not complete", |stats| {
        stats.requests.in_flight
    }),
];

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

impl Collector for Scrape {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> fmt::Result {
        for (name, help, value) in COUNTERS {
            let mut family = to.encode_descriptor(name, help, None, MetricType::Counter)?;
            self.each(&mut family, |one, to| ConstCounter::new(value(one)).encode(to))?;
        }
        for (name, help, value) in GAUGES {
            let mut family = to.encode_descriptor(name, help, None, MetricType::Gauge)?;
            self.each(&mut family, |one, to| ConstGauge::new(value(one)).encode(to))?;
        }
        self.encode_requests(&mut to)?;
        self.encode_poll_times(&mut to)?;
        self.encode_handshakes(&mut to)?;
        let help = "Connections closed at once because descriptors had run out";
        let counter = MetricType::Counter;
        let refused = to.encode_descriptor("connections_refused", help, None, counter)?;
        ConstCounter::new(self.turned_away).encode(refused)
    }
}

impl Scrape {
    /// Adds a series of each loop to a family, by `encode`.
    fn each(
        &self,
        family: &mut MetricEncoder<'_>,
        encode: impl Fn(&LoopStats, MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        self.loops.iter().try_for_each(|one| {
            let labels = [("loop", one.tcp.number as u64)];
            encode(one, family.encode_family(&labels)?)
        })
    }

    fn encode_handshakes(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(HandshakeCounts { succeeded, resumed, failed }) = &self.handshakes else {
            return Ok(());
        };
        let counter = MetricType::Counter;
        let all = to.encode_descriptor("tls_handshakes", "TLS handshakes", None, counter)?;
        ConstCounter::new(*succeeded).encode(all)?;
        let help = "TLS handshakes that resumed an earlier session";
        let of_resumed = to.encode_descriptor("tls_handshakes_resumed", help, None, counter)?;
        ConstCounter::new(*resumed).encode(of_resumed)?;
        let help = "TLS handshakes that failed, by reason";
        let mut family = to.encode_descriptor("tls_handshakes_failed", help, None, counter)?;
        failed.iter().try_for_each(|(reason, count)| {
            ConstCounter::new(*count).encode(family.encode_family(&[("reason", *reason)])?)
        })
    }

    fn encode_requests(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Responses by the class of their status";
        let mut family = to.encode_descriptor("requests", help, None, MetricType::Counter)?;
        for one in &self.loops {
            for (class, responses) in CLASSES.into_iter().zip(one.requests.responses) {
                let labels = ([("loop", one.tcp.number as u64)], [("class", class)]);
                ConstCounter::new(responses).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn encode_poll_times(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Duration of polls of tasks, sampled: one poll in 64";
        let histogram = MetricType::Histogram;
        let mut family = to.encode_descriptor("poll", help, Some(&Unit::Seconds), histogram)?;
        self.each(&mut family, |one, mut to| {
            let times = one.tcp.event_loop.poll_times;
            let bounds = PollTimes::BOUNDS.iter().map(Duration::as_secs_f64);
            let bounds = bounds.chain([f64::INFINITY]);
            let buckets: Vec<_> = bounds.zip(times.counts).collect();
            let sum = times.sum.as_secs_f64();
            to.encode_histogram::<NoLabelSet>(sum, times.count(), &buckets, None)
        })
    }
}
