//! The access log.

use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;
use std::time::{Instant, SystemTime};

use http::{Method, StatusCode};
use tracing::{Level, Span};

use crate::message::log_limit::limited_log;
use crate::message::observer::{Observer, ResponseEnd};
use crate::message::request::Request;
use crate::message::response::Response;
use crate::middleware::log_line::{Entry, LogFormat};
use crate::routing::endpoint::Next;

/// Logs each request when its response has been sent, or has been given up: an event of level
/// `INFO` and target `brigade::access`, in the span that surrounds the layer, with these fields:
///
/// | field | content |
/// | --- | --- |
/// | `method` | the method |
/// | `path` | the path as it was sent, without the query, which may contain secrets |
/// | `route` | the pattern of the route, such as `/items/{id}`, if one matched |
/// | `status` | the status that was sent, if there was a response |
/// | `bytes` | how many bytes of the body the socket has accepted, without the framing |
/// | `complete` | whether the socket has accepted the whole response |
/// | `request_id` | the id, if [`request_id`](super::request_id) is an outer layer |
/// | `milliseconds` | from the head of the request to the end of the response, rounded to 0.001 |
/// | `peer` | the address of the client |
///
/// If the client disconnects in the middle of a response, `bytes` is what was sent until then. If
/// the handler is cancelled before it has responded, the event has no status. If it panics, the
/// status is the 500 that the client gets. A connection that is upgraded has the event of its 101,
/// and none of what follows.
///
/// The status and the bytes are those that the connection sends, so they include what outer layers
/// change, unless a layer replaces the body: the response that this layer has seen ends then.
///
/// Costs next to nothing if no subscriber is interested in these events. To write lines without a
/// subscriber, see [`log_to`].
pub async fn log(request: Request, next: Next) -> Response {
    if !tracing::enabled!(target: "brigade::access", Level::INFO) {
        return next.run(request).await;
    }
    logged(request, next, Entry::emit).await
}

/// Writes each request as a line to `out`, with the fields of [`log`] and `time`, the end of the
/// request (RFC 3339, in UTC).
///
/// Each line is written by one call of [`Write::write_all`], which blocks the loop if `out` blocks.
/// For a slow disk or pipe use a writer that passes the lines to a thread, such as the one of
/// `tracing-appender`. An error is logged, and the line is lost.
///
/// # Examples
/// ```no_run
/// use std::io::stdout;
///
/// use brigade_http::middleware::{LogFormat, log_to, request_id};
/// use brigade_http::{Router, Server, get};
///
/// fn main() -> std::io::Result<()> {
///     Server::bind("127.0.0.1:8080")?.run(|| {
///         Router::new()
///             .route("/items/{id}", get(async || "hello"))
///             .layer(log_to(LogFormat::Json, stdout()))
///             .layer(request_id)
///     })?;
///     Ok(())
/// }
/// ```
///
/// A request is then this line, broken here:
///
/// ```json
/// {"time":"2026-07-01T09:30:00.125Z","method":"GET","path":"/items/7","route":"/items/{id}",
///  "status":200,"bytes":5,"complete":true,"request_id":"f00-1","milliseconds":0.084,
///  "peer":"127.0.0.1:49152"}
/// ```
pub fn log_to<W: Write + 'static>(
    format: LogFormat,
    out: W,
) -> impl AsyncFn(Request, Next) -> Response {
    let out = Rc::new(RefCell::new((out, String::new())));
    async move |request: Request, next: Next| {
        let out = out.clone();
        let write = move |entry: &Entry| {
            let (out, line) = &mut *out.borrow_mut();
            line.clear();
            entry.write(format, SystemTime::now(), line);
            if let Err(error) = out.write_all(line.as_bytes()) {
                limited_log!(error, { %error }, "the access log cannot be written");
            }
        };
        logged(request, next, write).await
    }
}

/// Runs the handler, and calls `write` at the end of its response.
async fn logged(request: Request, next: Next, write: impl FnOnce(&Entry) + 'static) -> Response {
    let is_head = request.method() == Method::HEAD;
    let entry = Entry::new(&request);
    let line = Line { entry, began: Instant::now(), span: Span::current(), write: Some(write) };
    let mut response = next.run(request).await;
    let end = move |end: &ResponseEnd| line.end(end);
    response.body.observe(Observer::new(is_head, response.status, end));
    response
}

/// A line of the log. It is written when dropped, so that cancelled handlers are logged too.
struct Line<W: FnOnce(&Entry)> {
    entry: Entry,
    began: Instant,
    /// The line is written in the span of its request.
    span: Span,
    /// Present until the line is written.
    write: Option<W>,
}

impl<W: FnOnce(&Entry)> Line<W> {
    fn end(mut self, end: &ResponseEnd) {
        self.entry.status = Some(end.status);
        self.entry.bytes = end.bytes;
        self.entry.is_complete = end.is_complete;
    }
}

impl<W: FnOnce(&Entry)> Drop for Line<W> {
    fn drop(&mut self) {
        let Some(write) = self.write.take() else { return };
        if self.entry.status.is_none() && std::thread::panicking() {
            self.entry.status = Some(StatusCode::INTERNAL_SERVER_ERROR);
        }
        self.entry.duration = self.began.elapsed();
        self.span.in_scope(|| write(&self.entry));
    }
}
