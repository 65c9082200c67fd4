//! Services and layers of tower in our routers, and our routers as services of tower.
#![forbid(unsafe_code)]
#![cfg(feature = "tower")]

mod sockets;

use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use brigade_http::{Body, Peer, Request, Response, Router, StatusCode, get, post};
use brigade_runtime::oneshot;
use brigade_runtime::time::sleep;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, header};
use http_body_util::{BodyExt, StreamBody};
use sockets::TestServer;
use tower::{Service, ServiceExt, service_fn};
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;
use tower_http::request_id::{MakeRequestUuid, RequestId, SetRequestIdLayer};
use tower_http::set_header::{SetRequestHeaderLayer, SetResponseHeaderLayer};
use tower_http::validate_request::ValidateRequestHeaderLayer;

fn request(line: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
}

fn post_request(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\
         {headers}\r\n{body}"
    )
}

/// Returns the body of a response that was received whole.
fn body(response: &str) -> &str {
    response.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {response}")).1
}

/// An axum application with extractors, state, middleware and its own fallback.
fn axum_app() -> axum::Router {
    use axum::routing;

    #[derive(serde::Deserialize)]
    struct Page {
        limit: u32,
    }
    let text = |text: &'static str| routing::get(move || async move { text });
    axum::Router::new()
        .route("/", text("axum root"))
        .route("/users/{id}", routing::get(|Path(id): Path<u32>| async move { id.to_string() }))
        .route(
            "/list",
            routing::get(|Query(page): Query<Page>| async move { page.limit.to_string() }),
        )
        .route("/state", routing::get(|State(state): State<String>| async move { state }))
        .route(
            "/echo",
            routing::post(
                |body: axum::body::Body| async move { axum::response::Response::new(body) },
            ),
        )
        .route("/length", routing::post(|body: Bytes| async move { body.len().to_string() }))
        .route(
            "/peer",
            routing::get(|axum::Extension(Peer(address)): axum::Extension<Peer>| async move {
                address.ip().to_string()
            }),
        )
        .route("/panic", routing::get(|| async { panic!("of axum") as &'static str }))
        .fallback(|| async { (StatusCode::NOT_FOUND, "not found by axum") })
        .with_state(String::from("shared"))
}

#[test]
fn an_axum_router_is_the_fallback_as_it_is() {
    let server = TestServer::start(|| {
        Router::new().route("/ours", get(async || "ours")).fallback_service(axum_app())
    });
    for (line, status, expected) in [
        ("GET /ours", 200, "ours"),
        ("GET /", 200, "axum root"),
        ("GET /users/42", 200, "42"),
        ("GET /list?limit=7", 200, "7"),
        ("GET /state", 200, "shared"),
        ("GET /peer", 200, "127.0.0.1"),
        ("GET /nowhere", 404, "not found by axum"),
        ("DELETE /state", 405, ""),
        ("HEAD /users/42", 200, ""),
    ] {
        let response = server.exchange(request(line));
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {response}");
        assert_eq!(body(&response), expected, "{line}: {response}");
    }
    // As axum says it, although the body is left out.
    let head = server.exchange(request("HEAD /users/42")).to_lowercase();
    assert!(head.contains("content-length: 2\r\n"), "{head}");
    let list = server.exchange(request("GET /list?limit=x"));
    assert!(list.starts_with("HTTP/1.1 400 "), "{list}");
}

/// axum takes the body from the response to HEAD, and announces the length of each body it knows.
#[test]
fn the_length_of_a_body_that_was_left_out_is_not_announced() {
    let server = TestServer::start(|| {
        let unknown = || async {
            let parts = stream::iter([Ok::<_, Infallible>(Bytes::from("part"))]);
            axum::body::Body::from_stream(parts)
        };
        let axum = axum::Router::new()
            .route("/unknown", axum::routing::get(unknown))
            .route("/same", axum::routing::get(|| async { StatusCode::NOT_MODIFIED }));
        Router::new().fallback_service(axum)
    });
    for line in ["HEAD /unknown", "GET /same"] {
        let response = server.exchange(request(line)).to_lowercase();
        assert!(!response.contains("content-length"), "{line}: {response}");
        assert_eq!(body(&response), "", "{line}");
    }
}

#[test]
fn bodies_are_streamed_both_ways_with_trailers() {
    let server = TestServer::start(|| Router::new().nest_service("/axum", axum_app()));
    let echoed = server.exchange(
        "POST /axum/echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTE: trailers\r\n\
         Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n",
    );
    assert!(echoed.to_lowercase().contains("transfer-encoding: chunked"), "{echoed}");
    assert!(echoed.ends_with("3\r\nabc\r\n2\r\nde\r\n0\r\nx-sum: 5\r\n\r\n"), "{echoed}");
    let length = server.exchange(post_request("/axum/length", "", "0123456789"));
    assert_eq!(body(&length), "10");
    let sized = server.exchange(post_request("/axum/echo", "", "0123456789"));
    assert_eq!(body(&sized), "0123456789");
}

#[test]
fn a_nested_service_sees_the_path_without_the_prefix() {
    let show = service_fn(async |request: http::Request<_>| {
        let _: &brigade_http::SendBody = request.body();
        Ok::<_, Infallible>(http::Response::new(request.uri().to_string()))
    });
    let server = TestServer::start(move || {
        Router::new()
            .nest_service("/api/v1", show)
            .route_service("/whole/{id}", show)
            .nest("/outer", Router::new().nest_service("/inner", show))
    });
    for (target, expected) in [
        ("/api/v1/users?q=%20", "/users?q=%20"),
        ("/api/v1", "/"),
        ("/api/v1/", "/"),
        ("/%61pi/v1/a%2Fb", "/a%2Fb"),
        ("/whole/7?x", "/whole/7?x"),
    ] {
        let response = server.exchange(request(&format!("GET {target}")));
        assert_eq!(body(&response), expected, "{target}: {response}");
    }
    // A service is nested once more with its router, so it sees the path below the inner prefix.
    let response = server.exchange(request("GET /outer/inner/x"));
    assert_eq!(body(&response), "/inner/x", "{response}");
}

#[test]
fn a_service_that_fails_is_a_500_and_keeps_its_reason() {
    let fails = service_fn(async |_: http::Request<brigade_http::SendBody>| {
        Err::<http::Response<String>, _>(std::io::Error::other("secret"))
    });
    let server = TestServer::start(move || Router::new().fallback_service(fails));
    let response = server.exchange(request("GET /"));
    assert!(response.starts_with("HTTP/1.1 500 "), "{response}");
    assert!(!response.contains("secret"), "{response}");
}

#[test]
fn a_panic_of_a_service_closes_only_its_connection() {
    let server = TestServer::start(|| Router::new().fallback_service(axum_app()));
    let response = server.exchange(request("GET /panic"));
    assert!(response.starts_with("HTTP/1.1 500 ") || response.is_empty(), "{response}");
    assert_eq!(body(&server.exchange(request("GET /state"))), "shared");
}

/// Tells when it is dropped.
struct Dropped(Option<oneshot::SyncSender<()>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        if let Some(sender) = self.0.take() {
            let _ = sender.send(());
        }
    }
}

#[test]
fn a_client_that_disconnects_drops_the_future_of_the_service() {
    let (started, is_started) = std::sync::mpsc::channel();
    let (dropped, is_dropped) = std::sync::mpsc::channel();
    let server = TestServer::start(move || {
        let (started, dropped) = (started.clone(), dropped.clone());
        Router::new().fallback_service(service_fn(move |_: http::Request<_>| {
            let (started, dropped) = (started.clone(), dropped.clone());
            async move {
                let (sender, receiver) = oneshot::sync_channel();
                let _guard = Dropped(Some(sender));
                std::thread::spawn(move || {
                    let told = brigade_runtime::run(receiver);
                    let _ = dropped.send(told.is_ok());
                });
                let _ = started.send(());
                sleep(Duration::from_secs(3600)).await;
                Ok::<_, Infallible>(http::Response::new(String::new()))
            }
        }))
    });
    let mut client = server.connect();
    client.send(request("GET /"));
    is_started.recv_timeout(sockets::PATIENCE).unwrap();
    drop(client);
    assert!(is_dropped.recv_timeout(sockets::PATIENCE).unwrap());
}

#[test]
fn a_body_of_unknown_length_is_sent_in_chunks() {
    let streamed = service_fn(async |_: http::Request<_>| {
        let frames = ["a", "bc"].map(|data| {
            Ok::<_, Infallible>(http_body::Frame::data(Bytes::from_static(data.as_bytes())))
        });
        Ok::<_, Infallible>(http::Response::new(StreamBody::new(stream::iter(frames))))
    });
    let server = TestServer::start(move || Router::new().fallback_service(streamed));
    let response = server.exchange(request("GET /"));
    assert!(response.ends_with("1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"), "{response}");
}

/// Shows what a handler sees of its request.
async fn show(request: Request) -> String {
    let id = request.param("id").unwrap_or("none").to_owned();
    let added = request.header("x-added").map(String::from_utf8_lossy).unwrap_or_default();
    let added_extension = request
        .extensions()
        .get::<http::Extensions>()
        .and_then(|extensions| extensions.get::<RequestId>())
        .map_or("none", |id| id.header_value().to_str().unwrap());
    let state = request.extensions().get::<Rc<str>>().map_or("none", |text| &**text);
    format!("{id} {added} {} {state}", added_extension.len())
}

#[test]
fn layers_of_tower_wrap_our_handlers() {
    let server = TestServer::start(|| {
        Router::new()
            .route("/items/{id}", get(show))
            .tower_layer(SetRequestHeaderLayer::overriding(
                "x-added".parse().unwrap(),
                HeaderValue::from_static("by-tower"),
            ))
            .tower_layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
            .tower_layer(SetResponseHeaderLayer::appending(
                header::SERVER,
                HeaderValue::from_static("tower"),
            ))
            .layer(async |mut request: Request, next: brigade_http::Next| {
                request.extensions_mut().insert(Rc::<str>::from("ours"));
                next.run(request).await
            })
    });
    let response = server.exchange(request("GET /items/7"));
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    assert!(response.contains("server: tower\r\n"), "{response}");
    // The parameter of the route, a header, a UUID among the extensions, an extension of ours.
    assert_eq!(body(&response), "7 by-tower 36 ours");
    let missing = server.exchange(request("GET /nowhere"));
    assert!(missing.starts_with("HTTP/1.1 404 "), "{missing}");
    assert!(missing.contains("server: tower\r\n"), "{missing}");
}

#[test]
#[expect(deprecated, reason = "the simplest layer that refuses requests")]
fn a_layer_of_tower_may_respond_in_place_of_the_handler() {
    let server = TestServer::start(|| {
        Router::new()
            .route("/", get(async || "secret"))
            .tower_layer(ValidateRequestHeaderLayer::bearer("token"))
            .tower_layer(CorsLayer::permissive())
    });
    let refused = server.exchange(request("GET /"));
    assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
    assert!(refused.contains("access-control-allow-origin: *\r\n"), "{refused}");
    let allowed = "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer token\r\n\
                   Connection: close\r\n\r\n";
    assert_eq!(body(&server.exchange(allowed)), "secret");
}

#[test]
fn a_layer_of_tower_may_transform_the_body() {
    let server = TestServer::start(|| {
        Router::new()
            .route("/", get(async || "x".repeat(10_000)))
            .tower_layer(CompressionLayer::new())
    });
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n");
    let response = client.rest_bytes();
    let text = String::from_utf8_lossy(&response).to_lowercase();
    assert!(text.contains("content-encoding: gzip\r\n"), "{text}");
    assert!(response.len() < 2000, "{}", response.len());
    assert_eq!(body(&server.exchange(request("GET /"))).len(), 10_000);
}

#[test]
fn an_upgrade_passes_layers_of_tower() {
    let server = TestServer::start(|| {
        let upgrade = get(async || {
            Response::upgrade(HeaderValue::from_static("echo"), async |mut io| {
                use futures_util::{AsyncReadExt, AsyncWriteExt};
                let mut data = [0; 2];
                if io.read_exact(&mut data).await.is_ok() {
                    let _ = io.write_all(&data).await;
                }
            })
        });
        Router::new().route("/", upgrade).tower_layer(CompressionLayer::new())
    });
    let response = server
        .exchange("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\nhi");
    assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
    assert_eq!(body(&response), "hi");
}

#[test]
fn our_router_is_a_service_of_tower() {
    let visits = Rc::new(Cell::new(0));
    let count = {
        let visits = visits.clone();
        async move |request: Request| {
            visits.set(visits.get() + 1);
            format!("{} {}", request.param("id").unwrap_or_default(), request.peer_addr())
        }
    };
    let echo = async |mut request: Request| request.body_mut().collect(100).await;
    let router = Router::new().route("/count/{id}", get(count)).route("/echo", post(echo));
    let service = router.into_tower_service();
    let ask = |request: http::Request<Body>| {
        let service = service.clone();
        brigade_runtime::run(async move {
            let response = service.oneshot(request).await.unwrap();
            let (parts, body) = response.into_parts();
            (parts.status, parts.headers, body.collect().await.unwrap().to_bytes())
        })
    };
    let mut request = http::Request::get("http://host/count/5").body(Body::empty()).unwrap();
    request.extensions_mut().insert(Peer("192.0.2.1:80".parse().unwrap()));
    let (status, _, body) = ask(request);
    assert_eq!((status, &body[..]), (StatusCode::OK, &b"5 192.0.2.1:80"[..]));
    assert_eq!(visits.get(), 1);

    let request = http::Request::post("/echo").header("content-length", "3");
    let (status, headers, body) = ask(request.body(Body::from("abc")).unwrap());
    assert_eq!((status, &body[..]), (StatusCode::OK, &b"abc"[..]));
    assert_eq!(headers[header::CONTENT_TYPE], "application/octet-stream");

    let (status, ..) = ask(http::Request::get("/nowhere").body(Body::empty()).unwrap());
    assert_eq!(status, StatusCode::NOT_FOUND);
    let twice = http::Request::get("/").header("host", "a").header("host", "b");
    let (status, ..) = ask(twice.body(Body::empty()).unwrap());
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[test]
fn a_service_is_awaited_until_it_is_ready() {
    /// Not ready when it is first asked.
    #[derive(Clone)]
    struct Slow {
        asked: bool,
    }
    impl Service<http::Request<brigade_http::SendBody>> for Slow {
        type Response = http::Response<String>;
        type Error = Infallible;
        type Future = std::future::Ready<Result<Self::Response, Infallible>>;

        fn poll_ready(
            &mut self,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), Infallible>> {
            if std::mem::replace(&mut self.asked, true) {
                return std::task::Poll::Ready(Ok(()));
            }
            cx.waker().wake_by_ref();
            std::task::Poll::Pending
        }

        fn call(&mut self, _: http::Request<brigade_http::SendBody>) -> Self::Future {
            assert!(self.asked, "called before it was ready");
            std::future::ready(Ok(http::Response::new("ready".to_owned())))
        }
    }
    let server = TestServer::start(|| Router::new().fallback_service(Slow { asked: false }));
    assert_eq!(body(&server.exchange(request("GET /"))), "ready");
}

#[test]
fn several_headers_of_one_name_are_kept_both_ways() {
    let copy = service_fn(async |request: http::Request<brigade_http::SendBody>| {
        let mut headers = HeaderMap::new();
        for value in request.headers().get_all("x-many") {
            headers.append("x-many", value.clone());
        }
        let mut response = http::Response::new(String::new());
        *response.headers_mut() = headers;
        Ok::<_, Infallible>(response)
    });
    let server = TestServer::start(move || Router::new().fallback_service(copy));
    let response = server.exchange(
        "GET / HTTP/1.1\r\nHost: a\r\nX-Many: 1\r\nX-Many: 2\r\nConnection: close\r\n\r\n",
    );
    assert!(response.contains("x-many: 1\r\nx-many: 2\r\n"), "{response}");
}

#[test]
fn a_body_of_unknown_length_is_limited_behind_another_server() {
    let router = Router::new().route("/", post(async |body: Bytes| body.len().to_string()));
    let service = router.into_tower_service();
    let status = |pieces: usize| {
        let piece = || Ok::<_, Infallible>(Bytes::from(vec![0; 64 * 1024]));
        let body = Body::stream(stream::iter((0..pieces).map(move |_| piece())));
        let request = http::Request::post("/").body(body).unwrap();
        brigade_runtime::run(service.clone().oneshot(request)).unwrap().status()
    };
    assert_eq!(status(16), StatusCode::OK);
    assert_eq!(status(17), StatusCode::PAYLOAD_TOO_LARGE);
}

/// Replaces each body by one of a megabyte and some bytes more, as a decompressing layer might.
#[derive(Clone)]
struct Inflate<S>(S);

impl<S: Service<http::Request<Body>>> Service<http::Request<brigade_http::SendBody>>
    for Inflate<S>
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(
        &mut self,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<brigade_http::SendBody>) -> S::Future {
        let piece = |_| Ok::<_, Infallible>(Bytes::from(vec![0; 64 * 1024]));
        self.0.call(request.map(|_| Body::stream(stream::iter((0..17).map(piece)))))
    }
}

#[test]
fn a_body_that_a_layer_makes_is_limited() {
    let server = TestServer::start(|| {
        let length = || post(async |body: Bytes| body.len().to_string());
        Router::new()
            .route("/", length())
            .route("/large", length().body_limit(2 << 20))
            .tower_layer(tower::layer::layer_fn(Inflate))
    });
    let refused = server.exchange(post_request("/", "", "x"));
    assert!(refused.starts_with("HTTP/1.1 413 "), "{refused}");
    let allowed = server.exchange(post_request("/large", "", "x"));
    assert_eq!(body(&allowed), (17 * 64 * 1024).to_string(), "{allowed}");
}

#[test]
fn how_a_service_would_send_its_body_is_ignored() {
    let proxied = service_fn(async |_: http::Request<brigade_http::SendBody>| {
        let response = http::Response::builder().header("transfer-encoding", "chunked");
        Ok::<_, Infallible>(response.body("abc".to_owned()).unwrap())
    });
    let server = TestServer::start(move || Router::new().fallback_service(proxied));
    let response = server.exchange(request("GET /"));
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    assert!(response.contains("content-length: 3\r\n"), "{response}");
}

#[test]
fn a_client_of_another_server_is_unknown_unless_it_is_named() {
    let peer = async |request: Request| request.peer_addr().to_string();
    let service = Router::new().route("/", get(peer)).into_tower_service();
    let body = brigade_runtime::run(async move {
        let response = service.oneshot(http::Request::new(Body::empty())).await.unwrap();
        response.into_body().collect().await.unwrap().to_bytes()
    });
    assert_eq!(body, "0.0.0.0:0");
}

#[test]
fn a_layer_may_add_a_header_to_a_head_as_large_as_the_server_allows() {
    let limits = brigade_http::Limits { head_bytes_max: 60_000, ..Default::default() };
    let server = TestServer::start_with(
        |server| server.loops(1).pin(false).limits(limits),
        || {
            let added = HeaderValue::from_static("by-tower");
            Router::new()
                .route("/{id}", get(show))
                .tower_layer(SetRequestHeaderLayer::overriding("x-added".parse().unwrap(), added))
        },
    );
    let cookie = "c".repeat(40_000);
    let response = server.exchange(format!(
        "GET /7 HTTP/1.1\r\nHost: a\r\nCookie: a={cookie}\r\nConnection: close\r\n\r\n"
    ));
    assert!(body(&response).starts_with("7 by-tower"), "{response}");
}
