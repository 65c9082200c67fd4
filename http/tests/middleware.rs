//! What can be put around handlers, and what a route may do otherwise than its server.
#![forbid(unsafe_code)]

mod sockets;

use std::collections::HashSet;
use std::time::Duration;

use brigade_http::middleware::{CorsOptions, RequestId, catch_panic, cors, request_id, timeout};
use brigade_http::{BodyError, Next, Request, Response, Router, any, get as on_get, post};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use sockets::{Answer, Client, TestServer};

fn app() -> Router {
    Router::new()
        .route("/", on_get(async |_| "root"))
        .route("/panic", on_get(async |_| -> StatusCode { panic!("as asked") }))
        .route("/never", on_get(async |_| std::future::pending::<()>().await))
}

fn ask(client: &mut Client, method: &str, path: &str, headers: &str) -> Answer {
    client.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{headers}\r\n"));
    client.answer()
}

async fn tag(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    response.with_header(HeaderName::from_static("x-tag"), HeaderValue::from_static("1"))
}

#[test]
fn layers_are_around_refusals_too_also_those_of_nested_routers() {
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
        let answer = ask(&mut client, method, path, "");
        assert_eq!((answer.status, answer.header("x-tag")), (status, tag), "{method} {path}");
    }
}

#[test]
fn a_panic_becomes_an_answer_that_outer_layers_see_and_the_connection_is_kept() {
    let server = TestServer::start(|| app().layer(catch_panic).layer(tag));
    let mut client = server.connect();
    let answer = ask(&mut client, "GET", "/panic", "");
    assert_eq!((answer.status, answer.header("x-tag")), (500, Some("1")));
    assert_eq!(ask(&mut client, "GET", "/", "").text(), "root");
}

#[test]
fn a_handler_that_takes_too_long_is_answered_for_with_503() {
    let limit = Duration::from_millis(20);
    let server = TestServer::start(move || {
        let never = || on_get(async |_| std::future::pending::<()>().await);
        let outer = app().layer(timeout(limit));
        Router::new()
            .route("/limited", never().timeout(limit).detach_on_disconnect())
            .route("/quick", on_get(async |_| "quick").timeout(Duration::from_secs(3600)))
            .layer(tag)
            .nest("/outer", outer)
    });
    let mut client = server.connect();
    for (path, status) in
        [("/limited", 503), ("/quick", 200), ("/outer/never", 503), ("/outer", 200)]
    {
        let answer = ask(&mut client, "GET", path, "");
        assert_eq!((answer.status, answer.header("x-tag")), (status, Some("1")), "{path}");
    }
}

#[test]
fn a_route_may_wait_shorter_for_its_body_than_its_server() {
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
fn any_origin_may_read_every_answer_errors_included() {
    let server = TestServer::start(|| app().layer(catch_panic).layer(cors(CorsOptions::new())));
    let mut client = server.connect();
    for (method, path, status) in [
        ("GET", "/", 200),
        ("GET", "/none", 404),
        ("PUT", "/", 405),
        ("OPTIONS", "/", 204),
        ("GET", "/panic", 500),
    ] {
        let answer = ask(&mut client, method, path, "Origin: https://a.example\r\n");
        assert_eq!((answer.status, answer.header(ORIGIN)), (status, Some("*")), "{path}");
        assert_eq!(answer.header("access-control-allow-credentials"), None);
    }
    assert_eq!(ask(&mut client, "GET", "/", "").header(ORIGIN), Some("*"), "caches keep it");
}

#[test]
fn a_preflight_is_answered_before_the_handler() {
    let server = TestServer::start(|| {
        Router::new()
            .route("/", any(async |_| StatusCode::IM_A_TEAPOT))
            .layer(cors(CorsOptions::new()))
    });
    let mut client = server.connect();
    let asked = "Origin: https://a.example\r\nAccess-Control-Request-Method: PUT\r\n\
                 Access-Control-Request-Headers: x-a,x-b\r\n";
    for path in ["/", "/none"] {
        let answer = ask(&mut client, "OPTIONS", path, asked);
        assert_eq!((answer.status, answer.header(ORIGIN)), (204, Some("*")));
        let methods = answer.header("access-control-allow-methods");
        assert_eq!(methods, Some("get, head, post, put, patch, delete"));
        assert_eq!(answer.header("access-control-allow-headers"), Some("x-a,x-b"));
        assert_eq!(answer.header("access-control-max-age"), Some("3600"));
        assert_eq!(answer.header("vary"), Some("access-control-request-headers"));
    }
    assert_eq!(ask(&mut client, "OPTIONS", "/", "").status, 418, "no preflight");
}

#[test]
fn only_named_origins_may_send_credentials_and_caches_are_told_that_it_depends() {
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
        let yes = allowed.map(|_| "true");
        let answer = ask(&mut client, "GET", "/", origin);
        assert_eq!((answer.status, answer.header(ORIGIN)), (200, allowed), "{origin}");
        assert_eq!(answer.header("access-control-allow-credentials"), yes);
        assert_eq!(answer.header("access-control-expose-headers"), allowed.map(|_| "x-b, x-c"));
        assert_eq!(answer.header("vary"), Some("origin"));
        if origin.is_empty() {
            continue;
        }
        let asked = format!("{origin}Access-Control-Request-Method: PUT\r\n");
        let answer = ask(&mut client, "OPTIONS", "/", &asked);
        assert_eq!((answer.status, answer.header(ORIGIN)), (204, allowed), "{origin}");
        assert_eq!(answer.header("access-control-allow-methods"), allowed.map(|_| "get, put"));
        assert_eq!(answer.header("access-control-allow-headers"), allowed.map(|_| "x-a"));
        assert_eq!(answer.header("access-control-max-age"), allowed.map(|_| "60"));
        assert_eq!(answer.header("vary"), Some("origin"));
    }
}

#[test]
#[should_panic(expected = "credentials are only for origins that are named")]
fn credentials_for_everybody_are_refused() {
    let _ = cors(CorsOptions::new().credentials());
}

#[test]
#[should_panic(expected = "an origin is a scheme and a host, without a path: 'https://a/'")]
fn an_origin_with_a_path_is_refused() {
    let _ = CorsOptions::new().origins(["https://a/"]);
}

#[test]
fn each_request_has_an_id_its_own_or_a_new_one() {
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
        let answer = ask(&mut clients[turn % 3], "GET", "/", "");
        assert_eq!(answer.header("x-request-id"), Some(answer.text()));
        assert!(seen.insert(answer.text().to_owned()), "{} came twice", answer.text());
    }
    let long = "x".repeat(129);
    for (id, is_taken) in
        [("7-a_b.c:/+=", true), (&long[1..], true), (&long, false), ("a b", false), ("", false)]
    {
        let answer = ask(&mut clients[0], "GET", "/", &format!("X-Request-ID: {id}\r\n"));
        assert_eq!(answer.header("x-request-id"), Some(answer.text()));
        assert_eq!(answer.text() == id, is_taken, "{id}");
    }
    assert_eq!(ask(&mut clients[0], "GET", "/none", "X-Request-ID: 1\r\n").status, 404);
}
