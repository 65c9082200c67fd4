//! The spans and events of HTTP/2. The only test here, since a process has one global subscriber.
#![forbid(unsafe_code)]
#![cfg(all(feature = "http2", feature = "hyper"))]

mod http2_client;
mod sockets;

use std::cell::RefCell;
use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use brigade_http::middleware::log;
use brigade_http::{Body, BoxError, Bytes, Response, Router, get};
use brigade_runtime::{run, time};
use futures_util::stream;
use tracing::field::{Field, Visit};
use tracing::span;

use http2_client::{Client, request, start, text};

#[test]
fn requests_have_spans_within_their_connection_and_are_logged_with_their_end() {
    let journal = Journal::default();
    tracing::subscriber::set_global_default(journal.clone()).unwrap();
    let server = start(app);
    run(async move {
        let client = Client::connect(server.address).await;
        assert_eq!(text(client.get("/?secret=1").await).await, "root");
        assert_eq!(client.get("/panic").await.status(), 500);
        assert!(client.try_send(request("GET", "/fails")).await.is_err());
        let mut never = Box::pin(client.get("/never"));
        while !journal.has("never began") {
            assert!(futures_util::poll!(&mut never).is_pending());
            time::sleep(Duration::from_millis(1)).await;
        }
        drop(never);
        while !journal.has("path=/never route=/never bytes=0 complete=false") {
            time::sleep(Duration::from_millis(1)).await;
        }
        let within = "connection > request /never: test message=never ended";
        assert!(journal.has(within), "{journal:#?}");
        let within = "connection > request /: test message=root runs";
        assert!(journal.has(within), "{journal:#?}");
        let access = "connection > request /: brigade::access method=GET path=/ route=/ status=200 \
            bytes=4 complete=true";
        assert!(journal.has(access), "{journal:#?}");
        assert!(journal.has("path=/panic route=/panic status=500"), "{journal:#?}");
        let panic = "connection > request /panic: brigade::http \
            message=the handler of /panic panicked in";
        assert!(journal.has(panic), "{journal:#?}");
        assert!(journal.has("error=cannot read the body: its stream failed"), "{journal:#?}");
        assert!(!journal.has("secret"), "{journal:#?}");
    });
}

fn app() -> Router {
    let never = async || {
        let _at_end = LogsAtItsEnd;
        tracing::info!(target: "test", "never began");
        std::future::pending::<()>().await;
    };
    let panicking = async || -> Response { panic!("as asked") };
    let fails = async || {
        let parts = [Ok(Bytes::from("part")), Err(BoxError::from("broken"))];
        Body::stream(stream::iter(parts))
    };
    let root = async || {
        tracing::info!(target: "test", "root runs");
        "root"
    };
    Router::new()
        .route("/", get(root))
        .route("/never", get(never))
        .route("/panic", get(panicking))
        .route("/fails", get(fails))
        .layer(log)
}

struct LogsAtItsEnd;

impl Drop for LogsAtItsEnd {
    fn drop(&mut self) {
        tracing::info!(target: "test", "never ended");
    }
}

/// A subscriber that records events with the spans in which they happen.
#[derive(Clone, Debug, Default)]
struct Journal(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    /// The path of each span.
    spans: Vec<String>,
    events: Vec<String>,
}

thread_local! {
    /// The spans that this thread is in.
    static CURRENT: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

impl Journal {
    fn has(&self, text: &str) -> bool {
        self.0.lock().unwrap().events.iter().any(|event| event.contains(text))
    }

    /// Returns the path of the innermost span.
    fn current(&self) -> String {
        let innermost = CURRENT.with_borrow(|spans| spans.last().copied());
        let entries = self.0.lock().unwrap();
        innermost.map_or_else(String::new, |id| entries.spans[id as usize - 1].clone())
    }
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        write!(self.0, " {field}={value}").unwrap();
    }
}

/// Finds the path of a request.
struct Path(String);

impl Visit for Path {
    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "url.path" {
            write!(self.0, " {value}").unwrap();
        }
    }
}

impl tracing::Subscriber for Journal {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("brigade") || metadata.target() == "test"
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        let mut name = Path(span.metadata().name().to_owned());
        span.record(&mut name);
        let parent = match span.parent() {
            Some(parent) => self.0.lock().unwrap().spans[parent.into_u64() as usize - 1].clone(),
            None => self.current(),
        };
        let path = if parent.is_empty() { name.0 } else { format!("{parent} > {}", name.0) };
        let mut entries = self.0.lock().unwrap();
        entries.spans.push(path);
        span::Id::from_u64(entries.spans.len() as u64)
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = Text(format!("{}: {}", self.current(), event.metadata().target()));
        event.record(&mut text);
        self.0.lock().unwrap().events.push(text.0);
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, id: &span::Id) {
        CURRENT.with_borrow_mut(|spans| spans.push(id.into_u64()));
    }

    fn exit(&self, _: &span::Id) {
        CURRENT.with_borrow_mut(Vec::pop);
    }
}
