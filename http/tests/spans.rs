//! The spans of connections and requests, as a subscriber sees them. There is only one test here,
//! since a process has one global subscriber.
#![forbid(unsafe_code)]

mod sockets;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Condvar, Mutex};

use brigade_http::{Body, Response, Router, get as on_get};
use brigade_runtime::task::yield_now;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use sockets::{PATIENCE, TestServer, get};
use tracing::field::{Field, Visit};
use tracing::{Metadata, span};

#[test]
fn events_of_a_handler_are_in_the_span_of_its_request() {
    let journal = Journal::default();
    let early = TestServer::start(app);
    let mut early_client = early.connect();
    early_client.send(get("/steps/early"));
    early_client.response();
    tracing::subscriber::set_global_default(journal.clone()).unwrap();
    let server = TestServer::start(app);

    handlers_that_take_turns(&journal, &server);
    fields_and_ends(&journal, &server);
    panics_resets_and_streams(&journal, &server);

    // There was no subscriber when this connection began.
    early_client.send(get("/steps/late"));
    early_client.response();
    let request = journal.span("late");
    assert!(request.is_closed && request.parent.is_none(), "{request:?}");
    drop((early_client, early, server));
    assert!(journal.spans().iter().all(|span| span.is_closed), "{:#?}", journal.spans());
    requests_end_before_their_connections(&journal);
}

fn app() -> Router {
    Router::new()
        .route(
            "/steps/{name}",
            on_get(async |request: brigade_http::Request| {
                let name = request.param("name").unwrap().to_owned();
                for step in 0..3 {
                    tracing::info!(target: "test", "{name} {step}");
                    yield_now().await;
                }
            }),
        )
        .route(
            "/panic/{name}",
            on_get(async || -> Response {
                yield_now().await;
                panic!("as asked")
            }),
        )
        .route(
            "/never/{name}",
            on_get(async || {
                let _guard = TellsAtItsEnd;
                tracing::info!(target: "test", "never began");
                std::future::pending::<()>().await;
            }),
        )
        .route(
            "/stream/{name}",
            on_get(async || {
                Response::new(Body::stream(stream::iter(["one", "two"]).map(|part| {
                    tracing::info!(target: "test", "part {part}");
                    Ok::<_, std::io::Error>(Bytes::from(part))
                })))
            }),
        )
}

struct TellsAtItsEnd;

impl Drop for TellsAtItsEnd {
    fn drop(&mut self) {
        tracing::info!(target: "test", "never ended");
    }
}

/// Two connections whose handlers are polled in turn.
fn handlers_that_take_turns(journal: &Journal, server: &TestServer) {
    let (mut a, mut b) = (server.connect(), server.connect());
    // Both requests are repeated until their polls alternate; nearly always they do at once.
    for round in 0..1000 {
        let names = [format!("a{round}"), format!("b{round}")];
        a.send(get(&format!("/steps/{}", names[0])));
        b.send(get(&format!("/steps/{}", names[1])));
        assert_eq!((a.response().status, b.response().status), (200, 200));
        let events = journal.events(|text| names.iter().any(|name| text.starts_with(name)));
        assert_eq!(events.len(), 6, "{events:?}");
        for (text, path) in &events {
            let name = text.split(' ').next().unwrap();
            assert_eq!(path.last().unwrap(), &format!("/steps/{name}"), "{events:?}");
            assert_eq!(path.len(), 2, "the connection and the request: {events:?}");
        }
        let is_a = |at: usize| events[at].0.starts_with('a');
        if (1..6).filter(|at| is_a(*at) != is_a(at - 1)).count() > 1 {
            return;
        }
    }
    panic!("the handlers never took turns");
}

fn fields_and_ends(journal: &Journal, server: &TestServer) {
    let mut client = server.connect();
    let peer = client.stream.local_addr().unwrap();
    client.send(get("/steps/fields?secret=1") + &get("/nowhere"));
    assert_eq!((client.response().status, client.response().status), (200, 404));
    let request = journal.span("/steps/fields");
    let field = |name: &str| request.fields.get(name).map(String::as_str);
    assert_eq!(request.name, "request");
    assert_eq!(field("http.request.method"), Some("GET"));
    assert_eq!(field("url.path"), Some("/steps/fields"));
    assert_eq!(field("http.route"), Some("/steps/{name}"));
    assert_eq!(field("http.response.status_code"), Some("200"));
    let unrouted = journal.span("/nowhere");
    assert_eq!(unrouted.fields.get("http.route"), None);
    assert_eq!(unrouted.fields["http.response.status_code"], "404");
    assert!(request.is_closed && unrouted.is_closed);

    let connection = journal.spans()[request.parent.unwrap()].clone();
    assert_eq!(connection.name, "connection");
    assert_eq!(connection.fields["client.address"], "127.0.0.1");
    assert_eq!(connection.fields["client.port"], peer.port().to_string());
    assert_eq!(connection.fields["event_loop"], "loop-0");
    assert!(!connection.is_closed);
    drop(client);
    journal.wait_until(|notes| notes.spans[request.parent.unwrap()].is_closed);
}

fn panics_resets_and_streams(journal: &Journal, server: &TestServer) {
    let mut client = server.connect();
    client.send(get("/panic/loud"));
    assert_eq!(client.response().status, 500);
    let request = journal.span("/panic/loud");
    assert!(request.is_closed);
    assert_eq!(request.fields["http.response.status_code"], "500");
    let told = journal.events(|text| text.contains("panicked"));
    assert_eq!(told[0].1.last().unwrap(), "/panic/loud");

    let mut client = server.connect();
    client.send(get("/stream/parts"));
    assert_eq!(client.response().text(), "onetwo");
    let parts = journal.events(|text| text.starts_with("part "));
    assert_eq!(parts.len(), 2);
    assert!(parts.iter().all(|(_, path)| path.last().unwrap() == "/stream/parts"), "{parts:?}");

    let mut client = server.connect();
    client.send(get("/steps/unread") + &get("/never/answered"));
    journal.wait_until(|notes| notes.events.iter().any(|(text, _)| text == "never began"));
    let request = journal.span("/never/answered");
    assert!(!request.is_closed);
    // Closing with received bytes unread sends a reset (RFC 1122 section 4.2.2.13).
    client.stream.peek(&mut [0]).unwrap();
    drop(client);
    journal.wait_until(|notes| notes.spans[request.parent.unwrap()].is_closed);
    let request = journal.span("/never/answered");
    assert!(request.is_closed && !request.fields.contains_key("http.response.status_code"));
    let ended = journal.events(|text| text == "never ended");
    assert_eq!(ended[0].1.last().unwrap(), "/never/answered");
}

/// Also a request that was in flight when its connection ended.
fn requests_end_before_their_connections(journal: &Journal) {
    let (spans, closings) = journal.change(|notes| (notes.spans.clone(), notes.closings.clone()));
    let closing = |wanted: usize| closings.iter().position(|closed| *closed == wanted).unwrap();
    let has_parent = |index: &usize| spans[*index].parent.is_some();
    for request in (0..spans.len()).filter(has_parent) {
        let connection = spans[request].parent.unwrap();
        assert!(closing(request) < closing(connection), "{:#?}", spans[request]);
    }
}

thread_local! {
    /// The spans that this thread has entered.
    static ENTERED: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// Records all spans and events of the server and of the test.
#[derive(Clone, Default)]
struct Journal {
    notes: Arc<(Mutex<Notes>, Condvar)>,
}

#[derive(Default)]
struct Notes {
    spans: Vec<Noted>,
    /// The text of each event, and the paths and names of the spans it is in.
    events: Vec<(String, Vec<String>)>,
    /// The indices of the closed spans, the first closed first.
    closings: Vec<usize>,
}

#[derive(Clone, Debug, Default)]
struct Noted {
    name: &'static str,
    fields: BTreeMap<String, String>,
    parent: Option<usize>,
    handles: usize,
    is_closed: bool,
}

impl Journal {
    fn change<R>(&self, f: impl FnOnce(&mut Notes) -> R) -> R {
        let result = f(&mut self.notes.0.lock().unwrap());
        self.notes.1.notify_all();
        result
    }

    fn spans(&self) -> Vec<Noted> {
        self.change(|notes| notes.spans.clone())
    }

    /// Returns the span of the only request whose path ends with `path`.
    fn span(&self, path: &str) -> Noted {
        let spans = self.spans();
        let is_it =
            |span: &&Noted| span.fields.get("url.path").is_some_and(|known| known.ends_with(path));
        let found: Vec<_> = spans.iter().filter(is_it).collect();
        assert_eq!(found.len(), 1, "{path}: {spans:#?}");
        found[0].clone()
    }

    fn events(&self, is_wanted: impl Fn(&str) -> bool) -> Vec<(String, Vec<String>)> {
        self.change(|notes| {
            notes.events.iter().filter(|(text, _)| is_wanted(text)).cloned().collect()
        })
    }

    fn wait_until(&self, holds: impl Fn(&Notes) -> bool) {
        let (notes, changed) = &*self.notes;
        let waits = changed.wait_timeout_while(notes.lock().unwrap(), PATIENCE, |n| !holds(n));
        let (notes, waited) = waits.unwrap();
        assert!(!waited.timed_out(), "{:#?}", notes.spans);
    }
}

impl tracing::Subscriber for Journal {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        ["brigade::http", "test"].contains(&metadata.target())
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        let mut noted = Noted { name: attributes.metadata().name(), ..Noted::default() };
        noted.parent = ENTERED.with_borrow(|entered| entered.last().copied());
        noted.handles = 1;
        attributes.record(&mut Fields(&mut noted.fields));
        self.change(|notes| {
            notes.spans.push(noted);
            span::Id::from_u64(notes.spans.len() as u64)
        })
    }

    fn record(&self, id: &span::Id, values: &span::Record<'_>) {
        self.change(|notes| values.record(&mut Fields(&mut notes.spans[index(id)].fields)));
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = BTreeMap::new();
        event.record(&mut Fields(&mut fields));
        let text = fields.remove("message").unwrap_or_default();
        let entered = ENTERED.with_borrow(Clone::clone);
        self.change(|notes| {
            let name = |index: &usize| {
                let span = &notes.spans[*index];
                span.fields.get("url.path").cloned().unwrap_or_else(|| span.name.to_owned())
            };
            let path = entered.iter().map(name).collect();
            notes.events.push((text, path));
        });
    }

    fn enter(&self, id: &span::Id) {
        ENTERED.with_borrow_mut(|entered| entered.push(index(id)));
    }

    fn exit(&self, id: &span::Id) {
        let left = ENTERED.with_borrow_mut(Vec::pop);
        assert_eq!(left, Some(index(id)), "spans are left in the order opposite to entering");
    }

    fn clone_span(&self, id: &span::Id) -> span::Id {
        self.change(|notes| notes.spans[index(id)].handles += 1);
        id.clone()
    }

    fn try_close(&self, id: span::Id) -> bool {
        self.change(|notes| {
            let span = &mut notes.spans[index(&id)];
            span.handles -= 1;
            span.is_closed = span.handles == 0;
            if !span.is_closed {
                return false;
            }
            notes.closings.push(index(&id));
            true
        })
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
}

fn index(id: &span::Id) -> usize {
    id.into_u64() as usize - 1
}

struct Fields<'a>(&'a mut BTreeMap<String, String>);

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}
