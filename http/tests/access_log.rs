//! The events of the access log. The only test here, since a process has one global subscriber.
#![forbid(unsafe_code)]

mod sockets;

use std::fmt::Write;
use std::sync::{Arc, Mutex};

use brigade_http::middleware::{log, request_id};
use brigade_http::{Router, get as on_get};
use sockets::{TestServer, get};
use tracing::field::{Field, Visit};
use tracing::span;

#[test]
fn each_request_is_logged_once_in_the_span_with_its_id() {
    let lines = Lines::default();
    tracing::subscriber::set_global_default(lines.clone()).unwrap();
    let server = TestServer::start(|| {
        Router::new()
            .route("/", on_get(async || "root"))
            .route("/never", on_get(async || std::future::pending::<()>().await))
            .layer(log)
            .layer(request_id)
    });
    let mut client = server.connect();
    let peer = client.stream.local_addr().unwrap();
    client.send("GET /?secret=1 HTTP/1.1\r\nHost: a\r\nX-Request-Id: one\r\n\r\n");
    assert_eq!(client.response().status, 200);
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nX-Request-Id: two\r\n\r\n");
    assert_eq!(client.response().status, 405);
    client.send(get("/never"));
    drop(client);
    drop(server);
    let lines = lines.0.lock().unwrap();
    let of = |kind: &str| lines.iter().filter(|line| line.contains(kind)).collect::<Vec<_>>();
    assert_eq!(of("span request id=").len(), 3, "{lines:#?}");
    assert!(of("span request id=")[0].contains("id=one"), "{lines:#?}");
    let access = of("brigade::access");
    let begins = [
        "method=GET path=/ route=/ status=200 bytes=4 complete=true request_id=one milliseconds=",
        "method=PUT path=/ route=/ status=405 bytes=23 complete=true request_id=two milliseconds=",
    ];
    assert!(begins.iter().zip(&access).all(|(begin, line)| line.contains(begin)), "{access:#?}");
    assert!(access.iter().all(|line| line.contains(&format!("peer={peer}"))), "{access:#?}");
    assert!(access.iter().all(|line| !line.contains("secret")), "{access:#?}");
    assert!(
        access[2].contains("path=/never route=/never bytes=0 complete=false request_id="),
        "{access:#?}"
    );
    assert!(access[2].contains("ended without a response"), "{access:#?}");
    assert_eq!(access.len(), 3);
}

/// A subscriber that records spans and events as text.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        write!(self.0, " {field}={value}").unwrap();
    }
}

impl tracing::Subscriber for Lines {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("brigade")
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        let mut text = Text(format!("span {}", span.metadata().name()));
        span.record(&mut text);
        let mut lines = self.0.lock().unwrap();
        lines.push(text.0);
        span::Id::from_u64(lines.len() as u64)
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = Text(event.metadata().target().to_owned());
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}
