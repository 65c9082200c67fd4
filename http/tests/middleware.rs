//! Middleware, and the options of routes.
#![forbid(unsafe_code)]

mod sockets;

use std::collections::HashSet;
use std::time::Duration;

use brigade_http::middleware::{CorsOptions, RequestId, catch_panic, cors, request_id, timeout};
use brigade_http::{BodyError, Next, Request, Response, Router, any, get as on_get, post};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use sockets::{Client, TestResponse, TestServer};

fn app() -> Router {
    Router::new()
        .route("/", on_get(async || "root"))
        .route("/panic", on_get(async || -> StatusCode { panic!("on purpose") }))
        .route("/never", on_get(async || std::future::pending::<()>().await))
}

/// Sends a request and returns the response.
fn send(client: &mut Client, method: &str, path: &str, headers: &str) -> TestResponse {
    client.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{headers}\r\n"));
    client.response()
}

async fn tag(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    response.with_header(HeaderName::from_static("x-tag"), HeaderValue::from_static("1"))
}

#[test]
fn layers_also_see_responses_without_a_handler() {
    let server = TestServer::start(|| app().nest("/in", app().layer(tag)));
    let mut client = server.connect();
    for (method, path, status, tag) in [
        ("GET", "/", 200, None),
        ("GET", "/in", 200, Some("1")),
        ("PUT", "/in", 405, Some("1")),
        ("OPTIONS", "/in", 204, Some("1")),
        ("PUT", "/", 405, None),
        ("GET", "/in/none", 404, None),
    ] {
        let response = send(&mut client, method, path, "");
        assert_eq!((response.status, response.header("x-tag")), (status, tag), "{method} {path}");
    }
}

#[test]
fn a_caught_panic_is_a_response_for_outer_layers_and_keeps_the_connection() {
    let server = TestServer::start(|| app().layer(catch_panic).layer(tag));
    let mut client = server.connect();
    let response = send(&mut client, "GET", "/panic", "");
    assert_eq!((response.status, response.header("x-tag")), (500, Some("1")));
    assert_eq!(send(&mut client, "GET", "/", "").text(), "root");
}

/// Panics when it is dropped, with itself as the payload.
struct PanicsInDrop(u8);

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        if let Some(next) = self.0.checked_sub(1) {
            std::panic::panic_any(PanicsInDrop(next));
        }
    }
}

#[test]
fn a_payload_that_panics_when_it_is_dropped_changes_nothing_for_catch_panic() {
    let panics = async || -> StatusCode { std::panic::panic_any(PanicsInDrop(3)) };
    let server = TestServer::start(move || {
        app().route("/payload", on_get(panics)).layer(catch_panic).layer(tag)
    });
    let mut client = server.connect();
    let response = send(&mut client, "GET", "/payload", "");
    assert_eq!((response.status, response.header("x-tag")), (500, Some("1")));
    assert_eq!(send(&mut client, "GET", "/", "").text(), "root");
}

#[test]
fn the_response_is_503_if_a_handler_takes_too_long() {
    let limit = Duration::from_millis(20);
    let server = TestServer::start(move || {
        let never = || on_get(async || std::future::pending::<()>().await);
        let outer = app().layer(timeout(limit));
        Router::new()
            .route("/limited", never().timeout(limit).detach_on_disconnect())
            .route("/quick", on_get(async || "quick").timeout(Duration::from_secs(3600)))
            .nest("/outer", outer)
            .layer(tag)
    });
    let mut client = server.connect();
    for (path, status) in
        [("/limited", 503), ("/quick", 200), ("/outer/never", 503), ("/outer", 200)]
    {
        let response = send(&mut client, "GET", path, "");
        assert_eq!((response.status, response.header("x-tag")), (status, Some("1")), "{path}");
    }
}

#[test]
fn a_route_can_shorten_the_pause_allowed_in_a_body() {
    async fn echo(mut request: Request) -> Result<Vec<u8>, BodyError> {
        Ok(request.body_mut().collect(1000).await?.to_vec())
    }
    let server = TestServer::start(|| {
        Router::new().route("/hasty", post(echo).body_gap(Duration::from_millis(20)))
    });
    let head = "HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab";
    let all = server.exchange(format!("POST /hasty {head}"));
    assert!(all.starts_with("HTTP/1.1 408 "), "{all}");
}

const ORIGIN: &str = "access-control-allow-origin";

#[test]
fn by_default_all_origins_may_read_all_responses_including_errors() {
    let server = TestServer::start(|| app().layer(catch_panic).layer(cors(CorsOptions::new())));
    let mut client = server.connect();
    for (method, path, status) in [
        ("GET", "/", 200),
        ("GET", "/none", 404),
        ("PUT", "/", 405),
        ("OPTIONS", "/", 204),
        ("GET", "/panic", 500),
    ] {
        let response = send(&mut client, method, path, "Origin: https://a.example\r\n");
        assert_eq!((response.status, response.header(ORIGIN)), (status, Some("*")), "{path}");
        assert_eq!(response.header("access-control-allow-credentials"), None);
    }
    assert_eq!(send(&mut client, "GET", "/", "").header(ORIGIN), Some("*"), "caches may keep it");
}

#[test]
fn preflight_requests_do_not_reach_the_handler() {
    let server = TestServer::start(|| {
        Router::new()
            .route("/", any(async || StatusCode::IM_A_TEAPOT))
            .layer(cors(CorsOptions::new()))
    });
    let mut client = server.connect();
    let headers = "Origin: https://a.example\r\nAccess-Control-Request-Method: PUT\r\n\
                 Access-Control-Request-Headers: x-a,x-b\r\n";
    for path in ["/", "/none"] {
        let response = send(&mut client, "OPTIONS", path, headers);
        assert_eq!((response.status, response.header(ORIGIN)), (204, Some("*")));
        let methods = response.header("access-control-allow-methods");
        assert_eq!(methods, Some("get, head, post, put, patch, delete"));
        assert_eq!(response.header("access-control-allow-headers"), Some("x-a,x-b"));
        assert_eq!(response.header("access-control-max-age"), Some("3600"));
        assert_eq!(response.header("vary"), Some("access-control-request-headers"));
    }
    assert_eq!(send(&mut client, "OPTIONS", "/", "").status, 418, "not a preflight request");
}

#[test]
fn listed_origins_may_send_credentials_and_responses_vary_by_origin() {
    let server = TestServer::start(|| {
        let options = CorsOptions::new()
            .origins(["https://shop.example", "http://localhost:3000"])
            .methods([Method::GET, Method::PUT])
            .headers([HeaderName::from_static("x-a")])
            .expose([HeaderName::from_static("x-b"), HeaderName::from_static("x-c")])
            .max_age(Duration::from_secs(60))
            .credentials();
        app().layer(cors(options))
    });
    let mut client = server.connect();
    for (origin, allowed) in [
        ("Origin: https://shop.example\r\n", Some("https://shop.example")),
        ("Origin: http://localhost:3000\r\n", Some("http://localhost:3000")),
        ("Origin: https://shop.example.evil.example\r\n", None),
        ("Origin: null\r\n", None),
        ("", None),
    ] {
        let credentials = allowed.map(|_| "true");
        let response = send(&mut client, "GET", "/", origin);
        assert_eq!((response.status, response.header(ORIGIN)), (200, allowed), "{origin}");
        assert_eq!(response.header("access-control-allow-credentials"), credentials);
        assert_eq!(response.header("access-control-expose-headers"), allowed.map(|_| "x-b, x-c"));
        assert_eq!(response.header("vary"), Some("origin"));
        if origin.is_empty() {
            continue;
        }
        let headers = format!("{origin}Access-Control-Request-Method: PUT\r\n");
        let response = send(&mut client, "OPTIONS", "/", &headers);
        assert_eq!((response.status, response.header(ORIGIN)), (204, allowed), "{origin}");
        assert_eq!(response.header("access-control-allow-methods"), allowed.map(|_| "get, put"));
        assert_eq!(response.header("access-control-allow-headers"), allowed.map(|_| "x-a"));
        assert_eq!(response.header("access-control-max-age"), allowed.map(|_| "60"));
        assert_eq!(response.header("vary"), Some("origin"));
    }
}

#[test]
#[should_panic(expected = "credentials need a list of origins")]
fn credentials_for_all_origins_are_refused() {
    let _ = cors(CorsOptions::new().credentials());
}

#[test]
#[should_panic(expected = "the origin 'https://a/' must be a scheme and a host without a path")]
fn an_origin_with_a_path_is_refused() {
    let _ = CorsOptions::new().origins(["https://a/"]);
}

#[test]
fn each_request_has_the_id_of_its_client_or_a_new_one() {
    let server = TestServer::start_with(
        |server| server.loops(2).pin(false),
        || {
            Router::new()
                .route(
                    "/",
                    on_get(async |request: Request| {
                        request.extensions().get::<RequestId>().unwrap().as_str().to_owned()
                    }),
                )
                .layer(request_id)
        },
    );
    let mut seen = HashSet::new();
    let mut clients = [server.connect(), server.connect(), server.connect()];
    for turn in 0..30 {
        let response = send(&mut clients[turn % 3], "GET", "/", "");
        assert_eq!(response.header("x-request-id"), Some(response.text()));
        assert!(seen.insert(response.text().to_owned()), "{} came twice", response.text());
    }
    let long = "x".repeat(129);
    for (id, is_used) in
        [("7-a_b.c:/+=", true), (&long[1..], true), (&long, false), ("a b", false), ("", false)]
    {
        let response = send(&mut clients[0], "GET", "/", &format!("X-Request-ID: {id}\r\n"));
        assert_eq!(response.header("x-request-id"), Some(response.text()));
        assert_eq!(response.text() == id, is_used, "{id}");
    }
    assert_eq!(send(&mut clients[0], "GET", "/none", "X-Request-ID: 1\r\n").status, 404);
}
