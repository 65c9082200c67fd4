//! The numbers of a server as text in the format of OpenMetrics, for Prometheus and its kin.

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
use crate::server::stats::{LoopStats, Stats};

/// What the text is, by the OpenMetrics specification 1.0.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers with the numbers of the server that it is a handler of ([`Stats`]), those of all its
/// loops, whichever loop is asked. Each series has the number of its loop as the label `loop`. No
/// loop is asked for anything, so one that is stuck is told of like the others. Counters go on
/// when a loop dies and another one takes its place.
///
/// | | | |
/// | --- | --- | --- |
/// | `brigade_turns_total` | counter | turns of the loop |
/// | `brigade_polls_total` | counter | polls of tasks |
/// | `brigade_poll_seconds` | histogram | how long polls took, of one in 64 |
/// | `brigade_stalls_total` | counter | how often the loop was found stuck |
/// | `brigade_awake` | gauge | 1 while the loop runs, 0 while it waits for I/O |
/// | `brigade_tasks`, `brigade_ready_tasks`, `brigade_timers` | gauges | as of the last turn |
/// | `brigade_connections_total` | counter | connections that were handed to the loop |
/// | `brigade_connections_taken_back_total` | counter | of these, taken back unstarted |
/// | `brigade_connections_open` | gauge | connections that are open |
/// | `brigade_requests_total` | counter | answers, with `class` from `1xx` to `5xx` |
/// | `brigade_requests_unanswered_total` | counter | requests that ended without an answer |
/// | `brigade_requests_in_flight` | gauge | requests whose answer is not complete |
/// | `brigade_connections_refused_total` | counter | closed at once, of no loop: no descriptors |
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
    let scrape = Scrape { loops: stats.loops(), turned_away: stats.turned_away() as u64 };
    registry.register_collector(Box::new(scrape));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

/// The numbers at one moment.
#[derive(Debug)]
struct Scrape {
    loops: Vec<LoopStats>,
    turned_away: u64,
}

/// A number that each loop has: its name, what it tells, and where it is.
type OfLoop = (&'static str, &'static str, fn(&LoopStats) -> u64);

const COUNTERS: [OfLoop; 6] = [
    ("turns", "Turns of the event loop", |stats| stats.event_loop.turns),
    ("polls", "Polls of tasks", |stats| stats.event_loop.polls),
    ("stalls", "How often the event loop was found stuck", |stats| stats.event_loop.stalls),
    ("connections", "Connections handed to the event loop", |stats| stats.handed as u64),
    (
        "connections_taken_back",
        "Connections taken back from the event loop before it began with them",
        |stats| stats.taken_back as u64,
    ),
    ("requests_unanswered", "Requests that ended without an answer", |stats| stats.unanswered),
];

const GAUGES: [OfLoop; 6] = [
    ("awake", "Whether the event loop runs, and does not wait for I/O", |stats| {
        stats.event_loop.is_awake.into()
    }),
    ("tasks", "Tasks that have not finished", |stats| stats.event_loop.tasks as u64),
    ("ready_tasks", "Tasks in the ready queue", |stats| stats.event_loop.ready as u64),
    ("timers", "Timers that are set", |stats| stats.event_loop.timers as u64),
    ("connections_open", "Connections that are open", |stats| stats.open as u64),
    ("requests_in_flight", "Requests whose answer is not complete", |stats| stats.in_flight),
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
        let help = "Connections closed at once since descriptors had run out";
        let counter = MetricType::Counter;
        let refused = to.encode_descriptor("connections_refused", help, None, counter)?;
        ConstCounter::new(self.turned_away).encode(refused)
    }
}

impl Scrape {
    /// Has `encode` add the series of each loop to a family.
    fn each(
        &self,
        family: &mut MetricEncoder<'_>,
        encode: impl Fn(&LoopStats, MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        self.loops.iter().try_for_each(|one| {
            let labels = [("loop", one.number as u64)];
            encode(one, family.encode_family(&labels)?)
        })
    }

    fn encode_requests(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Requests answered, by the class of the status";
        let mut family = to.encode_descriptor("requests", help, None, MetricType::Counter)?;
        for one in &self.loops {
            for (class, answered) in CLASSES.into_iter().zip(one.answered) {
                let labels = ([("loop", one.number as u64)], [("class", class)]);
                ConstCounter::new(answered).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn encode_poll_times(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "How long polls of tasks took, sampled: of one poll in 64";
        let histogram = MetricType::Histogram;
        let mut family = to.encode_descriptor("poll", help, Some(&Unit::Seconds), histogram)?;
        self.each(&mut family, |one, mut to| {
            let times = one.event_loop.poll_times;
            let bounds = PollTimes::BOUNDS.iter().map(Duration::as_secs_f64);
            let bounds = bounds.chain([f64::INFINITY]);
            let buckets: Vec<_> = bounds.zip(times.counts).collect();
            let sum = times.sum.as_secs_f64();
            to.encode_histogram::<NoLabelSet>(sum, times.count(), &buckets, None)
        })
    }
}
