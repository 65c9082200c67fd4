//! The error responses to malformed requests, on sockets.
#![forbid(unsafe_code)]

mod sockets;

use std::time::Duration;

use brigade_http::{Router, Timeouts, get as on_get};
use sockets::TestServer;

fn app() -> Router {
    Router::new().route("/", on_get(async || "root"))
}

#[test]
fn an_invalid_head_without_an_end_gets_400_with_the_reason_when_its_client_ends_its_side() {
    let server = TestServer::start(app);
    for (head, reason) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\rX", "a line does not end in CR LF"),
        ("GET / HTTP/1.1\r\nHost: a\0", "a header value contains a control character"),
    ] {
        let mut client = server.connect();
        client.send(head);
        client.finish_sending();
        let all = client.rest();
        assert!(all.starts_with("HTTP/1.1 400 ") && all.contains(reason), "{all}");
    }
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: a");
    client.finish_sending();
    assert_eq!(client.rest(), "", "a head that could still be valid gets no response");
}

#[test]
fn an_invalid_head_without_an_end_gets_400_with_the_reason_at_its_deadline() {
    let timeouts = Timeouts { head: Duration::from_millis(20), ..Timeouts::default() };
    let options = |server: brigade_http::Server| server.loops(1).pin(false).timeouts(timeouts);
    let server = TestServer::start_with(options, app);
    for (head, status) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\rX", "400"),
        ("GET / HTTP/1.1\r\nA: \0\r\nHost", "400"),
        ("GET / HTTP/1.1\r\nExpect: x\r\n", "417"),
        ("GET / HTTP/1.1\r\nHost: a\r\n", "408"),
    ] {
        let all = server.exchange(head);
        assert!(all.starts_with(&format!("HTTP/1.1 {status} ")), "{head:?}: {all}");
    }
    let all = server.exchange("HEAD / HTTP/1.1\r\nHost: a\r\n");
    assert!(all.starts_with("HTTP/1.1 408 ") && all.ends_with("\r\n\r\n"), "{all}");
}

#[test]
fn the_response_to_head_has_no_body_whatever_is_wrong_with_the_request() {
    let server = TestServer::start(app);
    for lines in [
        "Host: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "\r\n",
        "Host: a\nB: c\r\n\r\n",
        "Host: a\r\nExpect: x\r\n\r\n",
        "Host: a\r\nContent-Length: 9999999\r\n\r\n",
    ] {
        let all = server.exchange(format!("HEAD / HTTP/1.1\r\nConnection: close\r\n{lines}"));
        assert!(all.starts_with("HTTP/1.1 4") && all.ends_with("\r\n\r\n"), "{lines:?}: {all}");
        assert_eq!(all.matches("\r\n\r\n").count(), 1, "{all}");
    }
}
