//! The bytes of responses: status line, framing, persistence, and the effect of headers that the
//! caller sets.

// crates
use brigade_http::protocol::{RequestEvent, ServerConnection};
use brigade_http::{BodyLength, EncodeError, Headers, Limits, RequestHead};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

// ours
mod support;
use support::{DATE, get_with};

const DATE_LINE: &str = "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";

/// Returns a connection that has received `request`.
fn connection_with(request: &str) -> ServerConnection {
    let mut connection = ServerConnection::new();
    connection.receive(request.as_bytes());
    let event = connection.next_head(&mut RequestHead::empty(), &Limits::default());
    assert_eq!(event, Ok(RequestEvent::Head));
    connection
}

fn headers(lines: &[(&str, &str)]) -> Headers {
    let line = |&(name, value): &(&str, &str)| {
        (HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap())
    };
    lines.iter().map(line).collect()
}

/// Returns the whole response without the date, which must be the last header.
fn respond(
    request: &str,
    status: u16,
    lines: &[(&str, &str)],
    length: BodyLength,
    parts: &[&str],
) -> Result<String, EncodeError> {
    let mut connection = connection_with(request);
    let mut out = Vec::new();
    let status = StatusCode::from_u16(status).unwrap();
    let head = connection.send_head(status, &headers(lines), length, DATE, &mut out);
    assert!(head.is_ok() || out.is_empty(), "nothing is written if a head is refused");
    head?;
    for part in parts {
        connection.outgoing_body().send_data(part.as_bytes(), &mut out)?;
    }
    connection.send_end(None, &mut out)?;
    let text = String::from_utf8(out).unwrap();
    Ok(text.replacen(&format!("{DATE_LINE}\r\n"), "\r\n", 1))
}

const HTTP_10: &str = "GET / HTTP/1.0\r\n\r\n";
const HTTP_10_KEEP_ALIVE: &str = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
const HTTP_10_HEAD: &str = "HEAD / HTTP/1.0\r\n\r\n";

#[test]
fn bodies_of_known_length_are_sent_unchanged() {
    let get = get_with("");
    let seen = respond(&get, 200, &[("server", "b")], BodyLength::Known(4), &["he", "", "ho"]);
    assert_eq!(seen.unwrap(), "HTTP/1.1 200 OK\r\nserver: b\r\ncontent-length: 4\r\n\r\nheho");
    let seen = respond(&get, 404, &[], BodyLength::Empty, &[]);
    assert_eq!(seen.unwrap(), "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
    let seen = respond(&get, 299, &[], BodyLength::Empty, &[]);
    assert_eq!(seen.unwrap(), "HTTP/1.1 299 \r\ncontent-length: 0\r\n\r\n");
}

#[test]
fn bodies_of_unknown_length_are_chunked_or_end_with_the_connection() {
    let parts = ["hello ", "", "wide world, it is me"];
    let seen = respond(&get_with(""), 200, &[], BodyLength::Unknown, &parts).unwrap();
    let body = "6\r\nhello \r\n14\r\nwide world, it is me\r\n0\r\n\r\n";
    assert_eq!(seen, format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{body}"));
    for request in [HTTP_10, HTTP_10_KEEP_ALIVE] {
        let seen = respond(request, 200, &[], BodyLength::Unknown, &parts).unwrap();
        let body = "hello wide world, it is me";
        assert_eq!(seen, format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{body}"));
    }
}

#[test]
fn persistence_is_stated_unless_it_is_the_default() {
    let persistence = |request: &str, lines: &[(&str, &str)]| {
        let seen = respond(request, 200, lines, BodyLength::Empty, &[]).unwrap();
        let line = seen.lines().find(|line| line.starts_with("connection")).unwrap_or("-");
        line.to_owned()
    };
    assert_eq!(persistence(&get_with(""), &[]), "-");
    assert_eq!(persistence(&get_with("Connection: close\r\n"), &[]), "connection: close");
    assert_eq!(persistence(HTTP_10, &[]), "connection: close");
    assert_eq!(persistence(HTTP_10_KEEP_ALIVE, &[]), "connection: keep-alive");
    let close = [("connection", "x, Close")];
    assert_eq!(persistence(&get_with(""), &close), "connection: close");
    assert_eq!(persistence(HTTP_10_KEEP_ALIVE, &close), "connection: close");
    let keep = [("connection", "keep-alive"), ("keep-alive", "timeout=5")];
    assert_eq!(persistence(&get_with(""), &keep), "-");
    assert_eq!(persistence(HTTP_10, &keep), "connection: close");
}

#[test]
fn responses_to_head_have_the_head_of_get_and_no_body() {
    let length = |request, lines: &[(&str, &str)], length| {
        respond(request, 200, lines, length, &["body"]).unwrap()
    };
    let known = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n";
    assert_eq!(length(HEAD, &[], BodyLength::Known(4)), known);
    assert_eq!(length(HEAD, &[("content-length", "4")], BodyLength::Empty), known);
    let open = "HTTP/1.1 200 OK\r\n\r\n";
    assert_eq!(length(HEAD, &[], BodyLength::Empty), open, "GET may have a body");
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    assert_eq!(length(HEAD, &[], BodyLength::Unknown), chunked);
    let close = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
    assert_eq!(length(HTTP_10_HEAD, &[], BodyLength::Unknown), close);
}

#[test]
fn some_statuses_have_no_body() {
    let get = get_with("");
    let seen =
        |status, lines| respond(&get, status, lines, BodyLength::Known(4), &["body"]).unwrap();
    assert_eq!(seen(204, &[("content-length", "4")]), "HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(seen(304, &[]), "HTTP/1.1 304 Not Modified\r\n\r\n");
    let with_length = "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n";
    assert_eq!(seen(304, &[("content-length", "9")]), with_length);
    let reset = "HTTP/1.1 205 Reset Content\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(seen(205, &[]), reset);
}

#[test]
fn a_content_length_from_the_caller_must_equal_the_length() {
    let get = get_with("");
    let four = [("content-length", "4")];
    let known = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody";
    assert_eq!(respond(&get, 200, &four, BodyLength::Known(4), &["body"]).unwrap(), known);
    assert_eq!(respond(&get, 200, &four, BodyLength::Unknown, &["body"]).unwrap(), known);
    let refused = Err(EncodeError::ContentLength);
    assert_eq!(respond(&get, 200, &four, BodyLength::Known(5), &[]), refused);
    assert_eq!(respond(&get, 200, &four, BodyLength::Empty, &[]), refused);
    for bad in ["", "x", "+4", "4, 4"] {
        assert_eq!(
            respond(&get, 200, &[("content-length", bad)], BodyLength::Unknown, &[]),
            refused
        );
    }
    let twice = [("content-length", "4"), ("content-length", "5")];
    assert_eq!(respond(&get, 200, &twice, BodyLength::Unknown, &[]), refused);
    let same = [four[0], four[0]];
    assert_eq!(respond(&get, 200, &same, BodyLength::Known(4), &["body"]).unwrap(), known);
    let encoding = [("transfer-encoding", "chunked")];
    let refused = Err(EncodeError::TransferEncoding);
    assert_eq!(respond(&get, 200, &encoding, BodyLength::Unknown, &[]), refused);
}

#[test]
fn a_date_from_the_caller_replaces_ours() {
    let seen = respond(&get_with(""), 200, &[("date", "today")], BodyLength::Empty, &[]).unwrap();
    assert_eq!(seen, "HTTP/1.1 200 OK\r\ndate: today\r\ncontent-length: 0\r\n\r\n");
    let mut out = Vec::new();
    let lines = headers(&[("date", "today")]);
    connection_with(&get_with("")).send_whole(StatusCode::OK, &lines, b"", DATE, &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), seen);
}

#[test]
fn headers_about_the_connection_are_left_out() {
    let lines = [("keep-alive", "timeout=5"), ("connection", "keep-alive, x")];
    let seen = respond(&get_with(""), 200, &lines, BodyLength::Empty, &[]).unwrap();
    assert_eq!(seen, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
}

#[test]
fn a_body_that_differs_from_its_length_is_an_error() {
    let send = |part| respond(&get_with(""), 200, &[], BodyLength::Known(4), &[part]).unwrap_err();
    assert_eq!(send("123456789"), EncodeError::BodyTooLong(5));
    assert_eq!(send("1"), EncodeError::BodyTooShort(3));
}

#[test]
fn a_response_sent_whole_equals_one_sent_in_parts() {
    let requests = [get_with(""), get_with("Connection: close\r\n")];
    let requests = requests.iter().map(String::as_str).chain([
        HTTP_10,
        HTTP_10_KEEP_ALIVE,
        HEAD,
        HTTP_10_HEAD,
    ]);
    let lines: [&[(&str, &str)]; 4] =
        [&[], &[("server", "b"), ("etag", "c")], &[("content-length", "4")], &[("date", "today")]];
    for request in requests {
        for (status, body) in [(200, "heho"), (200, ""), (404, "heho"), (204, "heho"), (304, "")] {
            for lines in lines {
                let length = match body.len() {
                    0 => BodyLength::Empty,
                    length => BodyLength::Known(length as u64),
                };
                let expected = respond(request, status, lines, length, &[body]);
                let mut connection = connection_with(request);
                let mut out = Vec::new();
                let code = StatusCode::from_u16(status).unwrap();
                let sent =
                    connection.send_whole(code, &headers(lines), body.as_bytes(), DATE, &mut out);
                let text = String::from_utf8(out).unwrap();
                let seen = sent.map(|()| text.replacen(&format!("{DATE_LINE}\r\n"), "\r\n", 1));
                assert_eq!(seen, expected, "{status} {body:?} {lines:?} to {request}");
                assert!(seen.is_err() == connection.can_respond() && !connection.is_sending());
            }
        }
    }
}

#[test]
fn an_informational_status_cannot_be_sent_as_a_whole_response() {
    let get = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: b\r\n\r\n";
    for status in [StatusCode::CONTINUE, StatusCode::SWITCHING_PROTOCOLS, StatusCode::EARLY_HINTS] {
        let mut connection = connection_with(get);
        let mut out = Vec::new();
        let sent = connection.send_whole(status, &Headers::new(), b"", DATE, &mut out);
        assert_eq!((sent, out.len()), (Err(EncodeError::Status(status)), 0));
        connection.send_whole(StatusCode::OK, &Headers::new(), b"", DATE, &mut out).unwrap();
        assert!(out.starts_with(b"HTTP/1.1 200 OK\r\n"));
    }
}

#[test]
fn data_can_be_written_separately_from_its_framing() {
    let sent = |request: &str, length| {
        let mut connection = connection_with(request);
        let mut out = Vec::new();
        connection.send_head(StatusCode::OK, &Headers::new(), length, DATE, &mut out).unwrap();
        out.clear();
        for _ in 0..2 {
            if connection.outgoing_body().begin_data(3, &mut out).unwrap() {
                out.extend_from_slice(b"<3>");
                connection.outgoing_body().end_data(&mut out);
            }
        }
        assert!(!connection.outgoing_body().begin_data(0, &mut out).unwrap());
        connection.send_end(None, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert_eq!(sent(&get_with(""), BodyLength::Unknown), "3\r\n<3>\r\n3\r\n<3>\r\n0\r\n\r\n");
    assert_eq!(sent(&get_with(""), BodyLength::Known(6)), "<3><3>");
    assert_eq!(sent(HTTP_10, BodyLength::Unknown), "<3><3>");
    assert_eq!(sent(HEAD, BodyLength::Unknown), "");
}

#[test]
fn trailers_are_sent_only_after_chunks() {
    let sent = |request: &str, length, name: &str| {
        let mut connection = connection_with(request);
        let mut out = Vec::new();
        connection.send_head(StatusCode::OK, &Headers::new(), length, DATE, &mut out).unwrap();
        out.clear();
        let mut trailers = HeaderMap::new();
        trailers.append(HeaderName::try_from(name).unwrap(), HeaderValue::from_static("1"));
        connection.send_end(Some(&trailers), &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    };
    let get = get_with("");
    assert_eq!(sent(&get, BodyLength::Unknown, "sum").unwrap(), "0\r\nsum: 1\r\n\r\n");
    assert_eq!(sent(&get, BodyLength::Empty, "sum").unwrap(), "");
    assert_eq!(sent(HTTP_10, BodyLength::Unknown, "sum").unwrap(), "");
    for name in ["content-length", "transfer-encoding", "host", "set-cookie", "authorization"] {
        assert_eq!(sent(&get, BodyLength::Unknown, name), Err(EncodeError::Trailer), "{name}");
    }
}

#[test]
fn a_response_with_upgrade_lists_it_in_connection() {
    let upgrade = [("upgrade", "websocket"), ("connection", "x")];
    let seen = respond(&get_with(""), 426, &upgrade, BodyLength::Empty, &[]).unwrap();
    let head = "HTTP/1.1 426 Upgrade Required\r\nupgrade: websocket\r\ncontent-length: 0\r\n";
    assert_eq!(seen, format!("{head}connection: upgrade\r\n\r\n"));
    let close = get_with("Connection: close\r\n");
    let seen = respond(&close, 426, &upgrade, BodyLength::Empty, &[]).unwrap();
    assert_eq!(seen, format!("{head}connection: upgrade, close\r\n\r\n"));
    let seen = respond(HTTP_10_KEEP_ALIVE, 200, &upgrade, BodyLength::Empty, &[]).unwrap();
    assert!(seen.contains("\r\nconnection: upgrade, keep-alive\r\n"), "{seen}");
}
