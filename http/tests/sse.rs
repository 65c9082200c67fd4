//! Server-sent events.
#![forbid(unsafe_code)]

mod sockets;

use std::convert::Infallible;
use std::time::Duration;

use brigade_http::{
    BodyError, BoxError, Event, Method, Request, Response, Router, Service, Sse, get as on_get,
    header,
};
use brigade_runtime::{EventLoop, time};
use futures_util::stream::{self, Stream};
use sockets::{TestServer, get};

const MINUTE: Duration = Duration::from_secs(60);

fn serving<S, E>(make: impl Fn() -> Sse<S> + Clone + 'static) -> Router
where
    S: Stream<Item = Result<Event, E>> + 'static,
    E: Into<BoxError> + 'static,
{
    Router::new().route(
        "/",
        on_get(move || {
            let sse = make();
            async move { sse }
        }),
    )
}

/// Yields an event after each of these pauses.
fn after(pauses: &'static [u64]) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(pauses.iter(), async |mut pauses| {
        let pause = *pauses.next()?;
        time::sleep(Duration::from_secs(pause)).await;
        Some((Ok(Event::new().data(pause.to_string())), pauses))
    })
}

async fn call(service: &Service) -> Response {
    service.call(Request::builder(Method::GET, "/").build().unwrap()).await
}

/// Reads the events of `sse` on a loop whose clock jumps. Returns each part with the second at
/// which it came.
fn read<S, E>(make: impl Fn() -> Sse<S> + Clone + 'static) -> Vec<(u64, String)>
where
    S: Stream<Item = Result<Event, E>> + 'static,
    E: Into<BoxError> + 'static,
{
    let mut event_loop = EventLoop::builder().manual_clock(true).build().unwrap();
    event_loop.run_until_complete(async move {
        let began = time::now();
        let mut response = call(&serving(make).into_service()).await;
        let mut parts = Vec::new();
        while let Some(part) = response.body.chunk().await {
            let text = String::from_utf8(part.unwrap().into()).unwrap();
            parts.push(((time::now() - began).as_secs(), text));
        }
        parts
    })
}

#[test]
fn events_are_sent_when_they_come_and_comments_while_there_are_none() {
    let event = |at: u64, text: &str| (at, format!("data: {text}\n\n"));
    let comment = |at: u64| (at, ":\n\n".to_owned());
    assert_eq!(
        read(|| Sse::new(after(&[1, 14, 40]))),
        [event(1, "1"), event(15, "14"), comment(30), comment(45), event(55, "40")]
    );
    assert_eq!(
        read(|| Sse::new(after(&[100])).keep_alive(MINUTE)),
        [comment(60), event(100, "100")]
    );
    assert_eq!(read(|| Sse::new(after(&[100])).keep_alive(None)), [event(100, "100")]);
}

#[test]
fn the_response_is_an_event_stream_that_is_not_cached() {
    brigade_runtime::run(async {
        let response = call(&serving(|| Sse::new(after(&[]))).into_service()).await;
        let value = |name| response.headers.value(&name).unwrap().to_str().unwrap();
        assert_eq!(value(header::CONTENT_TYPE), "text/event-stream");
        assert_eq!(value(header::CACHE_CONTROL), "no-cache");
    });
}

#[test]
fn an_event_that_cannot_be_sent_ends_the_stream_with_an_error() {
    brigade_runtime::run(async {
        let make = || {
            let bad = Event::new().id("a\nb");
            Sse::new(stream::iter([Ok::<_, Infallible>(Event::new().data("a")), Ok(bad)]))
        };
        let mut response = call(&serving(make).into_service()).await;
        assert_eq!(response.body.chunk().await.unwrap().unwrap(), "data: a\n\n");
        let Some(Err(BodyError::Stream(error))) = response.body.chunk().await else {
            panic!("no error");
        };
        assert_eq!(error.to_string(), "the id of an event contains a line end or NUL");
    });
}

#[test]
fn the_last_id_is_that_of_the_browser() {
    let of = |value: Option<&'static str>| {
        let request = Request::builder(Method::GET, "/");
        let request = match value {
            Some(value) => request.header("Last-Event-ID", value),
            None => request,
        };
        request.build().unwrap().last_event_id().map(str::to_owned)
    };
    assert_eq!(of(Some("17")).as_deref(), Some("17"));
    assert_eq!(of(None), None);
}

#[test]
fn events_end_in_an_orderly_way_when_the_server_drains() {
    let endless = || {
        let first = stream::iter([Ok::<_, Infallible>(Event::new().data("a"))]);
        Sse::new(stream::select(first, stream::pending())).until_draining()
    };
    let mut server = TestServer::start(move || serving(endless));
    let mut client = server.connect();
    client.send(get("/"));
    client.until(b"data: a\n\n\r\n");
    server.begin_shutdown();
    assert_eq!(client.rest(), "0\r\n\r\n");
    assert_eq!(server.join()[0].cancelled, 0);
}
