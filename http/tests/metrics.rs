//! The metrics of a server: valid OpenMetrics, exact, and never decreasing.
#![cfg(feature = "metrics")]
#![forbid(unsafe_code)]

mod sockets;

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use brigade_http::{
    OnLoopDeath, Request, Router, Server, Stats, StatusCode, get as on_get, metrics,
};
use brigade_runtime::LoopHandle;
use brigade_runtime::oneshot::{SyncReceiver, sync_channel};
use sockets::{Client, PATIENCE, TestServer, get};

/// The samples of one scrape, by name and labels as in the text.
type Samples = BTreeMap<String, f64>;

/// Parses counters, gauges and histograms in the text format of OpenMetrics, and checks the rules
/// of its specification.
fn parse(text: &str) -> Samples {
    let body = text.strip_suffix("# EOF\n").expect("the text must end with # EOF and a line end");
    assert!(!body.contains("# EOF") && !body.contains("\n\n") && !body.contains('\r'));
    let mut samples = Samples::new();
    let mut families = Vec::new();
    let mut lines = body.lines().peekable();
    while let Some(line) = lines.next() {
        let family = line.strip_prefix("# HELP ").expect("a family must begin with its help");
        let (family, help) = family.split_once(' ').unwrap();
        assert!(!help.is_empty() && is_name(family), "{line}");
        assert!(!families.contains(&family), "{family} comes twice");
        families.push(family);
        let kind = lines.next().unwrap().strip_prefix("# TYPE ").unwrap();
        let kind = kind.strip_prefix(family).unwrap().strip_prefix(' ').unwrap();
        if let Some(unit) = lines.next_if(|line| line.starts_with("# UNIT ")) {
            let unit = unit.strip_prefix(&*format!("# UNIT {family} ")).unwrap();
            assert!(family.ends_with(&format!("_{unit}")), "{family} is in {unit}");
        }
        let mut count = 0;
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            check_labels(labels.strip_suffix('}').unwrap());
            let suffix = name.strip_prefix(family).unwrap();
            assert!(suffixes(kind).contains(&suffix), "{line} in a {kind}");
            let value = value.parse::<f64>().unwrap();
            assert!(value.is_finite() && value >= 0.0, "{line}");
            assert!(samples.insert(series.to_owned(), value).is_none(), "twice: {line}");
            count += 1;
        }
        assert!(count > 0, "{family} has no samples");
    }
    samples
}

fn suffixes(kind: &str) -> &'static [&'static str] {
    match kind {
        "counter" => &["_total"],
        "gauge" => &[""],
        "histogram" => &["_bucket", "_sum", "_count"],
        other => panic!("unknown type: {other}"),
    }
}

fn is_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    !name.is_empty() && name.bytes().all(is_allowed)
}

fn check_labels(labels: &str) {
    for label in labels.split(',').filter(|label| !label.is_empty()) {
        let (name, value) = label.split_once('=').unwrap();
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap();
        assert!(is_name(name) && !value.contains(['"', '\\', '\n']), "{label}");
    }
}

/// Returns the sum of the samples with this name and this label over all loops.
fn total(samples: &Samples, name: &str, label: &str) -> f64 {
    let is_selected = |series: &str| {
        let (series_name, labels) = series.split_once('{').unwrap_or((series, ""));
        series_name == name && labels.contains(label)
    };
    let found: Vec<_> = samples.iter().filter(|(series, _)| is_selected(series)).collect();
    assert!(!found.is_empty(), "no {name} with {label}");
    found.iter().map(|(_, value)| **value).sum()
}

fn scrape(client: &mut Client) -> Samples {
    client.send(get("/metrics"));
    let response = client.response();
    assert_eq!(response.status, 200);
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(response.header("content-type"), Some(content_type));
    parse(response.text())
}

/// Starts a server of two loops.
fn start(
    options: impl FnOnce(Server) -> Server,
    app: impl Fn() -> Router + Clone + Send + 'static,
) -> (TestServer, Stats) {
    let mut stats = None;
    let options = |server: Server| {
        stats = Some(server.stats());
        options(server.loops(2).pin(false))
    };
    let server = TestServer::start_with(options, app);
    (server, stats.expect("the options were set"))
}

/// Waits until `condition` is true.
fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "timed out waiting until {what}");
        std::thread::yield_now();
    }
}

/// Sends a request and returns the status of the response.
fn send(client: &mut Client, path: &str) -> u16 {
    client.send(get(path));
    client.response().status
}

async fn hold(gate: Option<SyncReceiver<()>>) {
    let _ = gate.expect("one request is held").await;
}

async fn status(request: Request) -> StatusCode {
    request.param("code").and_then(|code| code.parse().ok()).unwrap_or(StatusCode::NOT_FOUND)
}

#[test]
fn the_samples_of_all_loops_are_exact() {
    let (open, opened) = sync_channel::<()>();
    let gate = Arc::new(Mutex::new(Some(opened)));
    let (server, stats) = start(
        |server| server,
        move || {
            let gate = gate.clone();
            Router::new()
                .route("/status/{code}", on_get(status))
                .route("/panic", on_get(async || -> &'static str { panic!("on purpose") }))
                .route("/gate", on_get(move || hold(gate.lock().unwrap().take())))
                .route("/metrics", on_get(metrics))
        },
    );
    let (mut client, mut held) = (server.connect(), server.connect());
    for (code, times) in [(200, 4), (204, 1), (304, 2), (404, 3), (503, 1)] {
        for _ in 0..times {
            assert_eq!(send(&mut client, &format!("/status/{code}")), code);
        }
    }
    assert_eq!(send(&mut server.connect(), "/panic"), 500);
    held.send(get("/gate"));
    wait_until("one request is held and two connections are open", || {
        let sum = |of: fn(&brigade_http::LoopStats) -> u64| stats.loops().iter().map(of).sum();
        let (in_flight, open): (u64, u64) =
            (sum(|one| one.requests.in_flight), sum(|one| one.tcp.open as u64));
        (in_flight, open) == (1, 2)
    });
    let samples = scrape(&mut client);
    let responses = [("1xx", 0.0), ("2xx", 5.0), ("3xx", 2.0), ("4xx", 3.0), ("5xx", 2.0)];
    for (class, count) in responses {
        let class = format!("class=\"{class}\"");
        assert_eq!(total(&samples, "brigade_requests_total", &class), count, "{class}");
    }
    // The request that is held, and the scrape itself.
    assert_eq!(total(&samples, "brigade_requests_in_flight", ""), 2.0);
    assert_eq!(total(&samples, "brigade_requests_unanswered_total", ""), 0.0);
    assert_eq!(total(&samples, "brigade_connections_open", ""), 2.0);
    // Connections are taken back from a loop that gets no processor for a while.
    let taken_back = total(&samples, "brigade_connections_taken_back_total", "");
    assert_eq!(total(&samples, "brigade_connections_total", "") - taken_back, 3.0);
    assert_eq!(samples["brigade_connections_refused_total"], 0.0);
    for number in 0..2 {
        let label = format!("loop=\"{number}\"");
        for name in ["turns", "polls"] {
            assert!(total(&samples, &format!("brigade_{name}_total"), &label) > 0.0, "{name}");
        }
        check_histogram(&samples, &label);
    }
    drop(open);
    assert_eq!(held.response().status, 200);
    assert_eq!(total(&scrape(&mut client), "brigade_requests_in_flight", ""), 1.0);
}

/// Checks that the buckets are cumulative, and that the last one counts all polls.
fn check_histogram(samples: &Samples, label: &str) {
    let bound = |series: &str| {
        let (_, bound) = series.split_once("le=\"").unwrap();
        let bound = bound.split('"').next().unwrap().replace("+Inf", "inf");
        bound.parse::<f64>().unwrap()
    };
    let is_bucket = |series: &str| series.starts_with("brigade_poll_seconds_bucket{");
    let of_loop = |series: &str| is_bucket(series) && series.contains(label);
    let buckets = samples.iter().filter(|(series, _)| of_loop(series));
    let mut buckets: Vec<_> = buckets.map(|(series, count)| (bound(series), *count)).collect();
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    assert_eq!((buckets.len(), buckets[0].0, buckets[22].0), (23, 1e-6, f64::INFINITY));
    assert!(buckets.is_sorted_by(|a, b| a.1 <= b.1), "{buckets:?}");
    assert_eq!(buckets[22].1, samples[&format!("brigade_poll_seconds_count{{{label}}}")]);
    assert!(buckets[22].1 > 0.0 && samples[&format!("brigade_poll_seconds_sum{{{label}}}")] > 0.0);
}

/// Returns the samples that must never decrease: counters and the parts of histograms.
fn counters(samples: &Samples) -> impl Iterator<Item = (&String, f64)> {
    let is_counted = |name: &str| {
        ["_total", "_bucket", "_sum", "_count"].iter().any(|suffix| name.ends_with(suffix))
    };
    let counted = samples
        .iter()
        .filter(move |(series, _)| is_counted(series.split('{').next().unwrap_or_default()));
    counted.map(|(series, value)| (series, *value))
}

fn assert_none_decreased(before: &Samples, after: &Samples) {
    assert!(counters(before).count() > 30);
    for (series, value) in counters(before) {
        assert!(after[series] >= value, "{series} fell from {value} to {}", after[series]);
    }
}

#[test]
fn counters_never_decrease_even_if_loops_restart() {
    let (server, stats) = start(
        |server| server.on_loop_death(OnLoopDeath::Restart),
        || {
            Router::new()
                .route("/", on_get(async || "hello"))
                .route("/stop", on_get(stop))
                .route("/metrics", on_get(metrics))
        },
    );
    wait_until("both loops have started", || stats.loops().len() == 2);
    let mut before = scrape(&mut server.connect());
    for round in 1..=4 {
        let mut client = server.connect();
        (0..10).for_each(|_| assert_eq!(send(&mut client, "/"), 200));
        let mut stopping = server.connect();
        stopping.send(get("/stop"));
        // The connection ends with its loop.
        assert_eq!(stopping.rest(), "");
        let after = scrape(&mut server.connect());
        assert_none_decreased(&before, &after);
        let responses = total(&after, "brigade_requests_total", "class=\"2xx\"");
        // The scrape before counts too, unless it was lost with its loop; this one is not complete.
        assert!(responses >= f64::from(round) * 10.0, "{responses} in round {round}");
        let unanswered = total(&after, "brigade_requests_unanswered_total", "");
        assert_eq!(unanswered, f64::from(round));
        before = after;
    }
}

/// Stops its loop, which also ends the connection of the request.
async fn stop(_: Request) {
    LoopHandle::current().stop();
    pending::<()>().await;
}

#[test]
fn other_loops_report_on_a_loop_that_is_stuck() {
    let (blocked, is_blocked) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let (server, stats) = start(
        |server| server.stall_threshold(Some(Duration::from_millis(8))),
        move || {
            let (blocked, released) = (blocked.clone(), released.clone());
            let block = move || {
                blocked.send(LoopHandle::current().name().to_owned()).unwrap();
                let _ = released.lock().unwrap().recv_timeout(PATIENCE);
                std::future::ready("done")
            };
            Router::new().route("/block", on_get(block)).route("/metrics", on_get(metrics))
        },
    );
    let mut client = server.connect();
    client.send(get("/block"));
    let name = is_blocked.recv_timeout(PATIENCE).unwrap();
    let number = name.strip_prefix("loop-").unwrap().to_owned();
    wait_until("the stall is counted", || {
        let of_it = stats.loops().into_iter().find(|one| one.tcp.event_loop.event_loop == name);
        of_it.unwrap().tcp.event_loop.stalls > 0
    });
    let samples = scrape(&mut server.connect());
    let of_it = |name: &str| samples[&format!("brigade_{name}{{loop=\"{number}\"}}")];
    assert_eq!((of_it("awake"), of_it("requests_in_flight")), (1.0, 1.0));
    assert!(of_it("stalls_total") >= 1.0);
    release.send(()).unwrap();
    assert_eq!(client.response().status, 200);
}
