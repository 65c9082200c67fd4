//! How the client builds requests from values, and what it makes of a response's status and body.
#![cfg(all(feature = "json", feature = "query"))]
#![forbid(unsafe_code)]

mod scripted;
mod sockets;

use std::collections::HashMap;
use std::time::Duration;

use brigade_http::client::COLLECT_BYTES_MAX;
use brigade_http::{
    Body, Bytes, Client, ClientError, ClientErrorKind, ClientRequest, HandlerError, Request,
    Router, Server, any, get as on_get,
};
use brigade_runtime::{run, spawn};
use http::StatusCode;
use scripted::{Host, answering, ok, on_loop, script};
use serde::{Deserialize, Serialize};
use sockets::{TestServer, get};

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Order {
    dish: String,
    count: u32,
    notes: Option<String>,
}

#[derive(Serialize)]
struct Tags {
    tag: Vec<&'static str>,
}

fn soup() -> Order {
    Order { dish: "soup & bread".into(), count: 2, notes: None }
}

/// Returns the head and the body of the request that `build` makes, as they are sent.
fn sent(
    path: &'static str,
    build: impl FnOnce(&Client, String) -> ClientRequest + 'static,
) -> (String, String) {
    on_loop(async move {
        let host = Host::new();
        let url = host.url(path);
        let server = spawn(async move {
            let mut peer = host.accept().await;
            let head = peer.head().await;
            peer.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
            (head, String::from_utf8(peer.rest().await).unwrap())
        });
        drop(build(&Client::new(), url).send().await.unwrap());
        server.await.unwrap()
    })
}

/// Returns the error of the request that `build` makes, to a server that must not be asked.
fn refused(build: impl FnOnce(ClientRequest) -> ClientRequest + 'static) -> ClientError {
    on_loop(async move {
        let host = Host::new();
        let client = Client::new();
        let error = build(client.post(host.url("/x"))).send().await.unwrap_err();
        assert_eq!(client.connections_opened(), 0);
        error
    })
}

/// Returns the outcome of reading this response.
fn read<T: 'static>(
    response: String,
    read: impl AsyncFnOnce(brigade_http::ClientResponse) -> T + 'static,
) -> T {
    on_loop(async move {
        let (url, server) = answering(response);
        let outcome = read(Client::new().get(&url).send().await.unwrap()).await;
        server.await.unwrap();
        outcome
    })
}

#[test]
fn json_sets_the_body_and_its_type() {
    let (head, body) = sent("/orders", |client, url| client.post(url).json(&soup()));
    assert!(head.contains("\r\ncontent-type: application/json\r\n"), "{head}");
    assert_eq!(body, r#"{"dish":"soup & bread","count":2,"notes":null}"#);
}

#[test]
fn a_content_type_that_is_set_stays_before_and_after_json() {
    let mine = "application/merge-patch+json";
    let lines = |head: &str| head.matches("content-type").count();
    let (head, _) =
        sent("/", move |client, url| client.patch(url).header("content-type", mine).json(&soup()));
    assert!(head.contains(mine) && lines(&head) == 1, "{head}");
    let (head, _) =
        sent("/", move |client, url| client.patch(url).json(&soup()).header("content-type", mine));
    assert!(head.contains(mine) && lines(&head) == 1, "{head}");
}

#[test]
fn a_form_sets_the_body_and_its_type() {
    let (head, body) = sent("/orders", |client, url| client.post(url).form(&soup()));
    assert!(head.contains("\r\ncontent-type: application/x-www-form-urlencoded\r\n"), "{head}");
    assert_eq!(body, "dish=soup+%26+bread&count=2");
}

#[test]
fn a_query_is_appended_to_that_of_the_url() {
    let line = |path, build: fn(ClientRequest) -> ClientRequest| {
        let (head, _) = sent(path, move |client, url| build(client.get(url)));
        head.lines().next().unwrap().to_owned()
    };
    let with_pairs = |request: ClientRequest| request.query(&[("q", "two words"), ("ü", "&=")]);
    let encoded = "q=two+words&%C3%BC=%26%3D";
    assert_eq!(line("/a", with_pairs), format!("GET /a?{encoded} HTTP/1.1"));
    assert_eq!(line("/a?b=c", with_pairs), format!("GET /a?b=c&{encoded} HTTP/1.1"));
    assert_eq!(line("/a?", with_pairs), format!("GET /a?{encoded} HTTP/1.1"));
    assert_eq!(line("/a?b=c#part", with_pairs), format!("GET /a?b=c&{encoded} HTTP/1.1"));
    let twice =
        |request: ClientRequest| request.query(&soup()).query(&Tags { tag: vec!["x", "y"] });
    let (first, second) = ("dish=soup+%26+bread&count=2", "tag=x&tag=y");
    assert_eq!(line("/", twice), format!("GET /?{first}&{second} HTTP/1.1"));
    let none: fn(ClientRequest) -> ClientRequest =
        |request| request.query(&Vec::<(&str, &str)>::new());
    assert_eq!(line("/a", none), "GET /a HTTP/1.1");
}

#[test]
fn a_server_reads_what_json_form_and_query_have_sent() {
    let server = TestServer::start(|| {
        Router::new()
            .route(
                "/json",
                any(async |mut request: Request| {
                    request.json::<Order>(999).await.map(brigade_http::Json)
                }),
            )
            .route(
                "/form",
                any(async |mut request: Request| {
                    request.form::<Order>(999).await.map(brigade_http::Json)
                }),
            )
            .route(
                "/query",
                any(async |request: Request| request.query_as::<Order>().map(brigade_http::Json)),
            )
    });
    let root = format!("http://{}", server.address);
    run(async move {
        let client = Client::new();
        for request in [
            client.put(format!("{root}/json")).json(&soup()),
            client.put(format!("{root}/form")).form(&soup()),
            client.get(format!("{root}/query")).query(&soup()),
        ] {
            let mut response = request.send().await.unwrap().error_for_status().unwrap();
            assert_eq!(response.json::<Order>().await.unwrap(), soup());
        }
    });
}

#[test]
fn values_that_cannot_be_serialized_are_errors_of_send() {
    let keys_are_lists = || HashMap::from([(vec![1], 2)]);
    for error in [
        refused(move |request| request.json(&keys_are_lists())),
        refused(|request| request.query(&7)),
        refused(|request| request.form(&"text")),
    ] {
        assert!(matches!(error.kind(), ClientErrorKind::Serialize(_)), "{error}");
        assert!(error.to_string().starts_with("POST http://127.0.0.1:"), "{error}");
        assert!(std::error::Error::source(&error).is_some());
    }
    let error = refused(|request| request.header("a b", "c").json(&HashMap::from([(vec![1], 2)])));
    assert!(matches!(error.kind(), ClientErrorKind::Header(_)), "the first error counts: {error}");
}

#[test]
fn authorization_is_a_token_or_an_encoded_user_and_password() {
    let (head, _) = sent("/", |client, url| client.get(url).bearer_auth("abc.def"));
    assert!(head.contains("\r\nauthorization: Bearer abc.def\r\n"), "{head}");
    // The example of RFC 7617 section 2.
    let (head, _) = sent("/", |client, url| client.get(url).basic_auth("Aladdin", "open sesame"));
    assert!(head.contains("\r\nauthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"), "{head}");
    let (head, _) =
        sent("/", |client, url| client.get(url).bearer_auth("one").basic_auth("test", "123\u{a3}"));
    assert!(head.contains("\r\nauthorization: Basic dGVzdDoxMjPCow==\r\n"), "{head}");
    assert_eq!(head.matches("authorization").count(), 1, "{head}");
}

#[test]
fn authorization_does_not_appear_in_debug_output() {
    on_loop(async {
        let request = Client::new().get("http://a/").bearer_auth("secret");
        assert!(format!("{request:?}").contains("authorization"));
        assert!(!format!("{request:?}").contains("secret"));
        let request = Client::new().get("http://a/").basic_auth("user", "secret");
        assert!(!format!("{request:?}").contains("Basic"), "{request:?}");
    });
}

#[test]
fn credentials_that_a_header_cannot_have_are_errors_of_send() {
    for error in [
        refused(|request| request.bearer_auth("a\r\nx: y")),
        refused(|request| request.basic_auth("a:b", "c")),
        refused(|request| request.basic_auth("a", "c\n")),
    ] {
        let is_header =
            matches!(error.kind(), ClientErrorKind::Header(name) if **name == *"authorization");
        assert!(is_header, "{error}");
    }
}

#[test]
fn statuses_of_400_or_more_are_errors_if_asked_for() {
    let outcome = |status: &str| {
        read(format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nhi"), async |response| {
            response.error_for_status().map(|response| response.status())
        })
    };
    for fine in ["200 OK", "399 Odd"] {
        assert_eq!(outcome(fine).unwrap().as_str(), &fine[..3]);
    }
    for bad in ["400 Bad", "404 Not", "499 Odd", "500 Broken", "599 Odd"] {
        let error = outcome(bad).unwrap_err();
        assert_eq!(error.status().unwrap().as_str(), &bad[..3]);
        assert!(error.url().starts_with("http://127.0.0.1:"), "{}", error.url());
        assert!(error.to_string().contains(&bad[..3]), "{error}");
        assert!(!error.is_timeout() && !error.is_connect());
    }
}

#[test]
fn an_error_for_a_status_leaves_the_connection_to_the_next_request() {
    on_loop(async {
        let (url, server) = script(async |host| {
            let mut peer = host.accept().await;
            peer.head().await;
            peer.send("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone").await;
            peer.head().await;
            peer.send(ok("second")).await;
        });
        let client = Client::new();
        assert!(client.get(&url).send().await.unwrap().error_for_status().is_err());
        assert_eq!(client.get(&url).send().await.unwrap().text().await.unwrap(), "second");
        assert_eq!(client.connections_opened(), 1);
        server.await.unwrap();
    });
}

#[test]
fn bodies_are_read_as_bytes_text_or_json() {
    let body = r#"{"dish":"rice","count":1}"#;
    let order = Order { dish: "rice".into(), count: 1, notes: None };
    assert_eq!(read(ok(body), async |mut r| r.bytes().await).unwrap(), body);
    assert_eq!(read(ok(body), async |mut r| r.text().await).unwrap(), body);
    assert_eq!(read(ok(body), async |mut r| r.json::<Order>().await).unwrap(), order);
    let limit = body.len();
    assert_eq!(
        read(ok(body), async move |mut r| r.json_with_limit::<Order>(limit).await).unwrap(),
        order
    );
}

#[test]
fn json_that_does_not_fit_is_an_error() {
    for body in ["", "{", "[1]", r#"{"dish":"rice","count":-1}"#] {
        let error = read(ok(body), async |mut r| r.json::<Order>().await).unwrap_err();
        assert!(matches!(error.kind(), ClientErrorKind::Content(_)), "{body}: {error}");
    }
}

#[test]
fn bodies_over_the_limit_are_errors() {
    let is_too_large = |error: &ClientError, expected: usize| match error.kind() {
        ClientErrorKind::TooLarge(limit) => *limit == expected as u64,
        _ => false,
    };
    let error = read(ok("12345"), async |mut r| r.text_with_limit(4).await).unwrap_err();
    assert!(is_too_large(&error, 4), "{error}");
    let error = read(ok("12345"), async |mut r| r.json_with_limit::<u32>(4).await).unwrap_err();
    assert!(is_too_large(&error, 4), "{error}");
    let huge = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", COLLECT_BYTES_MAX + 1);
    let error = read(huge, async |mut r| r.bytes().await).unwrap_err();
    assert!(is_too_large(&error, COLLECT_BYTES_MAX), "{error}");
}

/// A router that fetches `url`, with the body of the request.
fn gateway(url: String) -> Router {
    let client = Client::builder().head_timeout(Duration::from_millis(50)).build();
    let fetch = async move |request: Request| -> Result<Bytes, HandlerError> {
        let body = Body::stream(request.into_parts().1);
        let mut response = client.post(&url).body(body).send().await?.error_for_status()?;
        Ok(response.bytes().await?)
    };
    Router::new().fallback(fetch)
}

#[test]
fn a_client_error_in_a_handler_is_a_bad_gateway_or_a_timeout() {
    let slow = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    // Bound and not listening, so it refuses connections.
    let dead = brigade_runtime::net::TcpSocket::new_v4().unwrap();
    dead.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let dead_address = dead.local_addr().unwrap();
    let backend = TestServer::start(|| Router::new().route("/teapot", on_get(async || "x")));
    for (url, expected) in [
        (format!("http://{}/", slow.local_addr().unwrap()), 504),
        (format!("http://{dead_address}/"), 502),
        (format!("http://{}/", backend.address), 502),
    ] {
        let server = TestServer::start(move || gateway(url.clone()));
        let mut client = server.connect();
        client.send(get("/"));
        let response = client.response();
        assert_eq!(response.status, expected);
        assert!(!response.text().contains("127.0.0.1"), "{}", response.text());
    }
}

#[test]
fn an_upload_that_is_too_large_is_the_clients_error_also_behind_a_gateway() {
    let backend = TestServer::start(|| {
        Router::new()
            .fallback(async |mut request: Request| request.body_mut().collect(1_000_000).await)
    });
    let url = format!("http://{}/", backend.address);
    let small = |server: Server| {
        let limits = brigade_http::Limits { body_bytes_max: 4, ..Default::default() };
        server.loops(1).pin(false).limits(limits)
    };
    let server = TestServer::start_with(small, move || gateway(url.clone()));
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("5\r\nhello\r\n0\r\n\r\n");
    assert_eq!(client.response().status, StatusCode::PAYLOAD_TOO_LARGE);
}
