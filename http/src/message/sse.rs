//! Streams of server-sent events
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use brigade_runtime::time::{self, Sleep};
use bytes::Bytes;
use futures_core::Stream;
use http::HeaderValue;
use http::header::CACHE_CONTROL;

use crate::message::body::Body;
use crate::message::body_error::BoxError;
use crate::message::response::{IntoResponse, Response};
use crate::message::sse_event::Event;
use crate::protocol::head::RequestHead;

/// Shorter than the timeouts of usual proxies, which close connections that are silent for long.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A response of events for a browser's `EventSource`: a 200 with
/// `Content-Type: text/event-stream` and `Cache-Control: no-cache`.
///
/// After 15 seconds without an event a comment is sent, so that neither side nor a proxy takes the
/// connection for dead. An error of the stream, or an [`Event`] that cannot be sent, closes the
/// connection, and the browser connects again.
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// use brigade_http::{Event, EventError, Request, Router, Sse, get};
/// use futures_util::stream::{self, Stream};
///
/// /// Sends a number each second, and continues where the browser has left off.
/// async fn count(request: Request) -> Sse<impl Stream<Item = Result<Event, EventError>>> {
///     let last = request.last_event_id().and_then(|id| id.parse().ok());
///     let events = stream::unfold(last.unwrap_or(0), async |n: u64| {
///         brigade_runtime::time::sleep(Duration::from_secs(1)).await;
///         Some((Ok(Event::new().id((n + 1).to_string()).data("tick")), n + 1))
///     });
///     Sse::new(events).until_draining()
/// }
///
/// let router = Router::new().route("/events", get(count));
/// ```
#[must_use]
pub struct Sse<S> {
    events: S,
    keep_alive: Option<Duration>,
    until_draining: bool,
}

impl<S, E> Sse<S>
where
    S: Stream<Item = Result<Event, E>> + 'static,
    E: Into<BoxError> + 'static,
{
    /// Creates a response that sends `events`.
    pub fn new(events: S) -> Self {
        Self { events, keep_alive: Some(KEEP_ALIVE), until_draining: false }
    }

    /// Sets after how long a silence a comment is sent, in place of 15 seconds. `None` for never.
    pub fn keep_alive(mut self, silence: impl Into<Option<Duration>>) -> Self {
        self.keep_alive = silence.into();
        self
    }

    /// Ends the response when the server starts to shut down, as [`Body::until_draining`] does. The
    /// browser then connects to another server behind the same name, or to the next one.
    pub fn until_draining(mut self) -> Self {
        self.until_draining = true;
        self
    }
}

impl<S, E> IntoResponse for Sse<S>
where
    S: Stream<Item = Result<Event, E>> + 'static,
    E: Into<BoxError> + 'static,
{
    fn into_response(self) -> Response {
        let Self { events, keep_alive, until_draining } = self;
        let body = Body::stream(Events { events: Box::pin(events), keep_alive, timer: None });
        let body = if until_draining { body.until_draining() } else { body };
        Response::typed("text/event-stream", body)
            .with_header(CACHE_CONTROL, HeaderValue::from_static("no-cache"))
    }
}

impl<S> fmt::Debug for Sse<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sse")
            .field("keep_alive", &self.keep_alive)
            .field("until_draining", &self.until_draining)
            .finish_non_exhaustive()
    }
}

/// Encoded events, and comments while there are none.
struct Events<S> {
    events: Pin<Box<S>>,
    keep_alive: Option<Duration>,
    /// Runs while an event is waited for.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S, E> Stream for Events<S>
where
    S: Stream<Item = Result<Event, E>>,
    E: Into<BoxError>,
{
    type Item = Result<Bytes, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { events, keep_alive, timer } = &mut *self;
        if let Poll::Ready(event) = events.as_mut().poll_next(cx) {
            *timer = None;
            let encode = |event: Event| event.encode().map_err(BoxError::from);
            return Poll::Ready(event.map(|event| event.map_err(E::into).and_then(encode)));
        }
        let Some(silence) = *keep_alive else { return Poll::Pending };
        ready!(timer.get_or_insert_with(|| Box::pin(time::sleep(silence))).as_mut().poll(cx));
        *timer = None;
        Poll::Ready(Some(Ok(Bytes::from_static(b":\n\n"))))
    }
}

impl RequestHead {
    /// Returns the id of the last [`Event`] that a browser received before it had to connect again,
    /// if it is UTF-8.
    #[must_use]
    pub fn last_event_id(&self) -> Option<&str> {
        std::str::from_utf8(self.header("last-event-id")?).ok()
    }
}
