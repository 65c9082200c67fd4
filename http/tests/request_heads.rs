//! Which request heads are accepted, and the responses to the others.

// std
use std::iter;

// crates
use brigade_http::protocol::{RequestEvent, ServerConnection};
use brigade_http::{Limits, ProtocolError, RequestHead};

// ours
mod support;
use support::{check, check_with, get_with};

#[test]
fn plain_requests_are_accepted() {
    check("GET / HTTP/1.1\r\nHost: a.example:80\r\n\r\n", "GET / a.example:80 closed");
    check("GET /x?y HTTP/1.1\r\nhost:a\r\nEmpty:\r\nA:  b \t\r\n\r\n", "GET /x a closed");
    check("PURGE / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", "PURGE / [::1]:8080 closed");
    check("POST / HTTP/1.1\r\nHost: a\r\n\r\n", "POST / a closed");
    check(b"GET / HTTP/1.1\r\nHost: a\r\nName: J\xfcrgen\r\n\r\n", "GET / a closed");
}

#[test]
fn an_incomplete_request_is_an_error_and_no_request_is_not() {
    check("", "closed");
    check("\r\n\r\n", "closed");
    check("GET / HTT", "400 UnexpectedEnd closed");
    check("GET / HTTP/1.1\r\nHost: a\r\n\r", "400 UnexpectedEnd closed");
}

#[test]
fn up_to_two_empty_lines_before_a_request_are_ignored() {
    let get = get_with("");
    check(format!("\r\n{get}"), "GET / a closed");
    check(format!("\r\n\r\n{get}"), "GET / a closed");
    check(format!("\r\n\r\n\r\n{get}"), "400 StartLine closed");
    check(format!("\n{get}"), "400 LineEnd closed");
    check(format!("\r\r\n{get}"), "400 StartLine closed");
    check("\r\n\r\n\r", "400 StartLine closed");
    check("\r\n\r", "closed");
    check(format!(" \r\n{get}"), "400 StartLine closed");
    check(format!("{get}\r\n\r\n{get}"), "GET / a GET / a closed");
}

#[test]
fn lines_must_end_in_cr_lf() {
    for (bad, error) in [
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", "LineEnd"),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", "LineEnd"),
        ("GET / HTTP/1.1\r\nHost: a\nB: c\r\n\r\n", "LineEnd"),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", "LineEnd"),
        ("GET / HTTP/1.1\nHost: a\n\n", "LineEnd"),
        ("GET / HTTP/1.1\r\nHost: a\r\n\rX\r\n\r\n", "LineEnd"),
        ("GET / HTTP/1.1\r\nHost: a\rB: c\r\n\r\n", "HeaderValue"),
        ("GET / HTTP/1.1\r\nHost: a\r\nB: c\r\r\n\r\n", "HeaderValue"),
        ("GET / HTTP/1.1\rHost: a\r\n\r\n", "LineEnd"),
        ("GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", "LineEnd"),
    ] {
        check(bad, &format!("400 {error} closed"));
    }
}

#[test]
fn header_lines_must_be_a_token_a_colon_and_text() {
    for (line, error) in [
        ("A : b", "HeaderName"),
        ("A\t: b", "HeaderName"),
        (" A: b", "HeaderName"),
        ("\tA: b", "HeaderName"),
        ("A: b\r\n folded", "HeaderName"),
        ("A: b\r\n\tfolded", "HeaderName"),
        ("A", "HeaderName"),
        (": b", "HeaderName"),
        ("A(: b", "HeaderName"),
        ("A\u{fc}: b", "HeaderName"),
        ("\0: b", "HeaderName"),
        ("A: \0", "HeaderValue"),
        ("A: \x01", "HeaderValue"),
        ("A: b\x7f", "HeaderValue"),
        ("A: b\x0bc", "HeaderValue"),
    ] {
        check(get_with(&format!("{line}\r\n")), &format!("400 {error} closed"));
    }
}

#[test]
fn every_byte_of_names_and_values_is_checked() {
    for byte in 0..=255_u8 {
        let token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let text = byte == b'\t' || (byte >= b' ' && byte != 127);
        let name = [b"GET / HTTP/1.1\r\nHost: a\r\nx", &[byte][..], b"x: b\r\n\r\n"].concat();
        let value = [b"GET / HTTP/1.1\r\nHost: a\r\nx: b", &[byte][..], b"b\r\n\r\n"].concat();
        let seen = support::journal(&Limits::default(), [&name[..]]);
        assert_eq!(seen == "GET / a closed", token || byte == b':', "{byte:#x} in a name: {seen}");
        let seen = support::journal(&Limits::default(), [&value[..]]);
        assert_eq!(seen == "GET / a closed", text, "{byte:#x} in a value: {seen}");
    }
}

#[test]
fn a_request_must_have_one_valid_host() {
    for (lines, error) in [
        ("", "HostMissing"),
        ("Host: a\r\nHost: a\r\n", "HostRepeated"),
        ("Host: a\r\nhOST: b\r\n", "HostRepeated"),
        ("Host:\r\n", "HostInvalid"),
        ("Host: u@a\r\n", "HostInvalid"),
        ("Host: a/b\r\n", "HostInvalid"),
        ("Host: a,b\r\n", "HostInvalid"),
        ("Host: a b\r\n", "HostInvalid"),
        ("Host: a:b\r\n", "HostInvalid"),
        ("Host: a:65536\r\n", "HostInvalid"),
        ("Host: http://a\r\n", "HostInvalid"),
        ("Host: [::1\r\n", "HostInvalid"),
    ] {
        check(format!("GET / HTTP/1.1\r\n{lines}\r\n"), &format!("400 {error} closed"));
    }
    check("GET / HTTP/1.0\r\n\r\n", "GET / - closed");
    check("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", "400 HostRepeated closed");
    check("GET / HTTP/1.0\r\nHost: a,b\r\n\r\n", "400 HostInvalid closed");
}

#[test]
fn an_absolute_target_replaces_the_host() {
    let host = "HTTP/1.1\r\nHost: other\r\n\r\n";
    check(format!("GET http://a.example:8/p?q {host}"), "GET /p a.example:8 closed");
    check(format!("GET HTTPS://a.example {host}"), "GET / a.example closed");
    check(format!("GET http://a.example?q {host}"), "GET / a.example closed");
    check("GET http://a/ HTTP/1.1\r\n\r\n", "400 HostMissing closed");
    for bad in
        ["http:///p", "http://", "http://u@a/", "ftp://a/", "http:/a", "http://a:x/", "a", "a:80"]
    {
        check(format!("GET {bad} {host}"), "400 Target closed");
    }
}

#[test]
fn an_asterisk_is_accepted_only_for_options() {
    check("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * a closed");
    check("GET * HTTP/1.1\r\nHost: a\r\n\r\n", "400 Target closed");
}

#[test]
fn connect_and_trace_are_not_implemented() {
    check("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", "501 MethodUnsupported closed");
    check("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", "501 MethodUnsupported closed");
}

#[test]
fn a_header_is_known_by_its_name_and_not_by_its_length() {
    let next = get_with("");
    for line in [
        "From: b",
        "Accept: x",
        "User-Agent: close",
        "Accept-Charset: 5",
        "If-Modified-Since: chunked",
    ] {
        check(
            format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n{next}"),
            "GET / a GET / a closed",
        );
    }
}

#[test]
fn other_versions_are_refused() {
    for (version, outcome) in [
        ("HTTP/9.9", "505 VersionUnsupported closed"),
        ("HTTP/1.2", "505 VersionUnsupported closed"),
        ("HTTP/2.0", "505 VersionUnsupported closed"),
        ("HTTP/1", "400 StartLine closed"),
        ("HTTP/01.1", "400 StartLine closed"),
        ("HTTP/a.1", "400 StartLine closed"),
        ("HTTP/1.a", "400 StartLine closed"),
        ("HTTP/1.10", "400 LineEnd closed"),
        ("http/1.1", "400 StartLine closed"),
        ("HTTPS/1.1", "400 StartLine closed"),
        ("", "400 StartLine closed"),
    ] {
        check(format!("GET / {version}\r\nHost: a\r\n\r\n"), outcome);
    }
    check("GET /\r\n\r\n", "400 StartLine closed");
    check("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 VersionUnsupported closed");
}

#[test]
fn targets_must_be_visible_ascii_without_a_fragment() {
    for (target, error) in [
        (" /", "StartLine"),
        ("/ x", "StartLine"),
        ("/\tx", "StartLine"),
        ("/\0", "StartLine"),
        ("/\x7f", "StartLine"),
        ("/\u{e9}", "Target"),
        ("/#f", "Target"),
        ("/?#", "Target"),
        ("", "StartLine"),
    ] {
        let seen = support::journal(
            &Limits::default(),
            [format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()],
        );
        assert_eq!(seen, format!("400 {error} closed"), "{target:?}");
        check(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"), &seen);
    }
    check(b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", "400 StartLine closed");
}

#[test]
fn methods_must_be_tokens_of_limited_length() {
    let method = "M".repeat(32);
    check(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"), &format!("{method} / a closed"));
    check(format!("{method}M / HTTP/1.1\r\nHost: a\r\n\r\n"), "501 MethodTooLong closed");
    check("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", "400 StartLine closed");
    check("\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03", "400 StartLine closed");
    check("A".repeat(5_000), "501 MethodTooLong closed");
}

#[test]
fn limits_take_effect_at_the_same_byte_however_the_head_is_cut() {
    let line = |target: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(target));
    let longest = format!("GET /{} a closed", "x".repeat(8191));
    check(line(8191), &longest);
    check(line(8192), "414 TargetTooLong closed");
    check(format!("GET /{}", "x".repeat(20_000)), "414 TargetTooLong closed");

    let head = |size: usize| get_with(&format!("A: {}\r\n", "x".repeat(size - 32)));
    assert_eq!(head(32 * 1024).len(), 32 * 1024);
    check(head(32 * 1024), "GET / a closed");
    check(head(32 * 1024 + 1), "431 HeadTooLarge closed");
    check(
        format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}", "x".repeat(70_000)),
        "431 HeadTooLarge closed",
    );

    let lines = |count: usize| get_with(&iter::repeat_n("A: b\r\n", count - 1).collect::<String>());
    check(lines(100), "GET / a closed");
    check(lines(101), "431 TooManyHeaders closed");
}

#[test]
fn limits_can_be_set() {
    let limits = Limits {
        method_bytes_max: 3,
        target_bytes_max: 4,
        head_bytes_max: 64,
        headers_count_max: 2,
        ..Limits::default()
    };
    check_with(&limits, b"GET /abc HTTP/1.1\r\nHost: a\r\n\r\n", "GET /abc a closed");
    check_with(&limits, b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", "501 MethodTooLong closed");
    check_with(&limits, b"GET /abcd HTTP/1.1\r\nHost: a\r\n\r\n", "414 TargetTooLong closed");
    let three = get_with("A: b\r\nC: d\r\n");
    check_with(&limits, three.as_bytes(), "431 TooManyHeaders closed");
    let large = get_with(&format!("A: {}\r\n", "x".repeat(64)));
    check_with(&limits, large.as_bytes(), "431 HeadTooLarge closed");
}

#[test]
fn only_100_continue_is_accepted_as_an_expectation() {
    check(get_with("Expect: 100-Continue\r\n"), "GET / a closed");
    check(get_with("Expect: 200-ok\r\n"), "417 Expectation closed");
    check(get_with("Expect: 100-continue, x\r\n"), "417 Expectation closed");
    check(get_with("Expect: x\r\nExpect: 100-continue\r\n"), "417 Expectation closed");
    check(get_with("Expect: 100-continue;a=b\r\n"), "417 Expectation closed");
}

#[test]
fn expectations_are_a_list_with_empty_and_repeated_members() {
    for value in ["100-continue, 100-Continue", "100-continue,", ", ,100-continue", "", ","] {
        check(get_with(&format!("Expect: {value}\r\n")), "GET / a closed");
    }
    check(get_with("Expect: 100-continue\r\nExpect: 100-continue\r\n"), "GET / a closed");
}

#[test]
fn targets_may_hold_what_browsers_and_curl_send_unescaped() {
    for target in ["/`x`", "/\"x\"", "/{a}|b\\^[c]", "/?q=`x`", "/?q=\"x\"", "/?a={b}|\\^[c]?`"] {
        let path = target.split('?').next().unwrap();
        check(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"), &format!("GET {path} a closed"));
        check(
            format!("PURGE http://a{target} HTTP/1.1\r\nHost: a\r\n\r\n"),
            &format!("PURGE {path} a closed"),
        );
    }
    for target in ["/<", "/>", "/?<", "/?>", "/?a#"] {
        check(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"), "400 Target closed");
    }
}

/// Heads without their end, and what is wrong with them whatever would follow.
const INVALID_AND_INCOMPLETE: [(&str, &str); 17] = [
    ("GET /get HTTP/1.1\r\nHost: a\r\n\r\rX", "400 LineEnd"),
    ("GET / HTTP/1.1\r\nHost: \0", "400 HeaderValue"),
    ("GET / HTTP/1.1\r\nA: b\rc", "400 HeaderValue"),
    ("GET / HTTP/1.1\r\nHost : a", "400 HeaderName"),
    ("GET / HTTP/1.1\r\nA: b\r\n folded", "400 HeaderName"),
    ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n", "400 HostRepeated"),
    ("GET / HTTP/1.1\r\nHost: a b\r\nA", "400 HostInvalid"),
    (
        "GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "400 LengthAndEncoding",
    ),
    ("GET / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\nA: b", "501 EncodingUnsupported"),
    ("GET / HTTP/1.1\r\nExpect: x\r\n", "417 Expectation"),
    ("GET / HTTP/2.0\r", "505 VersionUnsupported"),
    ("GET / http", "400 StartLine"),
    ("GET /<", "400 Target"),
    ("GET a.example HTT", "400 Target"),
    ("TRACE /", "501 MethodUnsupported"),
    ("TRACE / HTTP/1.1\r\n", "501 MethodUnsupported"),
    ("GET / HTTP/1.1\r\n\rHost", "400 LineEnd"),
];

#[test]
fn an_incomplete_head_that_is_invalid_is_judged_when_the_peer_ends_its_side() {
    for (head, error) in INVALID_AND_INCOMPLETE {
        check(head, &format!("{error} closed"));
    }
}

#[test]
fn an_incomplete_head_that_is_invalid_is_judged_at_the_timeout() {
    for (head, error) in INVALID_AND_INCOMPLETE {
        let mut connection = ServerConnection::new();
        connection.receive(head.as_bytes());
        let event = connection.next_head(&mut RequestHead::empty(), &Limits::default());
        assert!(matches!(event, Ok(RequestEvent::NeedData)), "{head:?}");
        let found = connection.give_up(ProtocolError::HeadTimeout, &Limits::default());
        assert_eq!(format!("{} {found:?}", found.status().as_u16()), error, "{head:?}");
    }
    for head in [
        "G",
        "GET ",
        "GET /a",
        "GET http://",
        "GET / HTTP/1",
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nA",
        "GET / HTTP/1.1\r\nA: b\r",
        "GET / HTTP/1.1\r\nHost: a\r\n\r",
    ] {
        let mut connection = ServerConnection::new();
        connection.receive(head.as_bytes());
        let found = connection.give_up(ProtocolError::HeadTimeout, &Limits::default());
        assert_eq!(found, ProtocolError::HeadTimeout, "{head:?}");
    }
}
