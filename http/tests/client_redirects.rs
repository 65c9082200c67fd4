//! How the client follows redirects: method, body and headers of the next request, and its limits.
#![forbid(unsafe_code)]

mod scripted;
mod sockets;

use std::time::Duration;

use brigade_http::{
    Body, Client, ClientError, ClientErrorKind, ClientRequest, Request, Response, Router,
    StatusCode, TimeoutKind, any,
};
use brigade_runtime::{run, time};
use bytes::Bytes;
use futures_util::stream;
use http::header::LOCATION;
use http::{HeaderValue, Method};
use scripted::{on_loop, script};
use sockets::TestServer;

fn app() -> Router {
    Router::new().route("/to/{status}", any(redirect)).route("/echo", any(echo))
}

/// Redirects to the location in the query.
async fn redirect(request: Request) -> Response {
    let status = request.param_as("status").map(StatusCode::from_u16).unwrap().unwrap();
    let location = request.query_value("location").unwrap();
    let location = HeaderValue::from_bytes(location.as_bytes()).unwrap();
    Response::empty(status).with_header(LOCATION, location)
}

/// Sends back the request: its method, some of its headers, and its body.
async fn echo(mut request: Request) -> String {
    let mut text = format!("{} {}", request.method(), request.target());
    for name in [
        "authorization",
        "cookie",
        "proxy-authorization",
        "content-type",
        "content-language",
        "x-mine",
    ] {
        if request.header(name).is_some() {
            text += &format!(" {name}");
        }
    }
    let body = request.body_mut().collect(1000).await.unwrap();
    text + " " + str::from_utf8(&body).unwrap()
}

/// Returns the body of the response to the request that `build` makes, by a client that follows
/// redirects, and its URL without the root.
fn followed(
    path: &str,
    build: impl FnOnce(&Client, String) -> ClientRequest + 'static,
) -> Result<(String, String), ClientError> {
    let server = TestServer::start(app);
    let root = format!("http://{}", server.address);
    let url = format!("{root}{path}");
    run(async move {
        let client = Client::builder().redirects(3).build();
        let mut response = build(&client, url).send().await?;
        assert_eq!((client.connections_opened(), response.status()), (1, StatusCode::OK));
        let text = response.text().await?;
        assert_eq!(client.connections_opened(), 1);
        Ok((text, response.url().strip_prefix(&root).unwrap().to_owned()))
    })
}

#[test]
fn methods_and_bodies_change_as_in_browsers() {
    use Method as M;
    for (status, before, after) in [
        (301, M::GET, M::GET),
        (301, M::POST, M::GET),
        (301, M::PUT, M::PUT),
        (302, M::POST, M::GET),
        (302, M::DELETE, M::DELETE),
        (303, M::GET, M::GET),
        (303, M::POST, M::GET),
        (303, M::PUT, M::GET),
        (307, M::POST, M::POST),
        (307, M::PATCH, M::PATCH),
        (308, M::POST, M::POST),
        (308, M::GET, M::GET),
    ] {
        let has_body = before != M::GET;
        let case = format!("{status} {before}");
        let method = before.clone();
        let build = move |client: &Client, url: String| {
            let request = client.request(method, url).header("x-mine", "1");
            let request = request.header("content-type", "text/plain");
            let request = request.header("content-language", "en");
            if has_body { request.body("hello") } else { request }
        };
        let (text, url) = followed(&format!("/to/{status}?location=/echo"), build).unwrap();
        let expected = match before == after {
            true if has_body => format!("{after} /echo content-type content-language x-mine hello"),
            true => format!("{after} /echo content-type content-language x-mine "),
            false => format!("{after} /echo x-mine "),
        };
        assert_eq!((text, url), (expected, "/echo".to_owned()), "{case}");
    }
}

#[test]
fn head_stays_head() {
    for status in [301, 302, 303, 307, 308] {
        let path = format!("/to/{status}?location=/echo");
        let (text, url) = followed(&path, Client::head).unwrap();
        assert_eq!((text.as_str(), url.as_str()), ("", "/echo"));
    }
}

#[test]
fn locations_may_be_relative_and_have_a_query() {
    for (location, url) in [
        ("../echo%3Fa=b%23c", "/echo?a=b"),
        ("/to/../echo", "/echo"),
        ("/to/302%3Flocation=/echo%253Fx", "/echo?x"),
        ("/echo%3Fq=two%20words", "/echo?q=two%20words"),
    ] {
        let path = format!("/to/302?location={location}");
        let (text, last) = followed(&path, Client::get).unwrap();
        assert_eq!((text, last.as_str()), (format!("GET {url} "), url));
    }
}

#[test]
fn credentials_stay_with_the_server_that_they_are_for() {
    let servers = [TestServer::start(app), TestServer::start(app)];
    let [own, other] = servers.each_ref().map(|server| format!("http://{}", server.address));
    run(async move {
        let client = Client::builder().redirects(5).build();
        let text = async |locations: [&str; 2]| {
            let url = format!("{own}/to/307?location={}", locations.join("/to/307%3Flocation="));
            let request = client.get(url).bearer_auth("secret").header("cookie", "a=b");
            let request = request.header("proxy-authorization", "c").header("x-mine", "1");
            let mut response = request.send().await.unwrap().error_for_status().unwrap();
            response.text().await.unwrap()
        };
        let all = "GET /echo authorization cookie proxy-authorization x-mine ";
        assert_eq!(text([&own, "/echo"]).await, all);
        assert_eq!(text([&other, "/echo"]).await, "GET /echo x-mine ");
        assert_eq!(
            text([&other, &format!("{own}/echo")]).await,
            "GET /echo x-mine ",
            "not even on the way back"
        );
    });
}

#[test]
fn a_host_of_ones_own_is_not_sent_to_another_server() {
    on_loop(async {
        let (second_url, second) = script(async |host| {
            let mut peer = host.accept().await;
            let head = peer.head().await;
            peer.send("HTTP/1.1 204 No Content\r\n\r\n").await;
            head
        });
        let location = second_url.clone();
        let (url, first) = script(async move |host| {
            let mut peer = host.accept().await;
            let mut heads = peer.head().await;
            peer.send("HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /same\r\n\r\n").await;
            heads += &peer.head().await;
            let head = "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: ";
            peer.send(format!("{head}{location}\r\n\r\n")).await;
            heads
        });
        let client = Client::builder().redirects(2).build();
        let response = client.get(&url).header("host", "mine").send().await.unwrap();
        assert_eq!(response.url(), second_url);
        assert_eq!(first.await.unwrap().matches("host: mine").count(), 2);
        let head = second.await.unwrap();
        assert!(second_url.contains(head.lines().nth(1).unwrap().strip_prefix("host: ").unwrap()));
    });
}

#[test]
fn redirects_are_limited() {
    let server = TestServer::start(app);
    let root = format!("http://{}", server.address);
    run(async move {
        let url = format!("{root}/to/302?location=/to/301%3Flocation=/echo");
        let two = Client::builder().redirects(2).build();
        assert_eq!(two.get(&url).send().await.unwrap().url(), format!("{root}/echo"));
        let one = Client::builder().redirects(1).build();
        let error = one.get(&url).send().await.unwrap_err();
        assert!(matches!(error.kind(), ClientErrorKind::TooManyRedirects(1)), "{error}");
        assert_eq!(error.url(), format!("{root}/to/301?location=/echo"));
        assert!(error.into_request().is_none());
    });
}

#[test]
fn a_loop_of_redirects_ends_at_the_limit() {
    on_loop(async {
        let (url, server) = script(async |host| {
            let mut peer = host.accept().await;
            for _ in 0..11 {
                peer.head().await;
                peer.send("HTTP/1.1 308 Loop\r\nContent-Length: 0\r\nLocation: /\r\n\r\n").await;
            }
            peer
        });
        let client = Client::builder().redirects(10).build();
        let error = client.get(&url).send().await.unwrap_err();
        assert!(matches!(error.kind(), ClientErrorKind::TooManyRedirects(10)), "{error}");
        drop(client);
        assert_eq!(server.await.unwrap().rest().await, b"", "no twelfth request");
    });
}

#[test]
fn all_redirects_share_the_total_timeout() {
    on_loop(async {
        let (url, _server) = script(async |host| {
            let mut peer = host.accept().await;
            loop {
                peer.head().await;
                time::sleep(Duration::from_millis(400)).await;
                peer.send("HTTP/1.1 302 Loop\r\nContent-Length: 0\r\nLocation: /\r\n\r\n").await;
            }
        });
        let client = Client::builder().redirects(100).timeout(Duration::from_secs(1)).build();
        let began = time::now();
        let error = client.get(&url).send().await.unwrap_err();
        let is_total = matches!(error.kind(), ClientErrorKind::Timeout(TimeoutKind::Total, _));
        assert!(is_total, "{error}");
        assert_eq!(time::now() - began, Duration::from_secs(1));
    });
}

#[test]
fn a_stream_is_not_sent_again_but_may_be_left_out() {
    let parts = || Body::stream(stream::iter([Ok::<_, ClientError>(Bytes::from_static(b"once"))]));
    let path = "/to/307?location=/echo";
    let error = followed(path, move |client, url| client.post(url).body(parts())).unwrap_err();
    let is_stream = matches!(
        error.kind(),
        ClientErrorKind::Redirect { location, reason }
            if **location == *"/echo" && reason.contains("stream")
    );
    assert!(is_stream, "{error}");
    let path = "/to/303?location=/echo";
    let (text, _) = followed(path, move |client, url| client.post(url).body(parts())).unwrap();
    assert_eq!(text, "GET /echo ");
}

#[test]
fn a_location_that_cannot_be_requested_is_an_error() {
    for (location, reason) in [
        ("ftp://127.0.0.1/", "scheme"),
        ("javascript:alert(1)", "scheme"),
        ("//user@127.0.0.1/", "user name"),
    ] {
        let path = format!("/to/302?location={location}");
        let error = followed(&path, Client::get).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(reason) && text.contains(location), "{text}");
        assert!(matches!(error.kind(), ClientErrorKind::Redirect { .. }));
    }
}

#[test]
fn other_statuses_and_redirects_without_a_location_are_responses() {
    let outcome = |response: &'static str, redirects| {
        on_loop(async move {
            let (url, _server) = scripted::answering(response);
            let client = Client::builder().redirects(redirects).build();
            client.get(&url).send().await.unwrap().status().as_u16()
        })
    };
    let at = "Content-Length: 0\r\nLocation: /\r\n\r\n";
    for status in [201, 300, 304, 305, 306, 309] {
        let response = format!("HTTP/1.1 {status} X\r\n{at}");
        assert_eq!(outcome(response.leak(), 5), status);
    }
    assert_eq!(outcome("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", 5), 302);
    let response = format!("HTTP/1.1 302 Found\r\n{at}");
    assert_eq!(outcome(response.leak(), 0), 302, "none are followed by default");
}
