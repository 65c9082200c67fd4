//! The life of a server connection: what its driver may do when, and what it gets.

// crates
use brigade_http::protocol::ServerConnection;
use brigade_http::{BodyLength, EncodeError, Headers, Limits, ProtocolError, RequestHead};
use http::{HeaderValue, StatusCode, header};

// ours
mod support;
use support::{DATE, get_with, post_with};

struct Driven {
    connection: ServerConnection,
    head: RequestHead,
    limits: Limits,
    out: Vec<u8>,
}

impl Driven {
    fn new(received: impl AsRef<[u8]>) -> Self {
        let mut connection = ServerConnection::new();
        connection.receive(received.as_ref());
        let head = RequestHead::empty();
        Self { connection, head, limits: Limits::default(), out: Vec::new() }
    }

    /// Returns the name of the next event of a head, or the error.
    fn next_head(&mut self) -> String {
        match self.connection.next_head(&mut self.head, &self.limits) {
            Ok(event) => format!("{event:?}"),
            Err(error) => format!("{error:?}"),
        }
    }

    /// Returns the name of the next event of a body, or the error.
    fn next_body(&mut self) -> String {
        let text = match self.connection.next_body(&self.limits) {
            Ok(event) => format!("{event:?}"),
            Err(error) => format!("{error:?}"),
        };
        text.split('(').next().unwrap_or_default().to_owned()
    }

    fn head(&mut self, status: u16, length: BodyLength) -> Result<(), EncodeError> {
        let status = StatusCode::from_u16(status).unwrap();
        self.connection.send_head(status, &Headers::new(), length, DATE, &mut self.out)
    }

    fn data(&mut self, data: &str) -> Result<(), EncodeError> {
        self.connection.outgoing_body().send_data(data.as_bytes(), &mut self.out)
    }

    fn end(&mut self) -> Result<(), EncodeError> {
        self.connection.send_end(None, &mut self.out)
    }

    fn respond(&mut self, status: u16) {
        self.head(status, BodyLength::Empty).unwrap();
        self.end().unwrap();
    }

    /// Returns what was sent since the last call.
    fn sent(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.out)).unwrap()
    }
}

#[test]
fn pipelined_requests_are_decoded_one_by_one_and_share_the_bytes() {
    let mut driven = Driven::new(get_with("").repeat(3));
    for _ in 0..3 {
        assert_eq!(driven.next_head(), "Head");
        assert_eq!(driven.next_body(), "End");
        assert_eq!(driven.next_head(), "NeedData");
        assert!(driven.connection.can_respond() && !driven.connection.is_idle());
        driven.respond(200);
    }
    assert_eq!(driven.next_head(), "NeedData");
    assert!(driven.connection.is_idle() && driven.connection.keep_alive());
    assert_eq!(driven.connection.buffered(), 0);
    assert_eq!(driven.sent().matches("HTTP/1.1 200 OK\r\n").count(), 3);
}

#[test]
fn a_partial_head_shows_in_the_state() {
    let mut driven = Driven::new("");
    assert!(driven.connection.is_idle() && !driven.connection.is_reading_head());
    driven.connection.receive(b"GET / HTTP/1.1\r\n");
    assert_eq!(driven.next_head(), "NeedData");
    assert!(driven.connection.is_reading_head() && !driven.connection.is_idle());
    assert_eq!(driven.connection.buffered(), "GET / HTTP/1.1\r\n".len());
    driven.connection.receive(b"Host: a\r\n\r\n");
    assert_eq!(driven.next_head(), "Head");
    assert!(!driven.connection.is_reading_head());
}

#[test]
fn a_response_may_precede_the_body_of_its_request() {
    let request = post_with("Content-Length: 10\r\n", "hello");
    let mut driven = Driven::new(request);
    assert_eq!(driven.next_head(), "Head");
    driven.respond(200);
    assert!(driven.connection.is_reading_body());
    assert_eq!(driven.connection.body_remaining(), Some(10));
    assert_eq!(driven.next_body(), "Data");
    assert_eq!(driven.connection.body_remaining(), Some(5));
    assert_eq!(driven.next_body(), "NeedData");
    driven.connection.receive(format!("world{}", get_with("")).as_bytes());
    assert_eq!(driven.next_body(), "Data");
    assert_eq!(driven.next_body(), "End");
    assert!(!driven.connection.is_reading_body());
    assert_eq!(driven.next_head(), "Head");
}

#[test]
fn sending_out_of_turn_is_an_error() {
    let mut driven = Driven::new("");
    assert_eq!(driven.head(200, BodyLength::Empty), Err(EncodeError::OutOfTurn));
    assert_eq!(driven.data("x"), Err(EncodeError::OutOfTurn));
    assert_eq!(driven.end(), Err(EncodeError::OutOfTurn));
    driven.connection.receive(get_with("").as_bytes());
    assert_eq!(driven.next_head(), "Head");
    assert_eq!(driven.data("x"), Err(EncodeError::OutOfTurn));
    driven.head(200, BodyLength::Known(2)).unwrap();
    assert!(driven.connection.is_sending());
    assert_eq!(driven.head(200, BodyLength::Empty), Err(EncodeError::OutOfTurn));
    driven.sent();
    assert_eq!(driven.data("xyz"), Err(EncodeError::BodyTooLong(1)));
    assert_eq!(driven.end(), Err(EncodeError::BodyTooShort(2)));
    assert_eq!(driven.sent(), "");
    driven.data("xy").unwrap();
    driven.end().unwrap();
    assert_eq!(driven.end(), Err(EncodeError::OutOfTurn));
}

#[test]
fn a_response_that_cannot_be_sent_can_be_replaced() {
    let mut driven = Driven::new(get_with(""));
    driven.next_head();
    let mut headers = Headers::new();
    headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    let sent = driven.connection.send_head(
        StatusCode::OK,
        &headers,
        BodyLength::Empty,
        DATE,
        &mut driven.out,
    );
    assert_eq!((sent, driven.sent()), (Err(EncodeError::TransferEncoding), String::new()));
    driven.respond(500);
    assert!(driven.sent().starts_with("HTTP/1.1 500 Internal Server Error\r\n"));
}

#[test]
fn continue_is_sent_once_to_a_client_that_waits_for_it() {
    let mut driven = Driven::new(post_with("Content-Length: 5\r\nExpect: 100-continue\r\n", ""));
    driven.next_head();
    assert!(driven.connection.needs_continue());
    assert_eq!(driven.next_body(), "NeedData");
    assert!(driven.connection.send_continue(&mut driven.out));
    assert_eq!(driven.sent(), "HTTP/1.1 100 Continue\r\n\r\n");
    assert!(!driven.connection.needs_continue());
    assert!(!driven.connection.send_continue(&mut driven.out));
    driven.connection.receive(b"hello");
    assert_eq!(driven.next_body(), "Data");
    driven.respond(200);
    assert!(!driven.sent().contains("connection: close"));
}

#[test]
fn continue_is_not_sent_to_a_client_that_does_not_wait() {
    let expect = "Expect: 100-continue\r\n";
    for request in [
        get_with(expect),
        post_with(&format!("Content-Length: 0\r\n{expect}"), ""),
        post_with(&format!("Content-Length: 5\r\n{expect}"), "h"),
        post_with(&format!("Transfer-Encoding: chunked\r\n{expect}"), "5"),
        format!("POST / HTTP/1.0\r\nContent-Length: 5\r\n{expect}\r\n"),
    ] {
        let mut driven = Driven::new(&request);
        assert_eq!(driven.next_head(), "Head");
        assert!(!driven.connection.needs_continue(), "{request}");
        driven.next_body();
        assert!(!driven.connection.send_continue(&mut driven.out), "{request}");
        driven.respond(200);
        let closes = driven.sent().contains("connection: close");
        assert_eq!(closes, request.contains("HTTP/1.0"), "{request}");
    }
}

#[test]
fn a_final_response_instead_of_continue_closes_the_connection() {
    let mut driven = Driven::new(post_with("Content-Length: 5\r\nExpect: 100-continue\r\n", ""));
    driven.next_head();
    driven.respond(403);
    assert!(driven.sent().contains("\r\nconnection: close\r\n"));
    assert!(!driven.connection.needs_continue() && !driven.connection.keep_alive());
}

#[test]
fn a_route_may_raise_or_lower_the_body_limit() {
    let request = post_with("Content-Length: 5\r\nExpect: 100-continue\r\n", "");
    let mut driven = Driven::new(&request);
    driven.limits.body_bytes_max = 4;
    driven.next_head();
    assert_eq!(driven.connection.check_body_limit(), Err(ProtocolError::BodyTooLarge));
    driven.connection.set_body_limit(5);
    assert_eq!(driven.connection.check_body_limit(), Ok(()));
    driven.connection.receive(b"hello");
    assert_eq!(driven.next_body(), "Data");

    let mut driven = Driven::new(&request);
    driven.next_head();
    driven.connection.set_body_limit(4);
    assert_eq!(driven.next_body(), "BodyTooLarge");
    assert!(!driven.connection.send_continue(&mut driven.out));
    driven.respond(413);
    assert!(driven.sent().contains("\r\nconnection: close\r\n"));
    assert_eq!(driven.next_head(), "Closed");
}

#[test]
fn an_error_after_the_response_began_cannot_be_reported() {
    let mut driven = Driven::new(post_with("Transfer-Encoding: chunked\r\n", "1\r\nx\r\n"));
    driven.next_head();
    driven.head(200, BodyLength::Unknown).unwrap();
    assert_eq!(driven.next_body(), "Data");
    driven.connection.receive(b"x\r\n");
    assert_eq!(driven.next_body(), "ChunkSize");
    assert_eq!(driven.next_body(), "ChunkSize");
    assert!(!driven.connection.can_respond() && !driven.connection.keep_alive());
    assert_eq!(driven.next_head(), "Closed");
}

#[test]
fn a_truncated_body_is_an_error() {
    let mut driven = Driven::new(post_with("Content-Length: 5\r\n", "hell"));
    driven.connection.receive_eof();
    driven.next_head();
    assert_eq!(driven.next_body(), "Data");
    assert_eq!(driven.next_body(), "UnexpectedEnd");
    assert!(driven.connection.can_respond());
}

#[test]
fn requests_before_a_half_close_get_responses() {
    let mut driven = Driven::new(get_with("").repeat(2));
    driven.connection.receive_eof();
    for _ in 0..2 {
        assert_eq!(driven.next_head(), "Head");
        driven.respond(200);
    }
    assert_eq!(driven.next_head(), "Closed");
}

#[test]
fn close_after_response_makes_the_next_response_the_last() {
    let mut driven = Driven::new(get_with("").repeat(2));
    driven.next_head();
    driven.connection.close_after_response();
    driven.respond(200);
    assert!(driven.sent().contains("\r\nconnection: close\r\n"));
    assert_eq!(driven.next_head(), "Closed");
    driven.connection.receive(b"more");
    assert_eq!(driven.connection.buffered(), 0);

    let mut idle = Driven::new("");
    idle.connection.close_after_response();
    idle.connection.receive(get_with("").as_bytes());
    idle.next_head();
    idle.respond(200);
    assert!(idle.sent().contains("\r\nconnection: close\r\n"));
}

#[test]
fn an_informational_response_leaves_the_final_one_due() {
    let mut driven = Driven::new(get_with(""));
    driven.next_head();
    driven.head(103, BodyLength::Empty).unwrap();
    assert_eq!(driven.sent(), "HTTP/1.1 103 Early Hints\r\n\r\n");
    driven.respond(200);

    let mut old = Driven::new("GET / HTTP/1.0\r\n\r\n");
    old.next_head();
    old.head(103, BodyLength::Empty).unwrap();
    assert_eq!(old.sent(), "");
}

#[test]
fn only_a_1_1_get_without_body_and_with_both_headers_may_be_upgraded() {
    let lines = "Connection: keep-alive, Upgrade\r\nUpgrade: echo\r\n";
    let mut driven = Driven::new(get_with(lines) + "hello");
    assert_eq!(driven.next_head(), "Head");
    assert_eq!(driven.head.upgrade(), Some("echo"));
    driven.head(101, BodyLength::Empty).unwrap();
    driven.end().unwrap();
    assert_eq!(driven.sent(), "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\r\n");
    assert_eq!(&driven.connection.upgrade()[..], b"hello");
    assert_eq!(driven.next_head(), "Closed");

    for request in [
        get_with("Upgrade: echo\r\n"),
        get_with("Connection: upgrade\r\n"),
        get_with("Connection: upgrade\r\nReferer: echo\r\n"),
        get_with(&format!("{lines}Content-Length: 1\r\n")),
        post_with(lines, ""),
        format!("GET / HTTP/1.0\r\n{lines}\r\n"),
    ] {
        let mut driven = Driven::new(&request);
        assert_eq!(driven.next_head(), "Head");
        assert_eq!(driven.head.upgrade(), None, "{request}");
        let refused = Err(EncodeError::Status(StatusCode::SWITCHING_PROTOCOLS));
        assert_eq!(driven.head(101, BodyLength::Empty), refused, "{request}");
    }
}

#[test]
fn bytes_after_101_are_not_parsed_as_a_request() {
    let lines = "Connection: upgrade\r\nUpgrade: echo\r\n";
    let mut driven = Driven::new(get_with(lines) + &get_with(""));
    driven.next_head();
    driven.head(101, BodyLength::Empty).unwrap();
    driven.end().unwrap();
    assert_eq!(driven.next_head(), "NeedData");
    assert_eq!(driven.connection.upgrade(), get_with(""));
}

#[test]
fn a_head_holds_what_was_sent() {
    let lines = "X: 1\r\nhOST: a:8\r\nx:  2 \r\nEmpty:\r\n";
    let mut driven = Driven::new(format!("GET /p%20q?r=s?t HTTP/1.1\r\n{lines}\r\n"));
    assert_eq!(driven.next_head(), "Head");
    let head = &driven.head;
    assert_eq!(
        (head.target(), head.path(), head.query()),
        ("/p%20q?r=s?t", "/p%20q", Some("r=s?t"))
    );
    assert_eq!((head.authority(), head.host()), (Some("a:8"), Some("a")));
    assert_eq!(
        (head.header("x"), head.header("EMPTY"), head.header("y")),
        (Some(&b"1"[..]), Some(&b""[..]), None)
    );
    let names: Vec<_> = head.header_lines().map(|(name, _)| name).collect();
    assert_eq!(names, [&b"X"[..], b"hOST", b"x", b"Empty"]);
    let values: Vec<_> = head.headers().get_all("x").iter().collect();
    assert_eq!(values, ["1", "2"]);
    assert_eq!(head.uri(), "/p%20q?r=s?t");
}

#[test]
fn the_host_of_a_request_is_its_authority_without_the_port() {
    for (host, expected) in
        [("a", "a"), ("a:80", "a"), ("a:", "a"), ("[::1]", "[::1]"), ("[::1]:80", "[::1]")]
    {
        let mut driven = Driven::new(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(driven.next_head(), "Head");
        assert_eq!(driven.head.host(), Some(expected));
    }
}

#[test]
fn a_request_is_the_last_one_if_the_client_says_so_or_ends_its_side() {
    let is_last = |lines: &str, ends: bool| {
        let mut driven = Driven::new(get_with(lines));
        if ends {
            driven.connection.receive_eof();
        }
        assert_eq!(driven.next_head(), "Head");
        driven.connection.is_last_request()
    };
    assert!(!is_last("", false));
    assert!(is_last("Connection: close\r\n", false) && is_last("", true));
}

#[test]
fn the_response_to_a_malformed_head_request_has_no_body() {
    for received in [
        "HEAD / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\n",
        "HEAD / HTTP/1.1\r\n\r\n",
        "\r\nHEAD / HTTP/1.1\r\nHost: a\nB: c",
        "HEAD /# HTTP/1.1\r\nHost: a\r\n\r\n",
        "HEAD / HTTP/2.0\r\n\r\n",
    ] {
        let mut whole = Driven::new(received);
        assert!(whole.connection.next_head(&mut whole.head, &whole.limits).is_err());
        let mut in_place = Driven::new("");
        let received = received.as_bytes();
        let Driven { connection, head, limits, .. } = &mut in_place;
        assert!(connection.receive_head(received, head, limits).is_err());
        for mut driven in [whole, in_place] {
            driven.head(400, BodyLength::Known(4)).unwrap();
            driven.data("body").unwrap();
            driven.end().unwrap();
            let sent = driven.sent();
            assert!(sent.contains("content-length: 4\r\n") && sent.ends_with("\r\n\r\n"), "{sent}");
        }
    }
}

#[test]
fn the_timeout_of_a_head_request_has_no_body_once_its_method_has_been_read() {
    for (received, ending) in [("HEAD /", "\r\n\r\n"), ("HEAD", "body"), ("HEADER /", "body")] {
        let mut driven = Driven::new(received);
        assert_eq!(driven.next_head(), "NeedData");
        driven.connection.give_up(ProtocolError::HeadTimeout, &Limits::default());
        driven.head(408, BodyLength::Known(4)).unwrap();
        driven.data("body").unwrap();
        driven.end().unwrap();
        assert!(driven.sent().ends_with(ending), "{received}");
    }
}
