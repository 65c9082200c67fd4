//! The client's side of the protocol: how requests are encoded and responses decoded.

// std
use std::mem;

// crates
use brigade_http::protocol::{BodyEvent, ClientConnection, ResponseEvent};
use brigade_http::{BodyLength, EncodeError, Headers, Limits, ProtocolError};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};

fn sent(
    method: &Method,
    lines: &[(&str, &str)],
    length: BodyLength,
    body: &str,
) -> (ClientConnection, String) {
    let mut connection = ClientConnection::new();
    let mut out = Vec::new();
    let mut headers = Headers::new();
    for &(name, value) in lines {
        headers.append(HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap());
    }
    connection.send_head(method, "/p?q", "a:80", &headers, length, &mut out).unwrap();
    connection.outgoing_body().send_data(body.as_bytes(), &mut out).unwrap();
    connection.send_end(None, &mut out).unwrap();
    (connection, String::from_utf8(out).unwrap())
}

#[test]
fn requests_have_their_target_host_and_length() {
    let text = |method, lines: &[(&str, &str)], length, body| sent(&method, lines, length, body).1;
    let none = BodyLength::Empty;
    assert_eq!(text(Method::GET, &[], none, ""), "GET /p?q HTTP/1.1\r\nhost: a:80\r\n\r\n");
    assert_eq!(
        text(Method::POST, &[], none, ""),
        "POST /p?q HTTP/1.1\r\nhost: a:80\r\ncontent-length: 0\r\n\r\n"
    );
    assert_eq!(
        text(Method::PUT, &[("host", "b"), ("x", "y")], BodyLength::Known(2), "hi"),
        "PUT /p?q HTTP/1.1\r\nhost: b\r\nx: y\r\ncontent-length: 2\r\n\r\nhi"
    );
    assert_eq!(
        text(Method::POST, &[("connection", "close")], BodyLength::Unknown, "hi"),
        "POST /p?q HTTP/1.1\r\nhost: a:80\r\nconnection: close\r\n\
         transfer-encoding: chunked\r\n\r\n\
         2\r\nhi\r\n0\r\n\r\n"
    );
}

#[test]
fn ambiguous_requests_are_refused() {
    let refused = |method: &str, target: &str, authority: &str| {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut out = Vec::new();
        let sent = ClientConnection::new().send_head(
            &method,
            target,
            authority,
            &Headers::new(),
            BodyLength::Empty,
            &mut out,
        );
        assert_eq!(sent.is_err(), out.is_empty());
        sent.err()
    };
    for target in ["", "x", "/ HTTP/1.1\r\nX: y", "/a b", "/\u{e9}", "/#f", "*"] {
        assert_eq!(refused("GET", target, "a"), Some(EncodeError::Target), "{target:?}");
    }
    for host in ["", "a\r\nX: y", "u@a", "a/b", "a, b"] {
        assert_eq!(refused("GET", "/", host), Some(EncodeError::Host), "{host:?}");
    }
    assert_eq!(refused("CONNECT", "/", "a"), Some(EncodeError::Target));
    assert_eq!(refused("OPTIONS", "*", "a"), None);
    assert_eq!(refused("GET", "http://a/", "a"), None);
}

/// Returns the next head as text, or the error; `None` if more is needed or nothing follows.
fn next_head(connection: &mut ClientConnection) -> Option<String> {
    match connection.next_head(&Limits::default()) {
        Ok(ResponseEvent::NeedData | ResponseEvent::Closed) => None,
        Ok(ResponseEvent::Informational(head)) => Some(format!("({})", head.status().as_u16())),
        Ok(ResponseEvent::Head(head)) => {
            Some(format!("{} {:?}", head.status().as_u16(), head.reason()))
        }
        Err(error) => Some(format!("{error:?}")),
    }
}

/// Returns the whole body as text, or the error; `None` if more is needed.
fn next_body(connection: &mut ClientConnection, body: &mut Vec<u8>) -> Option<String> {
    loop {
        match connection.next_body(&Limits::default()) {
            Ok(BodyEvent::NeedData) => return None,
            Ok(BodyEvent::Data(data)) => body.extend_from_slice(&data),
            Ok(BodyEvent::End(trailers)) => {
                let body = String::from_utf8(mem::take(body)).unwrap();
                let count = trailers.as_deref().map_or(0, HeaderMap::len);
                let kept = if connection.is_idle() { " kept" } else { "" };
                return Some(format!("{body:?}+{count}{kept}"));
            }
            Err(error) => return Some(format!("{error:?}")),
        }
    }
}

/// Receives `pieces`, then the end of the stream. Returns the events as text.
fn journal<'a>(method: &Method, pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
    let (mut connection, _) = sent(method, &[], BodyLength::Empty, "");
    let mut entries: Vec<String> = Vec::new();
    let mut body = Vec::new();
    let pieces = pieces.into_iter().map(Some).chain([None]);
    for piece in pieces {
        match piece {
            Some(piece) => connection.receive(piece),
            None => connection.receive_eof(),
        }
        loop {
            let entry = match connection.is_reading_body() {
                true => next_body(&mut connection, &mut body),
                false => next_head(&mut connection),
            };
            match entry {
                Some(entry) => entries.push(entry),
                None => break,
            }
        }
    }
    entries.join(" ")
}

fn check(method: &Method, input: &str, expected: &str) {
    let input = input.as_bytes();
    // Whether the connection is kept shows only if nothing follows in the same piece, so it is
    // looked at where the whole is one piece or its last byte comes alone.
    assert_eq!(journal(method, [input]), expected, "{input:?}");
    assert_eq!(journal(method, input.chunks(1)), expected, "{input:?}");
    for at in 0..=input.len() {
        let (before, after) = input.split_at(at);
        assert_eq!(journal(method, [before, after]), expected, "cut at {at}: {input:?}");
    }
}

#[test]
fn responses_are_framed_in_the_order_of_the_rules() {
    let get = Method::GET;
    check(&get, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "200 \"OK\" \"hi\"+0 kept");
    check(&get, "HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n", "404 \"\" \"\"+0 kept");
    check(&get, "HTTP/1.1 200 OK\r\n\r\nall of it", "200 \"OK\" \"all of it\"+0");
    check(&get, "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", "200 \"OK\" \"hi\"+0");
    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nA: b\r\n\r\n";
    check(&get, chunked, "200 \"OK\" \"hi\"+1 kept");
    check(&get, "HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", "204 \"No\" \"\"+0 kept");
    check(&get, "HTTP/1.1 304 Same\r\nContent-Length: 5\r\n\r\n", "304 \"Same\" \"\"+0 kept");
    check(&Method::HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "200 \"OK\" \"\"+0 kept");
    let closed = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi";
    check(&get, closed, "200 \"OK\" \"hi\"+0");
}

#[test]
fn informational_responses_precede_the_final_one() {
    let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
                HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    check(&Method::GET, text, "(100) (103) 200 \"OK\" \"\"+0 kept");
}

#[test]
fn ambiguous_responses_are_errors() {
    for (text, error) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
            "LengthAndEncoding",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n",
            "ContentLengthRepeated",
        ),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "TransferEncoding"),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "EncodingInOldVersion"),
        ("HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", "LineEnd"),
        ("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "HeaderName"),
        ("HTTP/1.1 200 OK\r\n A: b\r\n\r\n", "HeaderName"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n \r\n\r\n", "ContentLength"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n\tchunked\r\n\r\n", "TransferEncoding"),
        ("HTTP/2.0 200 OK\r\n\r\n", "StartLine"),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", "StartLine"),
        ("HTTP/1.1 20 OK\r\n\r\n", "StartLine"),
        ("HTTP/1.1 099 OK\r\n\r\n", "StartLine"),
        ("SSH-2.0", "StartLine"),
        ("HTTP/1.1 200 OK\r\nContent-Le", "UnexpectedEnd"),
    ] {
        check(&Method::GET, text, error);
    }
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi";
    check(&Method::GET, cut, "200 \"OK\" UnexpectedEnd");
    let more = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let seen = journal(&Method::GET, [more.as_bytes(), b"HTTP/1.1 200 OK\r\n\r\n"]);
    assert_eq!(seen, "200 \"OK\" \"\"+0 kept UnexpectedResponse");
}

#[test]
fn the_size_of_a_body_can_be_limited() {
    let (mut connection, _) = sent(&Method::GET, &[], BodyLength::Empty, "");
    connection.set_body_limit(4);
    connection.receive(b"HTTP/1.1 200 OK\r\n\r\nhello");
    let limits = Limits::default();
    assert!(matches!(connection.next_head(&limits), Ok(ResponseEvent::Head(_))));
    for _ in 0..2 {
        let part = connection.next_body(&limits);
        assert!(matches!(part, Err(ProtocolError::BodyTooLarge)));
    }
    assert!(matches!(connection.next_head(&limits), Ok(ResponseEvent::Closed)));
    assert!(!connection.keep_alive() && !connection.is_idle());
}

#[test]
fn a_body_of_exactly_the_limit_is_accepted() {
    for framing in ["", "Content-Length: 4\r\n", "Transfer-Encoding: chunked\r\n"] {
        let (mut connection, _) = sent(&Method::GET, &[], BodyLength::Empty, "");
        connection.set_body_limit(4);
        let body = if framing.starts_with('T') { "4\r\nhell\r\n0\r\n\r\n" } else { "hell" };
        connection.receive(format!("HTTP/1.1 200 OK\r\n{framing}\r\n{body}").as_bytes());
        connection.receive_eof();
        assert_eq!(next_head(&mut connection).as_deref(), Some("200 \"OK\""));
        let seen = next_body(&mut connection, &mut Vec::new());
        assert_eq!(seen.as_deref(), Some("\"hell\"+0"), "{framing:?}");
    }
}

#[test]
fn a_body_before_the_head_has_no_parts_and_ends_nothing() {
    let (mut connection, _) = sent(&Method::GET, &[], BodyLength::Empty, "");
    assert_eq!(next_body(&mut connection, &mut Vec::new()).as_deref(), Some("\"\"+0"));
    connection.receive(b"HTTP/1.1 204 No\r\n\r\n");
    assert_eq!(next_head(&mut connection).as_deref(), Some("204 \"No\""));
}

#[test]
fn the_memory_of_received_bytes_is_handed_out() {
    let (mut connection, _) = sent(&Method::GET, &[], BodyLength::Empty, "");
    connection.receive(b"HTTP/1.0 200 OK\r\n\r\n");
    let limits = Limits::default();
    let Ok(ResponseEvent::Head(head)) = connection.next_head(&limits) else { panic!("no head") };
    assert_eq!((head.version(), connection.buffered()), (Version::HTTP_10, 0));
    let data = vec![b'x'; 1000];
    let place = data.as_ptr();
    connection.receive_owned(data);
    assert_eq!(connection.buffered(), 1000);
    let Ok(BodyEvent::Data(part)) = connection.next_body(&limits) else { panic!("no data") };
    assert_eq!((part.as_ptr(), connection.buffered()), (place, 0));
}

#[test]
fn a_connection_is_kept_unless_a_side_says_otherwise() {
    let is_kept = |lines: &[(&str, &str)], response: &str| {
        let (mut connection, _) = sent(&Method::GET, lines, BodyLength::Empty, "");
        connection.receive(response.as_bytes());
        next_head(&mut connection);
        connection.keep_alive()
    };
    assert!(is_kept(&[], "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    assert!(!is_kept(&[], "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"));
    assert!(!is_kept(&[("connection", "close")], "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    assert!(!is_kept(&[], "HTTP/1.1 200 OK\r\n\r\n"));
    assert!(!is_kept(&[], "HTTP/1.1 101 Switching Protocols\r\n\r\n"));
}

#[test]
fn an_idle_connection_is_closed_by_the_end_of_the_stream() {
    let mut connection = ClientConnection::new();
    let limits = Limits::default();
    assert!(matches!(connection.next_head(&limits), Ok(ResponseEvent::NeedData)));
    connection.receive_eof();
    assert!(matches!(connection.next_head(&limits), Ok(ResponseEvent::Closed)));
}

#[test]
fn a_request_with_upgrade_lists_it_in_connection_once() {
    let text = |lines: &[(&str, &str)]| sent(&Method::GET, lines, BodyLength::Empty, "").1;
    let head = "GET /p?q HTTP/1.1\r\nhost: a:80\r\n";
    let added = format!("{head}upgrade: x\r\nconnection: upgrade\r\n\r\n");
    assert_eq!(text(&[("upgrade", "x")]), added);
    let listed = [("upgrade", "x"), ("connection", "a, Upgrade"), ("connection", "b")];
    let all = "upgrade: x\r\nconnection: a, Upgrade\r\nconnection: b\r\n";
    assert_eq!(text(&listed), format!("{head}{all}\r\n"));
    assert_eq!(text(&[("connection", "b")]), format!("{head}connection: b\r\n\r\n"));
}

#[test]
fn bytes_after_101_are_returned_undecoded() {
    let lines = [("connection", "upgrade"), ("upgrade", "echo")];
    let (mut connection, text) = sent(&Method::GET, &lines, BodyLength::Empty, "");
    assert!(text.contains("\r\nconnection: upgrade\r\nupgrade: echo\r\n"));
    connection.receive(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\nhel");
    let event = connection.next_head(&Limits::default());
    assert!(matches!(event, Ok(ResponseEvent::Head(_))));
    connection.receive(b"lo");
    assert_eq!(connection.upgrade(), "hello");
}

#[test]
fn a_second_request_before_the_response_is_refused() {
    let (mut connection, _) = sent(&Method::GET, &[], BodyLength::Empty, "");
    let mut out = Vec::new();
    let mut again = |connection: &mut ClientConnection| {
        connection.send_head(&Method::GET, "/", "a", &Headers::new(), BodyLength::Empty, &mut out)
    };
    assert_eq!(again(&mut connection), Err(EncodeError::OutOfTurn));
    connection.receive(b"HTTP/1.1 204 No Content\r\n\r\n");
    let limits = Limits::default();
    assert!(matches!(connection.next_head(&limits), Ok(ResponseEvent::Head(_))));
    assert_eq!(again(&mut connection), Err(EncodeError::OutOfTurn));
    assert!(matches!(connection.next_body(&limits), Ok(BodyEvent::End(None))));
    assert_eq!(again(&mut connection), Ok(()));
}
