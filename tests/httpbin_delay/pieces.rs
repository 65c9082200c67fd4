//! Responses in pieces: `/drip`, `/sse`, `/jsonl`, `/stream`, `/bytes` and `/range`.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::client::Client;
use crate::start;

#[test]
fn a_drip_sends_its_length_first_and_then_byte_by_byte() {
    let (server, mut drip) = start(&[]);
    let mut delay = Client::connect(&server.address);
    let (happened, events) = mpsc::channel();
    let began = Instant::now();
    drip.send("GET /drip?numbytes=2&duration=2s&delay=0&code=201", "", b"");
    delay.send("GET /delay/1", "", b"");
    let delay_happened = happened.clone();
    let waiting = thread::spawn(move || {
        assert_eq!(delay.read().status, 200);
        delay_happened.send("delay").unwrap();
    });
    let head = drip.read_head();
    assert_eq!((head.status, head.header("content-length")), (201, Some("2")));
    for event in ["first byte", "last byte"] {
        assert_eq!(drip.read_bytes(1), b"*");
        happened.send(event).unwrap();
    }
    assert!(began.elapsed() >= Duration::from_secs(2));
    waiting.join().unwrap();
    drop(happened);
    assert_eq!(events.iter().collect::<Vec<_>>(), ["first byte", "delay", "last byte"]);
    server.stop();
}

#[test]
fn a_drip_has_a_server_timing_header_and_may_be_a_mebibyte() {
    let (server, mut client) = start(&[]);
    let response = client.request("GET /drip?numbytes=1048576&duration=50ms&delay=0.01");
    assert_eq!(response.header("content-type"), Some("text/plain; charset=utf-8"));
    assert!(response.body.len() == 1024 * 1024 && response.body.iter().all(|byte| *byte == b'*'));
    let timing = response.header("server-timing").unwrap();
    for part in ["total_duration;dur=60.00", "initial_delay;dur=10.00", "write_duration;dur=50.00"]
    {
        assert!(timing.contains(part), "{timing}");
    }
    client.send("HEAD /drip?duration=0&delay=0", "", b"");
    assert_eq!(client.read_head().header("content-length"), Some("10"));
    assert_eq!(client.request("GET /drip?duration=0&delay=0&code=204").status, 204);
    assert_eq!(client.request("GET /ip").status, 200);
    server.stop();
}

#[test]
fn events_are_spread_over_the_duration_and_end_with_a_server_timing_trailer() {
    let (server, mut client) = start(&[]);
    for (path, prefix, suffix, content_type) in [
        ("/sse", "event: ping\ndata: ", "\n\n", "text/event-stream; charset=utf-8"),
        ("/jsonl", "", "\n", "application/jsonl; charset=utf-8"),
    ] {
        let began = Instant::now();
        let response = client.request(&format!("GET {path}?count=3&duration=300ms&delay=50ms"));
        assert!(began.elapsed() >= Duration::from_millis(350));
        assert_eq!(response.header("content-type"), Some(content_type));
        assert_eq!(response.header("trailer"), Some("Server-Timing"));
        let (name, timing) = &response.trailers[0];
        assert_eq!(name, "server-timing");
        assert!(timing.contains("write_duration;dur=300.00"), "{timing}");
        let mut rest = response.text();
        for id in 0..3 {
            let (event, after) = rest.split_once(suffix).unwrap();
            let event: serde_json::Value =
                serde_json::from_str(event.strip_prefix(prefix).unwrap()).unwrap();
            assert_eq!(event["id"], id);
            assert!(event["timestamp"].as_u64().unwrap() > 1_700_000_000_000);
            rest = after;
        }
        assert_eq!(rest, "");
        let one = client.request(&format!("GET {path}?count=1&duration=1ms"));
        assert_eq!(one.chunks.len(), 1);
    }
    server.stop();
}

#[test]
fn parameters_that_are_unknown_or_out_of_range_are_refused_with_the_reason() {
    let (server, mut client) = start(&["--max-delay", "5"]);
    for (target, reason) in [
        ("/drip?duration=3&delay=3", "too much time: 3s+3s > 5s"),
        ("/drip?duration=6", "invalid duration: duration 6s longer than 5s"),
        ("/drip?delay=-1", "invalid delay: duration -1s shorter than 0s"),
        ("/drip?numbytes=0", "invalid numbytes: \"0\" is no number in range [1, 1048576]"),
        ("/drip?numbytes=1048577", "invalid numbytes"),
        ("/drip?code=199", "invalid status code: 199"),
        ("/drip?numbyte=1", "unknown parameter: \"numbyte\""),
        ("/sse?duration=0", "shorter than 1ns"),
        ("/sse?count=0", "invalid count"),
        ("/sse?count=10001", "[1, 10000]"),
        ("/sse?duration=4&delay=2", "too much time: 4s+2s > 5s"),
        ("/jsonl?delay=x", "invalid delay: \"x\" is neither"),
        ("/jsonl?times=3", "unknown parameter: \"times\""),
        ("/stream/x", "invalid count: \"x\""),
        ("/bytes/-1", "invalid byte count"),
        ("/bytes/1048577", "[0, 1048576]"),
        ("/bytes/1?seed=x", "invalid seed"),
        ("/stream-bytes/1?chunk_size=0", "invalid chunk_size"),
        ("/range/0", "invalid count"),
        ("/range/10?duration=6", "longer than 5s"),
    ] {
        let response = client.request(&format!("GET {target}"));
        assert_eq!(response.status, 400, "{target}");
        assert!(response.detail().contains(reason), "{target}: {}", response.detail());
    }
    server.stop();
}

#[test]
fn a_disconnected_client_ends_its_drip_or_events() {
    let (server, mut drip) = start(&["--max-delay", "60"]);
    let mut sse = Client::connect(&server.address);
    drip.send("GET /drip?duration=60&delay=0&numbytes=2", "", b"");
    sse.send("GET /sse?duration=60&count=2", "", b"");
    assert_eq!((drip.read_head().status, sse.read_head().status), (200, 200));
    drop((drip, sse));
    let began = Instant::now();
    server.stop();
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_stream_sends_1_to_100_lines_each_in_a_chunk() {
    let (server, mut client) = start(&[]);
    for (count, lines) in [("3", 3), ("1", 1), ("0", 1), ("-5", 1), ("100", 100), ("5000", 100)] {
        let response = client.request(&format!("GET /stream/{count}?a=b"));
        assert_eq!((response.status, response.chunks.len()), (200, lines));
        for (id, line) in response.text().lines().enumerate() {
            let begins =
                format!("{{\"id\":{id},\"args\":{{\"a\":[\"b\"]}},\"headers\":{{\"Host\":");
            assert!(line.starts_with(&begins), "{line}");
            assert!(line.contains("\"origin\":\"127.0.0.1\",\"url\":\"http://"), "{line}");
        }
    }
    server.stop();
}

#[test]
fn bytes_with_the_same_seed_are_equal_whole_and_in_chunks() {
    let (server, mut client) = start(&[]);
    let whole = client.request("GET /bytes/100000?seed=-3");
    assert_eq!(whole.header("content-type"), Some("application/octet-stream"));
    assert_eq!(whole.body.len(), 100_000);
    assert_eq!(whole.body, client.request("GET /bytes/100000?seed=-3").body);
    assert_ne!(whole.body, client.request("GET /bytes/100000?seed=4").body);
    assert_ne!(client.request("GET /bytes/99").body, client.request("GET /bytes/99").body);
    let chunked = client.request("GET /stream-bytes/100000?seed=-3&chunk_size=33333");
    assert_eq!(chunked.chunks, [33_333, 33_333, 33_333, 1]);
    assert_eq!(chunked.body, whole.body);
    assert_eq!(client.request("GET /stream-bytes/20481").chunks, [10_240, 10_240, 1]);
    for path in ["/bytes/0", "/stream-bytes/0"] {
        let response = client.request(&format!("GET {path}"));
        assert_eq!((response.status, response.header("content-length")), (200, Some("0")));
    }
    assert_eq!(client.request("GET /bytes/1048576").body.len(), 1_048_576);
    server.stop();
}

#[test]
fn a_range_request_gets_the_requested_part() {
    let (server, mut client) = start(&[]);
    let whole = client.request("GET /range/30");
    assert_eq!((whole.status, whole.text()), (200, "abcdefghijklmnopqrstuvwxyzabcd"));
    assert_eq!(whole.header("etag"), Some("\"range30\""));
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));
    for (headers, status, place, text) in [
        ("Range: bytes=0-2\r\n", 206, Some("bytes 0-2/30"), "abc"),
        ("Range: bytes=-2\r\n", 206, Some("bytes 28-29/30"), "cd"),
        ("Range: bytes=26-\r\nIf-Range: \"range30\"\r\n", 206, Some("bytes 26-29/30"), "abcd"),
        ("Range: bytes=0-2\r\nIf-Range: \"other\"\r\n", 200, None, whole.text()),
        ("Range: lines=0-2\r\n", 200, None, whole.text()),
        ("If-None-Match: \"a\", W/\"range30\"\r\n", 304, None, ""),
    ] {
        client.send("GET /range/30", headers, b"");
        // The next request fails if a byte of this response is left.
        let response = match status {
            304 => client.read_head(),
            _ => client.read(),
        };
        let part = (response.status, response.header("content-range"), response.text());
        assert_eq!(part, (status, place, text), "{headers}");
    }
    client.send("GET /range/30", "Range: bytes=30-\r\n", b"");
    let response = client.read();
    assert_eq!((response.status, response.header("content-range")), (416, Some("bytes */30")));
    client.send("GET /range/30", "Range: bytes=0-0,-1\r\n", b"");
    let parts = client.read();
    assert_eq!(parts.status, 206);
    assert!(parts.header("content-type").unwrap().starts_with("multipart/byteranges; boundary="));
    let places = ["Content-Range: bytes 0-0/30\r\n\r\na\r\n", "bytes 29-29/30\r\n\r\nd\r\n"];
    assert!(places.iter().all(|place| parts.text().contains(place)), "{}", parts.text());
    server.stop();
}
