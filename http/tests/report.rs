//! The report that a server logs when the process gets a signal. This file has one test, because
//! the tests of a process share its log and its signals.
#![forbid(unsafe_code)]
#![cfg(unix)]

mod sockets;

use std::process::Command;
use std::sync::mpsc;

use brigade_http::{Router, get as on_get};
use brigade_runtime::signal::SignalKind;
use sockets::blocks::{block, loop_name};
use sockets::{PATIENCE, TestServer, get};
use tracing::field::{Field, Visit};
use tracing::{Level, span};

#[test]
fn a_report_lists_what_each_loop_does_and_where_a_blocked_loop_is() {
    let (events, logged) = mpsc::channel();
    tracing::subscriber::set_global_default(Collector(events)).unwrap();
    let (block, is_blocked, release) = block();
    let app = move || {
        Router::new()
            .route("/", on_get(async || loop_name()))
            .route("/wait/{what}", on_get(async || std::future::pending::<()>().await))
            .route("/block", block.handler())
    };
    let options = |server: brigade_http::Server| {
        server.loops(2).pin(false).report_on(SignalKind::UserDefined1)
    };
    let server = TestServer::start_with(options, app);

    // One connection on each loop. The second one has a request in flight.
    let mut first = server.connect();
    first.send(get("/"));
    let first_loop = first.response().text().to_owned();
    let mut second = server.connect();
    second.send([get("/"), get("/wait/long")].concat());
    let second_loop = second.response().text().to_owned();
    assert_ne!(first_loop, second_loop);
    let peer = second.stream.local_addr().unwrap();

    signal_report();
    let reports = [next(&logged), next(&logged)];
    let of = |name: &str| {
        let begin = format!("event loop '{name}' ");
        let found = reports.iter().find(|(_, text)| text.starts_with(&begin));
        found.unwrap_or_else(|| panic!("no report of {name}: {reports:#?}"))
    };
    let ((first_level, idle), (second_level, busy)) = (of(&first_loop), of(&second_loop));
    assert_eq!((*first_level, *second_level), (Level::INFO, Level::INFO));
    for text in [idle, busy] {
        assert!(text.contains("\n  1 x task 'connection' (spawned at "), "{text}");
        assert!(text.contains(", oldest "), "{text}");
    }
    assert!(idle.contains("\n  1 connections, 1 idle"), "{idle}");
    assert!(idle.contains(&numbers(0)), "{idle}");
    assert!(busy.contains(&numbers(1)), "{busy}");
    assert!(!idle.contains(" for 127.0.0.1:"), "an idle connection is listed: {idle}");
    assert!(busy.contains("\n  1 connections, 1 handling\n  task "), "{busy}");
    assert!(busy.contains(&format!(" for {peer}: handling /wait/{{what}} for ")), "{busy}");

    first.send(get("/block"));
    is_blocked.recv_timeout(PATIENCE).unwrap();
    signal_report();
    let reports = [next(&logged), next(&logged)];
    let of = |name: &str| reports.iter().find(|(_, text)| text.contains(name)).unwrap();
    let ((blocked_level, blocked), (other_level, other)) = (of(&first_loop), of(&second_loop));
    assert_eq!((*blocked_level, *other_level), (Level::WARN, Level::INFO));
    assert!(other.contains("1 handling"), "{other}");
    assert!(blocked.contains("' awake, ") && blocked.contains("no reply within "), "{blocked}");
    assert!(blocked.contains("'connection'") && blocked.contains("/block"), "{blocked}");
    assert!(blocked.contains(&numbers(1)), "{blocked}");
    release.send(()).unwrap();
    assert_eq!(first.response().text(), "done");
    drop((first, second));
    assert_eq!(server.join().iter().map(|report| report.stats.requests.total).sum::<u64>(), 4);
}

/// Returns the counters of a loop with one connection and one response so far.
fn numbers(in_flight: usize) -> String {
    format!("\n  1 connections open, {in_flight} requests in flight, responses 0 x 1xx, 1 x 2xx, ")
}

/// Sends the signal to this process.
fn signal_report() {
    let this = std::process::id().to_string();
    assert!(Command::new("kill").args(["-USR1", &this]).status().unwrap().success());
}

fn next(logged: &mpsc::Receiver<(Level, String)>) -> (Level, String) {
    logged.recv_timeout(PATIENCE).expect("each loop is reported")
}

/// Sends the level and the message of each event of the server to the test.
struct Collector(mpsc::Sender<(Level, String)>);

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

impl tracing::Subscriber for Collector {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "brigade::server" && *metadata.level() <= Level::INFO
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        // The receiver is gone once the test has ended.
        let _ = self.0.send((*event.metadata().level(), message.0));
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}
