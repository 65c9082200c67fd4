//! The life of a server connection: what may happen when, and what its driver is told.

// crates
use brigade_http::protocol::{Connection, Event};
use brigade_http::{BodyLength, EncodeError, Headers, Limits, ProtocolError, RequestHead};
use http::{HeaderValue, StatusCode, header};

// ours
mod support;
use support::{DATE, get_with, post_with};

struct Driven {
    connection: Connection,
    limits: Limits,
    out: Vec<u8>,
}

impl Driven {
    fn new(received: impl AsRef<[u8]>) -> Self {
        let mut connection = Connection::new();
        connection.receive(received.as_ref());
        Self { connection, limits: Limits::default(), out: Vec::new() }
    }

    fn next(&mut self) -> Event {
        self.connection.next_event(&self.limits)
    }

    /// The name of the next event.
    fn next_name(&mut self) -> String {
        let text = format!("{:?}", self.next());
        text.split(['(', ' ']).next().unwrap_or_default().to_owned()
    }

    fn head(&mut self, status: u16, length: BodyLength) -> Result<(), EncodeError> {
        let status = StatusCode::from_u16(status).unwrap();
        self.connection.send_head(status, &Headers::new(), length, DATE, &mut self.out)
    }

    fn data(&mut self, data: &str) -> Result<(), EncodeError> {
        self.connection.send_data(data.as_bytes(), &mut self.out)
    }

    fn end(&mut self) -> Result<(), EncodeError> {
        self.connection.send_end(None, &mut self.out)
    }

    fn answer(&mut self, status: u16) {
        self.head(status, BodyLength::Empty).unwrap();
        self.end().unwrap();
    }

    /// What was sent since this was last asked.
    fn sent(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.out)).unwrap()
    }
}

#[test]
fn pipelined_requests_are_decoded_one_by_one_and_share_the_bytes() {
    let mut driven = Driven::new(get_with("").repeat(3));
    for _ in 0..3 {
        assert_eq!(driven.next_name(), "Request");
        assert_eq!(driven.next_name(), "Paused");
        assert_eq!(driven.next_name(), "Paused");
        assert!(driven.connection.can_answer() && !driven.connection.is_idle());
        driven.answer(200);
    }
    assert_eq!(driven.next_name(), "NeedData");
    assert!(driven.connection.is_idle() && driven.connection.keep_alive());
    assert_eq!(driven.connection.buffered(), 0);
    assert_eq!(driven.sent().matches("HTTP/1.1 200 OK\r\n").count(), 3);
}

#[test]
fn parts_of_a_head_show_in_the_state() {
    let mut driven = Driven::new("");
    assert!(driven.connection.is_idle() && !driven.connection.is_reading_head());
    driven.connection.receive(b"GET / HTTP/1.1\r\n");
    assert_eq!(driven.next_name(), "NeedData");
    assert!(driven.connection.is_reading_head() && !driven.connection.is_idle());
    driven.connection.receive(b"Host: a\r\n\r\n");
    assert_eq!(driven.next_name(), "Request");
    assert!(!driven.connection.is_reading_head());
}

#[test]
fn an_answer_may_come_before_the_body() {
    let request = post_with("Content-Length: 10\r\n", "hello");
    let mut driven = Driven::new(request);
    assert_eq!(driven.next_name(), "Request");
    driven.answer(200);
    assert!(driven.connection.is_reading_body());
    assert_eq!(driven.connection.body_remaining(), Some(10));
    assert_eq!(driven.next_name(), "Body");
    assert_eq!(driven.connection.body_remaining(), Some(5));
    assert_eq!(driven.next_name(), "NeedData");
    driven.connection.receive(format!("world{}", get_with("")).as_bytes());
    assert_eq!(driven.next_name(), "Body");
    assert_eq!(driven.next_name(), "BodyEnd");
    assert!(!driven.connection.is_reading_body());
    assert_eq!(driven.next_name(), "Request");
}

#[test]
fn what_is_sent_out_of_turn_is_refused() {
    let mut driven = Driven::new("");
    assert_eq!(driven.head(200, BodyLength::Empty), Err(EncodeError::OutOfTurn));
    assert_eq!(driven.data("x"), Err(EncodeError::OutOfTurn));
    assert_eq!(driven.end(), Err(EncodeError::OutOfTurn));
    driven.connection.receive(get_with("").as_bytes());
    assert_eq!(driven.next_name(), "Request");
    assert_eq!(driven.data("x"), Err(EncodeError::OutOfTurn));
    driven.head(200, BodyLength::Known(2)).unwrap();
    assert!(driven.connection.is_answering());
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
fn a_refused_answer_can_be_replaced() {
    let mut driven = Driven::new(get_with(""));
    driven.next();
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
    driven.answer(500);
    assert!(driven.sent().starts_with("HTTP/1.1 500 Internal Server Error\r\n"));
}

#[test]
fn continue_is_sent_once_to_who_waits_for_it() {
    let mut driven = Driven::new(post_with("Content-Length: 5\r\nExpect: 100-continue\r\n", ""));
    driven.next();
    assert!(driven.connection.needs_continue());
    assert_eq!(driven.next_name(), "NeedData");
    assert!(driven.connection.send_continue(&mut driven.out));
    assert_eq!(driven.sent(), "HTTP/1.1 100 Continue\r\n\r\n");
    assert!(!driven.connection.needs_continue());
    assert!(!driven.connection.send_continue(&mut driven.out));
    driven.connection.receive(b"hello");
    assert_eq!(driven.next_name(), "Body");
    driven.answer(200);
    assert!(!driven.sent().contains("connection: close"));
}

#[test]
fn continue_is_not_sent_where_nobody_waits() {
    let expect = "Expect: 100-continue\r\n";
    for request in [
        get_with(expect),
        post_with(&format!("Content-Length: 0\r\n{expect}"), ""),
        post_with(&format!("Content-Length: 5\r\n{expect}"), "h"),
        post_with(&format!("Transfer-Encoding: chunked\r\n{expect}"), "5"),
        format!("POST / HTTP/1.0\r\nContent-Length: 5\r\n{expect}\r\n"),
    ] {
        let mut driven = Driven::new(&request);
        assert_eq!(driven.next_name(), "Request");
        assert!(!driven.connection.needs_continue(), "{request}");
        driven.next();
        assert!(!driven.connection.send_continue(&mut driven.out), "{request}");
        driven.answer(200);
        let closes = driven.sent().contains("connection: close");
        assert_eq!(closes, request.contains("HTTP/1.0"), "{request}");
    }
}

#[test]
fn a_final_answer_instead_of_continue_closes() {
    let mut driven = Driven::new(post_with("Content-Length: 5\r\nExpect: 100-continue\r\n", ""));
    driven.next();
    driven.answer(403);
    assert!(driven.sent().contains("\r\nconnection: close\r\n"));
    assert!(!driven.connection.needs_continue() && !driven.connection.keep_alive());
}

#[test]
fn a_route_may_raise_or_lower_the_body_limit() {
    let request = post_with("Content-Length: 5\r\nExpect: 100-continue\r\n", "");
    let mut driven = Driven::new(&request);
    driven.limits.body_bytes_max = 4;
    driven.next();
    assert_eq!(driven.connection.check_body_limit(), Err(ProtocolError::BodyTooLarge));
    driven.connection.set_body_limit(5);
    assert_eq!(driven.connection.check_body_limit(), Ok(()));
    driven.connection.receive(b"hello");
    assert_eq!(driven.next_name(), "Body");

    let mut driven = Driven::new(&request);
    driven.next();
    driven.connection.set_body_limit(4);
    assert!(matches!(driven.next(), Event::Error(ProtocolError::BodyTooLarge)));
    assert!(!driven.connection.send_continue(&mut driven.out));
    driven.answer(413);
    assert!(driven.sent().contains("\r\nconnection: close\r\n"));
    assert_eq!(driven.next_name(), "Closed");
}

#[test]
fn an_error_after_the_answer_began_cannot_be_answered() {
    let mut driven = Driven::new(post_with("Transfer-Encoding: chunked\r\n", "1\r\nx\r\n"));
    driven.next();
    driven.head(200, BodyLength::Unknown).unwrap();
    assert_eq!(driven.next_name(), "Body");
    driven.connection.receive(b"x\r\n");
    assert_eq!(driven.next_name(), "Error");
    assert!(!driven.connection.can_answer() && !driven.connection.keep_alive());
    assert_eq!(driven.next_name(), "Closed");
}

#[test]
fn a_cut_body_is_an_error_and_not_an_end() {
    let mut driven = Driven::new(post_with("Content-Length: 5\r\n", "hell"));
    driven.connection.receive_eof();
    driven.next();
    assert_eq!(driven.next_name(), "Body");
    assert!(matches!(driven.next(), Event::Error(ProtocolError::UnexpectedEnd)));
    assert!(driven.connection.can_answer());
}

#[test]
fn requests_before_a_half_close_are_answered() {
    let mut driven = Driven::new(get_with("").repeat(2));
    driven.connection.receive_eof();
    for _ in 0..2 {
        assert_eq!(driven.next_name(), "Request");
        driven.answer(200);
    }
    assert_eq!(driven.next_name(), "Closed");
}

#[test]
fn shutdown_closes_after_the_answer() {
    let mut driven = Driven::new(get_with("").repeat(2));
    driven.next();
    driven.connection.close_after_answer();
    driven.answer(200);
    assert!(driven.sent().contains("\r\nconnection: close\r\n"));
    assert_eq!(driven.next_name(), "Closed");
    driven.connection.receive(b"more");
    assert_eq!(driven.connection.buffered(), 0);

    let mut idle = Driven::new("");
    idle.connection.close_after_answer();
    idle.connection.receive(get_with("").as_bytes());
    idle.next();
    idle.answer(200);
    assert!(idle.sent().contains("\r\nconnection: close\r\n"));
}

#[test]
fn informational_answers_leave_the_answer_due() {
    let mut driven = Driven::new(get_with(""));
    driven.next();
    driven.head(103, BodyLength::Empty).unwrap();
    assert_eq!(driven.sent(), "HTTP/1.1 103 Early Hints\r\n\r\n");
    driven.answer(200);

    let mut old = Driven::new("GET / HTTP/1.0\r\n\r\n");
    old.next();
    old.head(103, BodyLength::Empty).unwrap();
    assert_eq!(old.sent(), "");
}

#[test]
fn upgrades_are_for_a_1_1_get_without_body_that_asks_twice() {
    let lines = "Connection: keep-alive, Upgrade\r\nUpgrade: echo\r\n";
    let mut driven = Driven::new(get_with(lines) + "hello");
    let Event::Request(head) = driven.next() else { panic!("a request") };
    assert_eq!(head.upgrade(), Some("echo"));
    driven.head(101, BodyLength::Empty).unwrap();
    driven.end().unwrap();
    assert_eq!(driven.sent(), "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\r\n");
    assert_eq!(&driven.connection.upgrade()[..], b"hello");
    assert_eq!(driven.next_name(), "Closed");

    for request in [
        get_with("Upgrade: echo\r\n"),
        get_with("Connection: upgrade\r\n"),
        get_with(&format!("{lines}Content-Length: 1\r\n")),
        post_with(lines, ""),
        format!("GET / HTTP/1.0\r\n{lines}\r\n"),
    ] {
        let mut driven = Driven::new(&request);
        let Event::Request(head) = driven.next() else { panic!("a request") };
        assert_eq!(head.upgrade(), None, "{request}");
        let refused = Err(EncodeError::Status(StatusCode::SWITCHING_PROTOCOLS));
        assert_eq!(driven.head(101, BodyLength::Empty), refused, "{request}");
    }
}

#[test]
fn after_101_the_next_bytes_are_no_request() {
    let lines = "Connection: upgrade\r\nUpgrade: echo\r\n";
    let mut driven = Driven::new(get_with(lines) + &get_with(""));
    driven.next();
    driven.head(101, BodyLength::Empty).unwrap();
    driven.end().unwrap();
    assert_eq!(driven.next_name(), "Paused");
    assert_eq!(driven.connection.upgrade(), get_with(""));
}

#[test]
fn heads_tell_what_was_sent() {
    let lines = "X: 1\r\nhOST: a:8\r\nx:  2 \r\nEmpty:\r\n";
    let mut driven = Driven::new(format!("GET /p%20q?r=s?t HTTP/1.1\r\n{lines}\r\n"));
    let Event::Request(head) = driven.next() else { panic!("a request") };
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
fn the_response_to_a_malformed_head_request_has_no_body() {
    for received in [
        "HEAD / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\n",
        "HEAD / HTTP/1.1\r\n\r\n",
        "\r\nHEAD / HTTP/1.1\r\nHost: a\nB: c",
        "HEAD /# HTTP/1.1\r\nHost: a\r\n\r\n",
        "HEAD / HTTP/2.0\r\n\r\n",
    ] {
        let mut whole = Driven::new(received);
        assert_eq!(whole.next_name(), "Error");
        let mut in_place = Driven::new("");
        let mut head = RequestHead::empty();
        let event =
            in_place.connection.receive_into(received.as_bytes(), &mut head, &Limits::default());
        assert!(matches!(event, Event::Error(_)));
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
        assert_eq!(driven.next_name(), "NeedData");
        driven.connection.give_up(ProtocolError::HeadTimeout, &Limits::default());
        driven.head(408, BodyLength::Known(4)).unwrap();
        driven.data("body").unwrap();
        driven.end().unwrap();
        assert!(driven.sent().ends_with(ending), "{received}");
    }
}
