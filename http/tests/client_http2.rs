//! The client over HTTP/2, with our server.
#![forbid(unsafe_code)]
#![cfg(all(feature = "tls", feature = "http2"))]

mod authority;
mod sockets;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use brigade_http::{
    Body, BodyError, BodyLength, BoxError, Bytes, ClientBuilder, ClientErrorKind, HeaderMap,
    Limits, Part, ProtocolError, Redirect, Request, Response, Router, Server, StatusCode,
    TimeoutKind, Timeouts, Version, any, get, post,
};
use brigade_runtime::{gather, local, run, spawn, task, time};
use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use futures_util::{StreamExt, stream};
use http::HeaderValue;

use authority::Authority;
use sockets::{PATIENCE, TestServer};

const LARGE: usize = 3_000_000;
/// RFC 9113 section 7.
const PROTOCOL_ERROR: u32 = 0x1;
const INTERNAL_ERROR: u32 = 0x2;

/// Sends when it is dropped.
struct OnDrop(mpsc::Sender<()>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

fn start_with(
    authority: &Authority,
    timeouts: Timeouts,
    app: impl Fn() -> Router + Clone + Send + 'static,
) -> (TestServer, String) {
    let config = authority.config();
    let options = |server: Server| server.loops(1).pin(false).timeouts(timeouts).tls(config);
    let server = TestServer::start_with(options, app);
    let url = format!("https://localhost:{}", server.address.port());
    (server, url)
}

/// Runs `client` with a builder and the URL of a server.
fn with_server(
    app: impl Fn() -> Router + Clone + Send + 'static,
    client: impl AsyncFnOnce(ClientBuilder, String) + 'static,
) {
    let authority = Authority::new();
    let (server, url) = start_with(&authority, Timeouts::default(), app);
    run(async move { client(authority.client(), url).await });
    drop(server);
}

fn routes() -> Router {
    let trailers = async |mut request: Request| {
        let body = request.body_mut().collect(1000).await?;
        let of_request = request.body_mut().trailers().and_then(|all| all.get("x-sum")).cloned();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-echo", of_request.unwrap_or(HeaderValue::from_static("none")));
        let parts =
            stream::iter([Ok::<_, BoxError>(Part::Data(body)), Ok(Part::Trailers(trailers))]);
        Ok::<_, BodyError>(Body::parts(parts, BodyLength::Unknown))
    };
    Router::new()
        .route("/", get(async |request: Request| format!("{:?}", request.version())))
        .route("/head", any(async || ([("x-a", "1")], "twelve bytes")))
        .route("/large", get(async || vec![b'x'; LARGE]))
        .route("/echo", post(async |body: Body| body))
        .route("/trailers", post(trailers))
        .route("/nothing", get(async || StatusCode::NO_CONTENT))
        .route("/same", get(async || StatusCode::NOT_MODIFIED))
        .route("/moved", get(async || Redirect::to("/")))
        .route("/upgrade", get(async |_: Request| upgrade()))
        .route("/wait", get(std::future::pending::<()>))
}

fn upgrade() -> Response {
    Response::upgrade(HeaderValue::from_static("echo"), async |mut io| {
        let mut buffer = [0; 5];
        io.read_exact(&mut buffer).await.unwrap();
        io.write_all(&buffer).await.unwrap();
        io.close().await.unwrap();
    })
}

/// Waits until `is_so`, which a test can only look at.
async fn until(mut is_so: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !is_so() {
        assert!(std::time::Instant::now() < deadline, "it does not happen");
        time::sleep(Duration::from_millis(1)).await;
    }
}

/// Returns the number of tasks that drive connections.
fn drivers() -> usize {
    let is_driver = |name: Option<&str>| name == Some("HTTP/2 client connection");
    task::all().iter().filter(|task| is_driver(task.label.name())).count()
}

#[test]
fn concurrent_requests_share_one_connection_from_the_start() {
    with_server(routes, async |builder, url| {
        let client = builder.build();
        let requests = (0..50).map(|_| async {
            let mut response = client.get(format!("{url}/")).send().await.unwrap();
            assert_eq!(response.version(), Version::HTTP_2);
            response.text().await.unwrap()
        });
        let texts = gather(requests.collect::<Vec<_>>()).await;
        assert!(texts.iter().all(|text| text == "HTTP/2.0"), "{texts:?}");
        assert_eq!((client.connections_opened(), client.connections_idle()), (1, 1));
    });
}

#[test]
fn a_client_that_is_for_http1_offers_nothing_else() {
    with_server(routes, async |builder, url| {
        let client = builder.http1_only().build();
        let mut response = client.get(format!("{url}/")).send().await.unwrap();
        assert_eq!(response.version(), Version::HTTP_11);
        assert_eq!(response.text().await.unwrap(), "HTTP/1.1");
    });
}

#[test]
fn large_bodies_pass_in_both_directions() {
    with_server(routes, async |builder, url| {
        let client = builder.build();
        let mut response = client.get(format!("{url}/large")).send().await.unwrap();
        assert_eq!(response.body_remaining(), Some(LARGE as u64));
        assert_eq!(response.bytes().await.unwrap().len(), LARGE);
        let body = vec![b'y'; 1_000_000];
        let echo = client.post(format!("{url}/echo")).body(body.clone());
        let echoed = echo.send().await.unwrap().bytes().await.unwrap();
        assert!(echoed == body, "{} bytes", echoed.len());
        assert_eq!(client.connections_opened(), 1);
    });
}

#[test]
fn both_bodies_are_streamed_at_the_same_time() {
    with_server(routes, async |builder, url| {
        let client = builder.build();
        let (sender, parts) = local::unbounded_channel();
        let parts = stream::unfold(parts, async |mut parts: local::Receiver<Bytes>| {
            Some((Ok::<_, BoxError>(parts.recv().await?), parts))
        });
        let request = client.post(format!("{url}/echo")).body(Body::stream(parts));
        let mut response = request.send().await.unwrap();
        for part in ["one", "two", "three"] {
            sender.try_send(part.into()).unwrap();
            assert_eq!(response.chunk().await.unwrap().unwrap(), part);
        }
        drop(sender);
        assert!(response.chunk().await.is_none());
    });
}

#[test]
fn a_response_that_is_not_read_stops_the_server() {
    let sent = Arc::new(AtomicUsize::new(0));
    let of_server = sent.clone();
    let app = move || {
        let sent = of_server.clone();
        let endless = async move || {
            let sent = sent.clone();
            Body::stream(stream::repeat_with(move || {
                sent.fetch_add(8192, Ordering::Relaxed);
                Ok::<_, BoxError>(Bytes::from(vec![1; 8192]))
            }))
        };
        Router::new().route("/", get(endless)).route("/other", get(async || "other"))
    };
    with_server(app, async move |builder, url| {
        let client = builder.build();
        let mut response = client.get(&url).send().await.unwrap();
        response.chunk().await.unwrap().unwrap();
        // The window is used up when the server has made no more for a while; others are served.
        let mut before = usize::MAX;
        until(|| std::mem::replace(&mut before, sent.load(Ordering::Relaxed)) == before).await;
        let other = client.get(format!("{url}/other")).send().await.unwrap().text().await;
        assert_eq!(other.unwrap(), "other");
        let stopped = sent.load(Ordering::Relaxed);
        assert!(stopped < 4 * 1024 * 1024, "{stopped} bytes");
        let mut read = 0;
        while read < 2 * stopped {
            read += response.chunk().await.unwrap().unwrap().len();
        }
    });
}

#[test]
fn a_server_that_does_not_read_stops_the_upload() {
    let app =
        || Router::new().route("/", post(async |_: Request| std::future::pending::<()>().await));
    with_server(app, async |builder, url| {
        let made = Rc::new(Cell::new(0));
        let of_body = made.clone();
        let body = Body::stream(stream::repeat_with(move || {
            of_body.update(|made| made + 8192);
            Ok::<_, BoxError>(Bytes::from(vec![1; 8192]))
        }));
        let client = builder.write_timeout(Duration::from_millis(200)).build();
        let error = client.post(&url).body(body).send().await.unwrap_err();
        let kind = error.kind();
        assert!(matches!(kind, ClientErrorKind::Timeout(TimeoutKind::Write, _)), "{error:?}");
        assert!((8192..4 * 1024 * 1024).contains(&made.get()), "{made:?}");
    });
}

#[test]
fn trailers_pass_in_both_directions() {
    with_server(routes, async |builder, url| {
        let client = builder.build();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("42"));
        let parts = [Ok::<_, BoxError>(Part::Data("body".into())), Ok(Part::Trailers(trailers))];
        let body = Body::parts(stream::iter(parts), BodyLength::Unknown);
        let request = client.post(format!("{url}/trailers")).header("te", "trailers").body(body);
        let mut response = request.send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), "body");
        assert_eq!(response.trailers().unwrap()["x-echo"], "42");
    });
}

#[test]
fn a_proxy_forwards_to_a_server_of_http2() {
    let authority = Arc::new(Authority::new());
    let (backend, url) = start_with(&authority, Timeouts::default(), routes);
    let proxy = TestServer::start(move || {
        let (client, url) = (authority.client().build(), url.clone());
        Router::new().fallback(async move |request: Request| {
            let url = format!("{url}{}", request.path());
            client.forward(request, url).send().await
        })
    });
    let mut client = proxy.connect();
    client.send(sockets::get("/"));
    assert_eq!(client.response().text(), "HTTP/2.0");
    let head = "POST /trailers HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: te\r\n";
    client
        .send(format!("{head}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n"));
    let received = String::from_utf8(client.until(b"\r\n0\r\n")).unwrap();
    assert!(received.contains("\r\n2\r\nhi\r\n"), "{received}");
    assert_eq!(client.until(b"\r\n\r\n"), b"x-echo: 7\r\n\r\n");
    client.send("HEAD /head HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let head = client.rest().to_lowercase();
    assert!(head.contains("content-length: 12\r\n") && head.contains("x-a: 1\r\n"), "{head}");
    drop((proxy, backend));
}

#[test]
fn responses_without_a_body_are_complete_at_once() {
    with_server(routes, async |builder, url| {
        let client = builder.build();
        let mut response = client.head(format!("{url}/head")).send().await.unwrap();
        assert_eq!(response.header("content-length"), Some(&b"12"[..]));
        assert_eq!(client.connections_idle(), 1);
        assert_eq!(response.bytes().await.unwrap(), "");
        for (path, status) in [("/nothing", 204), ("/same", 304)] {
            let mut response = client.get(format!("{url}{path}")).send().await.unwrap();
            assert_eq!(response.status().as_u16(), status);
            assert_eq!(client.connections_idle(), 1);
            assert_eq!(response.bytes().await.unwrap(), "");
        }
        assert_eq!(client.connections_opened(), 1);
    });
}

#[test]
fn redirects_are_followed_on_the_same_connection() {
    with_server(routes, async |builder, url| {
        let client = builder.redirects(3).build();
        let mut response = client.get(format!("{url}/moved")).send().await.unwrap();
        assert_eq!(response.url(), format!("{url}/"));
        assert_eq!(response.text().await.unwrap(), "HTTP/2.0");
        assert_eq!(client.connections_opened(), 1);
    });
}

#[cfg(feature = "compression")]
#[test]
fn responses_are_decompressed() {
    use brigade_http::middleware::{CompressionOptions, compression};
    let text = "a long text, ".repeat(1000);
    let of_server = text.clone();
    let app = move || {
        let text = of_server.clone();
        Router::new()
            .route("/", get(async move || text.clone()))
            .layer(compression(CompressionOptions::default()))
    };
    with_server(app, async move |builder, url| {
        let client = builder.decompress(true).build();
        let mut response = client.get(&url).send().await.unwrap();
        assert_eq!(response.header("content-encoding"), None);
        assert_eq!(response.body_remaining(), None);
        assert_eq!(response.text().await.unwrap(), text);
    });
}

#[test]
fn a_request_for_an_upgrade_goes_over_http1() {
    with_server(routes, async |builder, url| {
        let client = builder.build();
        let mut response = client.get(format!("{url}/")).send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), "HTTP/2.0");
        let request = client.get(format!("{url}/upgrade")).header("upgrade", "echo");
        let mut io = request.send().await.unwrap().upgrade().unwrap();
        io.write_all(b"early").await.unwrap();
        io.flush().await.unwrap();
        let mut received = Vec::new();
        io.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"early");
        let mut response = client.get(format!("{url}/")).send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), "HTTP/2.0");
        assert_eq!(client.connections_opened(), 2);
    });
}

#[test]
fn a_response_or_a_request_that_is_dropped_ends_its_stream_only() {
    let (dropped, is_dropped) = mpsc::channel();
    let app = move || {
        let (of_body, of_handler) = (dropped.clone(), dropped.clone());
        let endless = async move || {
            let guard = OnDrop(of_body.clone());
            Body::stream(stream::repeat_with(move || {
                let _guard = &guard;
                Ok::<_, BoxError>(Bytes::from_static(&[0; 8192]))
            }))
        };
        let wait = async move || {
            let _guard = OnDrop(of_handler.clone());
            std::future::pending::<()>().await;
        };
        routes().route("/endless", get(endless)).route("/hang", get(wait))
    };
    with_server(app, async move |builder, url| {
        let client = builder.build();
        let mut response = client.get(format!("{url}/endless")).send().await.unwrap();
        response.chunk().await.unwrap().unwrap();
        drop(response);
        until(|| is_dropped.try_recv().is_ok()).await;
        let request = client.get(format!("{url}/hang")).send();
        assert!(time::timeout(Duration::from_millis(50), request).await.is_err());
        until(|| is_dropped.try_recv().is_ok()).await;
        let mut response = client.get(format!("{url}/")).send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), "HTTP/2.0");
        assert_eq!((client.connections_opened(), client.connections_idle()), (1, 1));
    });
}

#[test]
fn an_idle_connection_is_closed_at_its_timeout_or_on_request() {
    with_server(routes, async |builder, url| {
        let client = builder.idle_timeout(Duration::from_millis(50)).build();
        drop(client.get(format!("{url}/")).send().await.unwrap());
        until(|| client.connections_idle() == 0 && drivers() == 0).await;
        let mut waiting = client.get(format!("{url}/large")).send().await.unwrap();
        drop(client.get(format!("{url}/")).send().await.unwrap());
        client.close_idle();
        assert_eq!(waiting.bytes().await.unwrap().len(), LARGE, "it was in use");
        assert_eq!(client.connections_idle(), 1);
        client.close_idle();
        assert_eq!(client.connections_idle(), 0);
        until(|| drivers() == 0).await;
        assert_eq!(client.connections_opened(), 2);
    });
}

#[test]
fn no_connection_is_kept_idle_if_none_may_be() {
    type Options = fn(ClientBuilder) -> ClientBuilder;
    let options: [Options; 3] = [
        |builder| builder.idle_max(0),
        |builder| builder.idle_per_host_max(0),
        |builder| builder.idle_timeout(Duration::ZERO),
    ];
    for option in options {
        with_server(routes, async move |builder, url| {
            let client = option(builder).build();
            for opened in 1..=2 {
                let mut response = client.get(format!("{url}/")).send().await.unwrap();
                assert_eq!(response.text().await.unwrap(), "HTTP/2.0");
                until(|| drivers() == 0).await;
                assert_eq!(client.connections_opened(), opened);
            }
        });
    }
}

#[test]
fn idle_connections_to_several_servers_are_limited() {
    let authority = Authority::new();
    let servers = [(); 2].map(|()| start_with(&authority, Timeouts::default(), routes));
    let urls = servers.each_ref().map(|(_, url)| url.clone());
    run(async move {
        let client = authority.client().idle_max(1).build();
        for url in &urls {
            let mut response = client.get(format!("{url}/")).send().await.unwrap();
            assert_eq!(response.text().await.unwrap(), "HTTP/2.0");
            assert_eq!(client.connections_idle(), 1);
        }
        until(|| drivers() == 1).await;
        // The oldest one is closed, and not the one that was just used.
        let mut response = client.get(&urls[1]).send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), "HTTP/2.0");
        assert_eq!(client.connections_opened(), 2);
    });
    drop(servers);
}

#[test]
fn a_connection_ends_with_the_client_and_its_last_response() {
    with_server(routes, async |builder, url| {
        let client = builder.build();
        let mut response = client.get(format!("{url}/large")).send().await.unwrap();
        let waiting = spawn(client.get(format!("{url}/wait")).send());
        task::yield_now().await;
        drop(client);
        assert_eq!(drivers(), 1);
        assert_eq!(response.bytes().await.unwrap().len(), LARGE);
        waiting.abort();
        drop((response, waiting));
        until(|| drivers() == 0).await;
    });
}

#[test]
fn a_connection_that_the_server_has_closed_is_replaced() {
    let authority = Authority::new();
    let timeouts = Timeouts { keep_alive: Duration::from_millis(50), ..Timeouts::default() };
    let (server, url) = start_with(&authority, timeouts, routes);
    run(async move {
        let client = authority.client().build();
        for opened in 1..=2 {
            let request = client.post(format!("{url}/echo")).body("text");
            assert_eq!(request.send().await.unwrap().text().await.unwrap(), "text");
            assert_eq!(client.connections_opened(), opened);
            until(|| client.connections_idle() == 0).await;
        }
    });
    drop(server);
}

#[test]
fn a_request_in_progress_survives_the_drain_of_its_server() {
    let authority = Authority::new();
    let (started, has_started) = mpsc::channel();
    let app = move || {
        let started = started.clone();
        let slow = async move || {
            started.send(()).unwrap();
            time::sleep(Duration::from_millis(50)).await;
            "done"
        };
        Router::new().route("/", get(slow))
    };
    let (mut server, url) = start_with(&authority, Timeouts::default(), app);
    let client = authority.client();
    let request = std::thread::spawn(move || {
        run(async move {
            let client = client.build();
            let text = client.get(&url).send().await.unwrap().text().await.unwrap();
            until(|| client.connections_idle() == 0).await;
            text
        })
    });
    has_started.recv_timeout(PATIENCE).unwrap();
    server.begin_shutdown();
    assert_eq!(request.join().unwrap(), "done");
    assert_eq!(server.join()[0].cancelled, 0);
}

#[test]
fn a_client_that_outlives_its_loop_connects_anew() {
    let authority = Authority::new();
    let (server, url) = start_with(&authority, Timeouts::default(), routes);
    let client = authority.client().build();
    for opened in 1..=2 {
        let (of_loop, url) = (client.clone(), url.clone());
        run(async move {
            let mut response = of_loop.get(format!("{url}/")).send().await.unwrap();
            assert_eq!(response.text().await.unwrap(), "HTTP/2.0");
        });
        assert_eq!((client.connections_opened(), client.connections_idle()), (opened, 0));
    }
    drop(server);
}

#[test]
fn a_response_may_be_dropped_outside_of_a_loop() {
    let authority = Authority::new();
    let (server, url) = start_with(&authority, Timeouts::default(), routes);
    let client = authority.client().build();
    let of_loop = client.clone();
    let large = url.clone();
    let response = run(async move { of_loop.get(format!("{large}/large")).send().await.unwrap() });
    drop(response);
    let text = run(async move {
        let mut response = client.get(format!("{url}/")).send().await.unwrap();
        response.text().await.unwrap()
    });
    assert_eq!(text, "HTTP/2.0");
    drop(server);
}

#[test]
fn many_responses_that_are_dropped_early_do_not_cost_the_connection() {
    let app = || {
        let endless = async || {
            Body::stream(stream::repeat(Bytes::from_static(&[0; 8192])).map(Ok::<_, BoxError>))
        };
        routes().route("/endless", get(endless))
    };
    with_server(app, async |builder, url| {
        let client = builder.build();
        for _ in 0..5 {
            let requests = (0..50).map(|_| async {
                let mut response = client.get(format!("{url}/endless")).send().await.unwrap();
                response.chunk().await.unwrap().unwrap();
            });
            gather(requests.collect::<Vec<_>>()).await;
        }
        let mut response = client.get(format!("{url}/")).send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), "HTTP/2.0");
        assert_eq!(client.connections_opened(), 1);
    });
}

#[test]
fn a_response_beyond_a_limit_is_an_error() {
    let app = || {
        let trailers = async || {
            let mut trailers = HeaderMap::new();
            trailers.insert("x-a", HeaderValue::try_from("x".repeat(2000)).unwrap());
            let parts = stream::iter([Ok::<_, BoxError>(Part::Trailers(trailers))]);
            Body::parts(parts, BodyLength::Unknown)
        };
        routes()
            .route("/heads", get(async || ([("x-a", "x".repeat(2000))], "")))
            .route("/larger", get(async || ([("x-a", "x".repeat(8000))], "")))
            .route("/late", get(trailers))
    };
    with_server(app, async |builder, url| {
        let limits = Limits { head_bytes_max: 1000, trailer_bytes_max: 1000, ..Limits::default() };
        let client = builder.limits(limits).body_bytes_max(1000).build();
        let error = client.get(format!("{url}/heads")).send().await.unwrap_err();
        let too_large = ClientErrorKind::Protocol(ProtocolError::HeadTooLarge);
        assert_eq!(error.kind().to_string(), too_large.to_string());
        // h2 refuses what is larger than the client has announced.
        let error = client.get(format!("{url}/larger")).send().await.unwrap_err();
        assert!(matches!(error.kind(), ClientErrorKind::Http2(PROTOCOL_ERROR)), "{error:?}");
        let mut response = client.get(format!("{url}/late")).send().await.unwrap();
        let error = response.bytes().await.unwrap_err();
        let too_large = ClientErrorKind::Protocol(ProtocolError::TrailersTooLarge);
        assert_eq!(error.kind().to_string(), too_large.to_string());
        let mut response = client.get(format!("{url}/large")).send().await.unwrap();
        let error = response.chunk().await.unwrap().unwrap_err();
        assert!(matches!(error.kind(), ClientErrorKind::TooLarge(1000)), "{error}");
        let echo = client.post(format!("{url}/echo")).body(Body::stream(stream::iter([
            Ok::<_, BoxError>(Bytes::from_static(&[0; 700])),
            Ok(Bytes::from_static(&[0; 700])),
        ])));
        let error = echo.send().await.unwrap().bytes().await.unwrap_err();
        assert!(matches!(error.kind(), ClientErrorKind::TooLarge(1000)), "{error}");
        let mut response = client.get(format!("{url}/")).send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), "HTTP/2.0");
        assert_eq!(client.connections_opened(), 1);
    });
}

#[test]
fn timeouts_are_those_of_http1() {
    let app = || {
        let half = async || {
            let first = stream::iter([Ok::<_, BoxError>(Bytes::from_static(b"half"))]);
            Body::stream(first.chain(stream::pending()))
        };
        routes().route("/half", get(half))
    };
    with_server(app, async |builder, url| {
        let short = Duration::from_millis(300);
        let client = builder.clone().head_timeout(short).body_gap_timeout(short).build();
        let kind = |error: &brigade_http::ClientError| match error.kind() {
            ClientErrorKind::Timeout(kind, _) => *kind,
            kind => panic!("{kind}"),
        };
        let error = client.get(format!("{url}/wait")).send().await.unwrap_err();
        assert_eq!(kind(&error), TimeoutKind::Head);
        let mut response = client.get(format!("{url}/half")).send().await.unwrap();
        assert_eq!(response.chunk().await.unwrap().unwrap(), "half");
        let error = response.chunk().await.unwrap().unwrap_err();
        assert_eq!(kind(&error), TimeoutKind::Body);
        let request = builder.build().get(format!("{url}/half")).timeout(2 * short);
        let error = request.send().await.unwrap().bytes().await.unwrap_err();
        assert_eq!(kind(&error), TimeoutKind::Total);
    });
}

#[test]
fn a_body_that_fails_at_the_server_is_an_error_of_its_stream() {
    let app = || {
        let failing = async || {
            let parts = [Ok(Bytes::from_static(b"half")), Err(BoxError::from("failed"))];
            Body::stream(stream::iter(parts))
        };
        routes().route("/failing", get(failing))
    };
    with_server(app, async |builder, url| {
        let client = builder.build();
        // What was queued of the response may be dropped with the stream.
        let error = match client.get(format!("{url}/failing")).send().await {
            Ok(mut response) => response.bytes().await.unwrap_err(),
            Err(error) => error,
        };
        assert!(matches!(error.kind(), ClientErrorKind::Reset(INTERNAL_ERROR)), "{error:?}");
        assert!(error.to_string().ends_with("the server has reset the request: INTERNAL_ERROR"));
        let mut response = client.get(format!("{url}/")).send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), "HTTP/2.0");
        assert_eq!(client.connections_opened(), 1);
    });
}

#[test]
fn a_body_that_fails_or_has_another_length_resets_its_stream() {
    let (ended, has_ended) = mpsc::channel();
    let app = move || {
        let ended = ended.clone();
        let read = async move |mut request: Request| {
            ended.send(request.body_mut().collect(1000).await.is_ok()).unwrap();
        };
        routes().route("/read", post(read))
    };
    with_server(app, async move |builder, url| {
        let client = builder.build();
        let parts = |last: Result<Bytes, BoxError>| {
            stream::iter([Ok(Bytes::from_static(b"12345")), last])
                .then(async |part| (time::sleep(Duration::from_millis(5)).await, part).1)
        };
        let failing = || Body::stream(parts(Err("failed".into())));
        let error = client.post(format!("{url}/read")).body(failing()).send().await.unwrap_err();
        assert!(matches!(error.kind(), ClientErrorKind::RequestBody(_)), "{error:?}");
        let long = || Body::stream_with_length(7, parts(Ok("678".into())));
        let error = client.post(format!("{url}/read")).body(long()).send().await.unwrap_err();
        assert!(matches!(error.kind(), ClientErrorKind::Encode(_)), "{error:?}");
        let short = || Body::stream(parts(Ok("678".into())));
        let request = client.post(format!("{url}/read")).header("content-length", 9).body(short());
        let error = request.send().await.unwrap_err();
        assert!(matches!(error.kind(), ClientErrorKind::Encode(_)), "{error:?}");
        for _ in 0..3 {
            until(|| has_ended.try_recv() == Ok(false)).await;
        }
        assert_eq!((client.connections_opened(), client.connections_idle()), (1, 1));
    });
}
