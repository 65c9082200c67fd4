//! What is logged. The only test here, since a process has one global subscriber.
#![forbid(unsafe_code)]
#![cfg(feature = "files")]

mod sockets;

use std::fmt::{Debug, Write};
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use brigade_http::{
    Body, BoxError, HandlerError, HeaderValue, Request, Response, Router, any, get as on_get,
    middleware, post, serve_file,
};
use futures_util::StreamExt;
use sockets::{TestServer, get};
use tracing::field::{Field, Visit};
use tracing::{Level, span};

/// More requests than are logged in a second.
const MANY: usize = 300;

async fn echo(request: Request) -> Body {
    let (_, body) = request.into_parts();
    Body::stream(body.map(|part| part.map_err(BoxError::from)))
}

fn app() -> Router {
    let upgrade =
        async |_: Request| Response::upgrade(HeaderValue::from_static("websocket"), async |_| {});
    let never = async |_: Request| std::future::pending::<()>().await;
    let file = async |request: Request| {
        let path = request.param_decoded("path").unwrap_or_default().into_owned();
        serve_file(path, &request).await
    };
    let failing = async |request: Request| -> Result<(), HandlerError> {
        let text = request.param_decoded("text").unwrap_or_default().into_owned();
        Err(HandlerError::internal(io::Error::other(text)))
    };
    let panicking = async |request: Request| -> () {
        panic!("{}", request.param_decoded("text").unwrap_or_default());
    };
    Router::new()
        .route("/upgrade", any(upgrade))
        .route("/echo", post(echo))
        .route("/never", on_get(never).timeout(Duration::ZERO))
        .route("/file/{path}", on_get(file))
        .route("/failing/{text}", on_get(failing))
        .route("/panicking/{text}", on_get(panicking))
        .nest(
            "/caught",
            Router::new().route("/{text}", on_get(panicking)).layer(middleware::catch_panic),
        )
}

#[test]
fn a_peer_can_neither_flood_nor_forge_the_log() {
    let lines = Lines::default();
    tracing::subscriber::set_global_default(lines.clone()).unwrap();
    let server = TestServer::start(app);

    // What only the peer causes is not logged above the level DEBUG.
    let mut client = server.connect();
    for (method, headers) in [("GET", ""), ("POST", "Content-Length: 0\r\n"), ("HEAD", "")] {
        client.send(format!("{method} /upgrade HTTP/1.1\r\nHost: a\r\n{headers}\r\n"));
        let head = String::from_utf8(client.until(b"\r\n\r\n")).unwrap().to_lowercase();
        assert!(head.starts_with("http/1.1 426 "), "{head}");
        assert!(head.contains("upgrade: websocket\r\n"), "{head}");
        assert!(head.contains("connection: upgrade\r\n"), "{head}");
        if method != "HEAD" {
            client.until(b"an upgrade\n");
        }
    }
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let all = server.exchange(format!("{head}2\r\nhi\r\nx"));
    assert!(all.starts_with("HTTP/1.1 200 ") && !all.ends_with("0\r\n\r\n"), "{all}");
    assert_eq!(lines.take_loud(), Vec::<String>::new());

    // What a request causes in a handler is limited.
    for path in ["/never", "/failing/x"] {
        client.send(get(path).repeat(MANY));
        (0..MANY).for_each(|_| assert!(client.response().status >= 500));
        let loud = lines.take_loud();
        assert!((1..MANY / 3).contains(&loud.len()), "{} lines", loud.len());
    }

    // What a request contains is escaped.
    let directory = std::env::temp_dir().join(format!("brigade-log-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let forged = "a%0AERROR%20forged%1B%5B2J";
    for path in
        [format!("/failing/{forged}"), format!("/panicking/{forged}"), format!("/caught/{forged}")]
    {
        let all = server.exchange(get(&path).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
        assert!(all.starts_with("HTTP/1.1 500 "), "{path}: {all}");
    }
    // Says that it is longer than it is, so that reading it fails.
    let short = Path::new("/sys/devices/system/cpu/online");
    let is_there = short.exists();
    if is_there {
        let link = directory.join("x\nERROR forged");
        symlink(short, &link).unwrap();
        let path = link.to_str().unwrap().replace('/', "%2F");
        let path = path.replace('\n', "%0A").replace(' ', "%20");
        client.send(get(&format!("/file/{path}")));
        assert_eq!(client.response().status, 500);
    }
    fs::remove_dir_all(&directory).unwrap();
    let loud = lines.take_loud();
    let is_escaped = |line: &String| line.contains("x\\nERROR forged");
    assert!(!is_there || loud.iter().any(is_escaped), "{loud:#?}");
    for line in &loud {
        assert!(!line.contains(|character: char| character.is_control()), "{line:?}");
    }
}

/// A subscriber that records events above the level DEBUG as text.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn take_loud(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
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

impl tracing::Subscriber for Lines {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("brigade::http") && *metadata.level() <= Level::INFO
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = Text(event.metadata().level().to_string());
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}
