//! What a server logs of its loops when the process gets the signal for it. The only test here: the
//! log of a process is one for all its tests, and so are its signals.
#![forbid(unsafe_code)]
#![cfg(unix)]

mod sockets;

use std::process::Command;
use std::sync::{Arc, Mutex, mpsc};

use brigade_http::{Router, get as on_get};
use brigade_runtime::LoopHandle;
use brigade_runtime::signal::SignalKind;
use sockets::{PATIENCE, TestServer, get};
use tracing::field::{Field, Visit};
use tracing::{Level, span};

#[test]
fn each_loop_tells_what_it_does_and_of_one_that_is_stuck_it_is_told_where() {
    let (events, told) = mpsc::channel();
    tracing::subscriber::set_global_default(Collector(events)).unwrap();
    let (blocked, is_blocked) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let app = move || {
        let (blocked, released) = (blocked.clone(), released.clone());
        let block = move |_| {
            blocked.send(()).unwrap();
            // A test that fails does not hang.
            let _ = released.lock().unwrap().recv_timeout(PATIENCE);
            std::future::ready("released")
        };
        Router::new()
            .route("/", on_get(async |_| LoopHandle::current().name().to_owned()))
            .route("/wait/{what}", on_get(async |_| std::future::pending::<()>().await))
            .route("/block", on_get(block))
    };
    let options = |server: brigade_http::Server| {
        server.loops(2).pin(false).report_on(SignalKind::UserDefined1)
    };
    let server = TestServer::start_with(options, app);

    // One connection for each loop; that of the second sends a head in part, and waits behind it.
    let mut first = server.connect();
    first.send(get("/"));
    let first_loop = first.answer().text().to_owned();
    let mut second = server.connect();
    second.send([get("/"), get("/wait/long")].concat());
    let second_loop = second.answer().text().to_owned();
    assert_ne!(first_loop, second_loop);
    let peer = second.stream.local_addr().unwrap();

    ask_for_report();
    let reports = [next(&told), next(&told)];
    let of = |name: &str| {
        let begin = format!("event loop '{name}' ");
        let found = reports.iter().find(|(_, text)| text.starts_with(&begin));
        found.unwrap_or_else(|| panic!("nothing of {name}: {reports:#?}"))
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
    assert!(!idle.contains(" for 127.0.0.1:"), "an idle one is not named: {idle}");
    assert!(busy.contains("\n  1 connections, 1 handling\n  task "), "{busy}");
    assert!(busy.contains(&format!(" for {peer}: handling /wait/{{what}} for ")), "{busy}");

    first.send(get("/block"));
    is_blocked.recv_timeout(PATIENCE).unwrap();
    ask_for_report();
    let reports = [next(&told), next(&told)];
    let of = |name: &str| reports.iter().find(|(_, text)| text.contains(name)).unwrap();
    let ((stuck_level, stuck), (well_level, well)) = (of(&first_loop), of(&second_loop));
    assert_eq!((*stuck_level, *well_level), (Level::WARN, Level::INFO));
    assert!(well.contains("1 handling"), "{well}");
    assert!(stuck.contains("' awake, ") && stuck.contains("no reply within "), "{stuck}");
    assert!(stuck.contains("'connection'") && stuck.contains("/block"), "{stuck}");
    assert!(stuck.contains(&numbers(1)), "{stuck}");
    release.send(()).unwrap();
    assert_eq!(first.answer().text(), "released");
    drop((first, second));
    assert_eq!(server.join().iter().map(|report| report.stats.requests.total).sum::<u64>(), 4);
}

/// Of a loop with one connection, which got one answer so far.
fn numbers(in_flight: usize) -> String {
    format!("\n  1 connections open, {in_flight} requests in flight, responses 0 x 1xx, 1 x 2xx, ")
}

/// The signal, to this process.
fn ask_for_report() {
    let this = std::process::id().to_string();
    assert!(Command::new("kill").args(["-USR1", &this]).status().unwrap().success());
}

fn next(told: &mpsc::Receiver<(Level, String)>) -> (Level, String) {
    told.recv_timeout(PATIENCE).expect("a loop reports")
}

/// Passes on what is told of loops.
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
        // Once the test is over nobody listens.
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
