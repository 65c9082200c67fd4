//! The `Server-Timing` header of responses, from real servers.
//!
//! A handler blocks its loop until the test releases it, and the test asserts bounds that it has
//! measured itself.
#![forbid(unsafe_code)]

mod sockets;

use std::io;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use brigade_http::{Body, HandlerError, Request, Response, Router, get as on_get};
use brigade_runtime::oneshot::{SyncReceiver, SyncSender, sync_channel};
use brigade_runtime::task::yield_now;
use brigade_runtime::time::ready_since;
use bytes::Bytes;
use futures_util::{Stream, stream};
use http::{HeaderName, HeaderValue};
use sockets::{Client, PATIENCE, TestResponse, TestServer, get};

/// The shortest time for which a handler blocks or waits. Asserted bounds are measured.
const BLOCKED: Duration = Duration::from_millis(50);
/// Durations are sent in whole microseconds.
const ROUNDED: Duration = Duration::from_micros(1);

/// An entry of the list: its name, its duration in milliseconds and its description.
type Entry = (String, Option<f64>, Option<String>);

/// Returns all entries, by the part of the grammar of W3C Server Timing section 3 that the server
/// uses. Panics at anything else.
fn entries(response: &TestResponse) -> Vec<Entry> {
    let is_token = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let lines = response.head.lines().filter_map(|line| line.strip_prefix("server-timing: "));
    let mut entries = Vec::new();
    for metric in lines.flat_map(|line| line.split(", ")) {
        let mut parts = metric.split(';');
        let name = parts.next().unwrap();
        assert!(is_token(name), "{metric}");
        let mut entry = (name.to_owned(), None, None);
        for (name, value) in parts.map(|parameter| parameter.split_once('=').unwrap()) {
            match name {
                "dur" => entry.1 = Some(value.parse().unwrap()),
                "desc" => {
                    let text = value.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
                    entry.2 = Some(text.unwrap_or(value).to_owned());
                }
                other => panic!("the parameter {other} is none of the standard"),
            }
        }
        entries.push(entry);
    }
    entries
}

fn names(response: &TestResponse) -> Vec<String> {
    entries(response).into_iter().map(|(name, ..)| name).collect()
}

/// Returns the duration of the entry `name`.
fn duration(response: &TestResponse, name: &str) -> Duration {
    let entries = entries(response);
    let found = entries.iter().find(|(known, ..)| known == name);
    let (_, millis, _) = found.unwrap_or_else(|| panic!("no {name} in {entries:?}"));
    Duration::from_secs_f64(millis.unwrap() / 1000.0)
}

/// Lets the test control the handlers.
#[derive(Clone)]
struct Script {
    /// A handler is about to block, or to wait.
    begun: mpsc::Sender<()>,
    /// Ends the block.
    released: Arc<Mutex<mpsc::Receiver<()>>>,
    /// Ends the wait.
    woken: Arc<Mutex<Option<SyncReceiver<()>>>>,
}

impl Script {
    fn block(&self) {
        self.begun.send(()).unwrap();
        // Not forever, so that a failing test does not hang.
        let _ = self.released.lock().unwrap().recv_timeout(PATIENCE);
    }

    /// Waits, and returns how much of the wait was over before the loop was notified, in
    /// nanoseconds.
    async fn wait(&self) -> String {
        let began = Instant::now();
        let woken = self.woken.lock().unwrap().take().unwrap();
        self.begun.send(()).unwrap();
        let _ = woken.await;
        ready_since().saturating_duration_since(began).as_nanos().to_string()
    }
}

fn app(script: &Script) -> Router {
    let (blocking, waiting) = (script.clone(), script.clone());
    Router::new()
        .route("/", on_get(async || "hello"))
        .route("/panic", on_get(async || -> Response { panic!("as asked") }))
        .route("/error", on_get(async || Err::<(), _>(HandlerError::from(io::Error::other("no")))))
        .route("/stream", on_get(async || Response::new(Body::stream(parts()))))
        .route("/bad", on_get(async || with("hello", "content-length", "7")))
        .route("/own", on_get(async || with("hello", "server-timing", "db;dur=53")))
        .route("/yield", on_get(async || yield_now().await))
        .route(
            "/block",
            on_get(move |_: Request| {
                let script = blocking.clone();
                async move { script.block() }
            }),
        )
        .route(
            "/wait",
            on_get(move |_: Request| {
                let script = waiting.clone();
                async move { script.wait().await }
            }),
        )
}

fn with(text: &'static str, name: &'static str, value: &'static str) -> Response {
    let (name, value) = (HeaderName::from_static(name), HeaderValue::from_static(value));
    Response::text(text).with_header(name, value)
}

fn parts() -> impl Stream<Item = io::Result<Bytes>> {
    stream::iter(["one", "two"].map(|part| Ok(Bytes::from_static(part.as_bytes()))))
}

/// A server of one loop, and what its handlers wait for.
struct Stage {
    server: TestServer,
    begun: mpsc::Receiver<()>,
    release: mpsc::Sender<()>,
    wake: SyncSender<()>,
}

impl Stage {
    fn new(server_timing: bool) -> Self {
        let (began, begun) = mpsc::channel();
        let (release, released) = mpsc::channel();
        let (wake, woken) = sync_channel();
        let script = Script {
            begun: began,
            released: Arc::new(Mutex::new(released)),
            woken: Arc::new(Mutex::new(Some(woken))),
        };
        let server = TestServer::start_with(
            |server| server.loops(1).pin(false).server_timing(server_timing),
            move || app(&script),
        );
        Self { server, begun, release, wake }
    }

    fn handler_has_begun(&self) {
        self.begun.recv_timeout(PATIENCE).unwrap();
    }
}

fn ask(client: &mut Client, path: &str) -> TestResponse {
    client.send(get(path));
    client.response()
}

#[test]
fn the_header_is_off_by_default() {
    let stage = Stage::new(false);
    let mut client = stage.server.connect();
    for path in ["/", "/nowhere", "/stream"] {
        assert_eq!(ask(&mut client, path).header("server-timing"), None);
    }
    assert_eq!(names(&ask(&mut client, "/own")), ["db"]);
    assert_eq!(ask(&mut client, "/panic").header("server-timing"), None);
}

#[test]
fn every_response_has_its_times_and_the_first_one_that_in_the_queue() {
    let stage = Stage::new(true);
    for (path, status) in
        [("/", 200), ("/nowhere", 404), ("/panic", 500), ("/error", 500), ("/stream", 200)]
    {
        let response = ask(&mut stage.server.connect(), path);
        assert_eq!(response.status, status);
        assert_eq!(names(&response), ["queue", "loop", "handler"], "{path}");
        let number = entries(&response).remove(1).2;
        assert_eq!(number.as_deref(), Some("0"), "the number of the loop");
    }
    let mut client = stage.server.connect();
    ask(&mut client, "/");
    for path in ["/", "/yield", "/stream", "/nowhere"] {
        assert_eq!(names(&ask(&mut client, path)), ["loop", "handler"], "{path}");
    }
}

#[test]
fn a_response_that_is_replaced_has_one_header() {
    let response = ask(&mut Stage::new(true).server.connect(), "/bad");
    assert_eq!(response.status, 500);
    assert_eq!(names(&response), ["queue", "loop", "handler"]);
}

#[test]
fn a_response_without_a_handler_has_no_handler_time() {
    let stage = Stage::new(true);
    let mut client = stage.server.connect();
    ask(&mut client, "/");
    client.send("GET / HTTP/1.1\r\nbad header\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status, names(&response)), (400, vec!["loop".to_owned()]));
}

#[test]
fn entries_of_the_handler_are_kept() {
    let response = ask(&mut Stage::new(true).server.connect(), "/own");
    assert_eq!(names(&response), ["db", "queue", "loop", "handler"]);
    assert_eq!(duration(&response, "db"), Duration::from_millis(53));
}

#[test]
fn pipelined_requests_have_their_own_times() {
    let stage = Stage::new(true);
    let mut client = stage.server.connect();
    client.send(["/", "/yield", "/", "/nowhere"].map(get).concat());
    assert_eq!(names(&client.response()), ["queue", "loop", "handler"]);
    for status in [200, 200, 404] {
        let response = client.response();
        assert_eq!(response.status, status);
        assert_eq!(names(&response), ["loop", "handler"]);
    }
}

#[test]
fn the_wait_of_a_handler_counts_as_handler_time() {
    let stage = Stage::new(true);
    let mut client = stage.server.connect();
    client.send(get("/wait"));
    stage.handler_has_begun();
    std::thread::sleep(BLOCKED);
    let Stage { server: _server, wake, .. } = stage;
    wake.send(()).unwrap();
    let response = client.response();
    let waited = Duration::from_nanos(response.text().parse().unwrap());
    assert!(duration(&response, "handler") + ROUNDED >= waited, "{waited:?}: {}", response.head);
}

#[test]
fn a_handler_that_blocks_the_loop_counts_as_its_own_time() {
    let stage = Stage::new(true);
    let mut client = stage.server.connect();
    client.send(get("/block"));
    stage.handler_has_begun();
    let blocked = Instant::now();
    std::thread::sleep(BLOCKED);
    let (blocked, released) = (blocked.elapsed(), Instant::now());
    stage.release.send(()).unwrap();
    assert!(duration(&client.response(), "handler") + ROUNDED >= blocked);
    // The time that this connection used itself is not a lag of its next request.
    let next = ask(&mut client, "/");
    assert!(duration(&next, "loop") <= released.elapsed() + ROUNDED, "{}", next.head);
}

#[test]
fn another_handler_that_blocks_the_loop_counts_as_lag() {
    let stage = Stage::new(true);
    let (mut neighbour, mut client) = (stage.server.connect(), stage.server.connect());
    ask(&mut client, "/");
    neighbour.send(get("/block"));
    stage.handler_has_begun();
    // The loop is blocked from before this until after the release.
    let sent = Instant::now();
    client.send(get("/"));
    std::thread::sleep(BLOCKED);
    let (waited, released) = (sent.elapsed(), Instant::now());
    stage.release.send(()).unwrap();
    let response = client.response();
    let since = released.elapsed();
    assert!(duration(&response, "loop") + ROUNDED >= waited, "{waited:?}: {}", response.head);
    assert!(duration(&response, "handler") <= since + ROUNDED, "{since:?}: {}", response.head);
    // The lag ends with that request.
    let next = ask(&mut client, "/");
    assert!(duration(&next, "loop") <= released.elapsed() + ROUNDED, "{}", next.head);
}

#[test]
fn another_handler_that_delays_the_next_poll_counts_as_lag() {
    let stage = Stage::new(true);
    let (mut neighbour, mut client) = (stage.server.connect(), stage.server.connect());
    client.send(get("/wait"));
    stage.handler_has_begun();
    neighbour.send(get("/block"));
    stage.handler_has_begun();
    let Stage { server: _server, wake, release, .. } = stage;
    let sent = Instant::now();
    wake.send(()).unwrap();
    std::thread::sleep(BLOCKED);
    let waited = sent.elapsed();
    release.send(()).unwrap();
    let response = client.response();
    assert!(duration(&response, "loop") + ROUNDED >= waited, "{waited:?}: {}", response.head);
}
