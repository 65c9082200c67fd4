//! The length of request bodies, and which headers and chunks are refused.

// std
use std::iter;

// crates
use brigade_http::Limits;

// ours
mod support;
use support::{check, check_with, get_with, post_with};

const NEXT: &str = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_request_without_length_has_no_body() {
    check(post_with("", NEXT), "POST / a GET /next a closed");
    check(post_with("Content-Length: 0\r\n", NEXT), "POST / a GET /next a closed");
}

#[test]
fn a_content_length_is_the_length_of_the_body() {
    let five = post_with("Content-Length: 5\r\n", "hello");
    check(format!("{five}{NEXT}"), "POST / a \"hello\" end GET /next a closed");
    check(
        post_with("Content-Length: 6\r\n", "hello"),
        "POST / a \"hello\" 400 UnexpectedEnd closed",
    );
    check(post_with("Content-Length: 6\r\n", ""), "POST / a 400 UnexpectedEnd closed");
}

#[test]
fn content_lengths_must_be_plain_numbers() {
    let bad = [
        "+5",
        "-1",
        "0x5",
        "1_0",
        "1Z",
        "",
        "05",
        "00",
        "5 5",
        "5, 5",
        "5,5",
        "5,",
        "5.0",
        "\u{a0}5",
        "18446744073709551616",
        "99999999999999999999999",
    ];
    for value in bad {
        check(
            post_with(&format!("Content-Length: {value}\r\n"), "hello"),
            "400 ContentLength closed",
        );
    }
    let twice = "400 ContentLengthRepeated closed";
    check(post_with("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), twice);
    check(post_with("Content-Length: 5\r\nX: y\r\ncontent-length: 6\r\n", "hello"), twice);
}

#[test]
fn content_length_and_transfer_encoding_together_are_refused() {
    let both = "400 LengthAndEncoding closed";
    check(post_with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), both);
    check(post_with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"), both);
    check(post_with("Transfer-Encoding: x\r\nContent-Length: x\r\n", "0\r\n\r\n"), both);
}

#[test]
fn chunked_is_the_only_accepted_transfer_coding() {
    for value in ["chunked", "Chunked", "CHUNKED", " chunked \t"] {
        let request = post_with(&format!("Transfer-Encoding: {value}\r\n"), "0\r\n\r\n");
        check(format!("{request}{NEXT}"), "POST / a end GET /next a closed");
    }
    let bad = [
        "chunked, chunked",
        ",chunked",
        "chunked,",
        "chunked, gzip",
        "identity",
        "",
        "chunked;a=1",
        "\"chunked\"",
        "identity, chunked",
        "gzip",
        "xchunked",
        "chunked chunked",
        "gzip;q=1, chunked",
        "chunked, identity",
        "gzip,, chunked",
        "\u{b}chunked",
    ];
    for value in bad {
        let seen = post_with(&format!("Transfer-Encoding: {value}\r\n"), "0\r\n\r\n");
        let error = if value.starts_with('\u{b}') { "HeaderValue" } else { "TransferEncoding" };
        check(seen, &format!("400 {error} closed"));
    }
    let no_break_space =
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \xa0chunked\r\n\r\n0\r\n\r\n";
    check(no_break_space, "400 TransferEncoding closed");
    let twice = "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n";
    check(post_with(twice, "0\r\n\r\n"), "400 TransferEncoding closed");
    let twice = "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n";
    check(post_with(twice, "0\r\n\r\n"), "400 TransferEncoding closed");
    for value in ["gzip, chunked", "deflate,gzip,chunked", "unheard-of , Chunked"] {
        let request = post_with(&format!("Transfer-Encoding: {value}\r\n"), "0\r\n\r\n");
        check(request, "501 EncodingUnsupported closed");
    }
}

#[test]
fn http_1_0_requests_must_not_have_a_transfer_encoding() {
    let request = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    check(request, "400 EncodingInOldVersion closed");
}

fn chunked(body: &str) -> String {
    post_with("Transfer-Encoding: chunked\r\n", body)
}

#[test]
fn chunks_are_joined() {
    check(
        chunked(&format!("5\r\nhello\r\n1\r\n \r\n00005\r\nworld\r\n0\r\n\r\n{NEXT}")),
        "POST / a \"hello world\" end GET /next a closed",
    );
    check(
        chunked("a\r\n0123456789\r\nA\r\n0123456789\r\n000\r\n\r\n"),
        "POST / a \"01234567890123456789\" end closed",
    );
    check(chunked("5\r\nhel"), "POST / a \"hel\" 400 UnexpectedEnd closed");
    check(chunked("5\r\nhello\r\n"), "POST / a \"hello\" 400 UnexpectedEnd closed");
    check(chunked("0\r\n"), "POST / a 400 UnexpectedEnd closed");
}

#[test]
fn chunk_sizes_must_be_up_to_16_hexadecimal_digits() {
    let bad = [
        "",
        "0x5",
        "+5",
        "-1",
        "_",
        "1_0",
        " 5",
        "5 ",
        "5 ;a",
        "\t5",
        "g",
        "00000000000000005",
        "5\n",
        "\n",
        "5\u{e9}",
        "5,",
        "5\0",
    ];
    for size in bad {
        check(chunked(&format!("{size}\r\nhello\r\n0\r\n\r\n")), "POST / a 400 ChunkSize closed");
    }
    check(chunked("5\r\r\nhello\r\n0\r\n\r\n"), "POST / a 400 LineEnd closed");
    check(chunked("0000000000000001\r\nx\r\n0\r\n\r\n"), "POST / a \"x\" end closed");
    check(chunked("ffffffffffffffff\r\nx"), "POST / a 413 BodyTooLarge closed");
}

#[test]
fn chunk_data_must_end_in_cr_lf() {
    for end in ["", "\n", "\r", "\rX", "xx", "x\n", "\n\r", " \r\n"] {
        check(
            chunked(&format!("5\r\nhello{end}0\r\n\r\n")),
            "POST / a \"hello\" 400 ChunkEnd closed",
        );
    }
}

#[test]
fn chunk_extensions_are_parsed_and_ignored() {
    for extension in [";ext=v", ";a", ";a;b=c", ";a=\"b\"", ";a=\"\\\"; \t\"", ";a=\"\\\\\";b"] {
        let body = format!("5{extension}\r\nhello\r\n0{extension}\r\n\r\n");
        check(chunked(&body), "POST / a \"hello\" end closed");
    }
    let bad = [
        ";",
        ";;a",
        ";a=",
        ";=b",
        ";a=b=c",
        "; a",
        ";a =b",
        ";a= b",
        ";a;",
        ";a=\"b",
        ";a=\"\\\"",
        ";a=\"b\"c",
        ";\0",
        ";a\x01",
        ";a=\"\x7f\"",
        ";a\nb",
        ";a=\"\n\"",
        ";a=\"\r\"",
    ];
    for extension in bad {
        let body = format!("5{extension}\r\nhello\r\n0\r\n\r\n");
        check(chunked(&body), "POST / a 400 ChunkExtension closed");
    }
    check(chunked("5;a\rb\r\nhello\r\n0\r\n\r\n"), "POST / a 400 LineEnd closed");
}

#[test]
fn chunk_extensions_are_limited_for_the_whole_message() {
    let extension = "x".repeat(64 * 1024);
    let outcome = "POST / a 400 ChunkExtensionsTooLong closed";
    check(chunked(&format!("5;{extension}\r\nhello\r\n0\r\n\r\n")), outcome);
    // 20 bytes each: the name and CR.
    let chunk = format!("1;{}\r\nx\r\n", "e".repeat(19));
    let few: String = iter::repeat_n(&chunk[..], 204).collect();
    check(
        chunked(&format!("{few}0\r\n\r\n")),
        &format!("POST / a {:?} end closed", "x".repeat(204)),
    );
    let many: String = iter::repeat_n(&chunk[..], 205).collect();
    let seen = format!("POST / a {:?} 400 ChunkExtensionsTooLong closed", "x".repeat(204));
    check(chunked(&format!("{many}0\r\n\r\n")), &seen);
    let limits = |bytes| Limits { chunk_extension_bytes_max: bytes, ..Limits::default() };
    let short = chunked("1;e\r\nx\r\n0\r\n\r\n");
    check_with(&limits(2), short.as_bytes(), "POST / a \"x\" end closed");
    check_with(&limits(1), short.as_bytes(), "POST / a 400 ChunkExtensionsTooLong closed");
}

#[test]
fn chunk_framing_that_exceeds_the_data_by_the_limit_is_refused() {
    let limits = Limits::default();
    let ones: String = iter::repeat_n("1\r\nx\r\n", 100_000).collect();
    let seen = support::journal(&limits, [chunked(&format!("{ones}0\r\n\r\n")).as_bytes()]);
    assert!(seen.ends_with("400 ChunkOverhead closed"), "{}", &seen[seen.len() - 50..]);
    let eights: String = iter::repeat_n("8\r\nxxxxxxxx\r\n", 100_000).collect();
    let seen = support::journal(&limits, [chunked(&format!("{eights}0\r\n\r\n")).as_bytes()]);
    assert!(seen.ends_with("x\" end closed"), "{}", &seen[seen.len() - 50..]);
    let limits = Limits { chunk_overhead_bytes_max: 8, ..limits };
    let three = chunked("1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n");
    check_with(&limits, three.as_bytes(), "POST / a \"ab\" 400 ChunkOverhead closed");
}

#[test]
fn trailers_are_checked_like_headers() {
    check(chunked("1\r\nx\r\n0\r\nA: b\r\nC:d \r\n\r\n"), "POST / a \"x\" end{a=b}{c=d} closed");
    check(
        chunked(&format!("0\r\nHost: evil\r\nContent-Length: 5\r\n\r\n{NEXT}")),
        "POST / a end{host=evil}{content-length=5} GET /next a closed",
    );
    for (trailers, error) in [
        ("A : b\r\n\r\n", "HeaderName"),
        (" A: b\r\n\r\n", "HeaderName"),
        ("A: b\r\n c\r\n\r\n", "HeaderName"),
        ("A\r\n\r\n", "HeaderName"),
        ("A: \0\r\n\r\n", "HeaderValue"),
        ("A: b\rC: d\r\n\r\n", "HeaderValue"),
        ("A: b\n\r\n", "LineEnd"),
        ("A: b\r\n\n", "LineEnd"),
        ("\n", "LineEnd"),
        ("\rX\n", "LineEnd"),
    ] {
        check(chunked(&format!("0\r\n{trailers}")), &format!("POST / a 400 {error} closed"));
    }
    let long = format!("A: {}\r\n\r\n", "x".repeat(9_000));
    check(chunked(&format!("0\r\n{long}")), "POST / a 431 TrailersTooLarge closed");
    let many: String = iter::repeat_n("A: b\r\n", 101).collect();
    check(chunked(&format!("0\r\n{many}\r\n")), "POST / a 431 TooManyHeaders closed");
}

#[test]
fn bodies_are_limited() {
    let limits = Limits { body_bytes_max: 5, ..Limits::default() };
    let check = |request: String, expected: &str| check_with(&limits, request.as_bytes(), expected);
    check(post_with("Content-Length: 5\r\n", "hello"), "POST / a \"hello\" end closed");
    check(post_with("Content-Length: 6\r\n", "hello!"), "POST / a 413 BodyTooLarge closed");
    check(chunked("5\r\nhello\r\n0\r\n\r\n"), "POST / a \"hello\" end closed");
    check(
        chunked("5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"),
        "POST / a \"hello\" 413 BodyTooLarge closed",
    );
}

#[test]
fn a_valid_request_before_an_invalid_one_gets_its_response() {
    let invalid = get_with("Content-Length: +1\r\n");
    check(format!("{NEXT}{invalid}{NEXT}"), "GET /next a 400 ContentLength closed");
}

#[test]
fn data_after_the_last_request_is_ignored() {
    let close = get_with("Connection: x, Close\r\n");
    check(format!("{close}{NEXT}"), "GET / a closed");
    check(format!("{close}\0\0"), "GET / a closed");
    let old = "GET / HTTP/1.0\r\nHost: a\r\n\r\n";
    check(format!("{old}{NEXT}"), "GET / a closed");
    let kept = "GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n";
    check(format!("{kept}{NEXT}"), "GET / a GET /next a closed");
    let both = "GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\nConnection: close\r\n\r\n";
    check(format!("{both}{NEXT}"), "GET / a closed");
}
