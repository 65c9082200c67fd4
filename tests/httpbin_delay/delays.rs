//! `/delay/{duration}`.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::client::Client;
use crate::start;

#[test]
fn a_delay_responds_after_its_duration_with_the_request_as_json() {
    let (server, mut client) = start(&[]);
    let began = Instant::now();
    client.send("GET /delay/0.25?b=2&a=1&b=%31", "x-teST-iD: 7\r\n", b"");
    let response = client.read();
    assert!(began.elapsed() >= Duration::from_millis(250));
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(response.header("access-control-allow-origin"), Some("*"));
    let timing = "initial_delay;dur=250.00;desc=\"initial delay\"";
    assert_eq!(response.header("server-timing"), Some(timing));
    let address = &server.address;
    let expected = format!(
        r#"{{
  "args": {{
    "a": [
      "1"
    ],
    "b": [
      "2",
      "1"
    ]
  }},
  "headers": {{
    "Host": [
      "{address}"
    ],
    "X-Test-Id": [
      "7"
    ]
  }},
  "method": "GET",
  "origin": "127.0.0.1",
  "url": "http://{address}/delay/0.25?b=2&a=1&b=%31",
  "data": "",
  "files": {{}},
  "form": {{}},
  "json": null
}}
"#
    );
    assert_eq!(response.text(), expected);
    server.stop();
}

#[test]
fn a_delay_is_a_go_duration_or_a_number_of_seconds() {
    let (server, mut client) = start(&[]);
    for (text, millis) in [
        ("0", "0.00"),
        ("0s", "0.00"),
        ("0.0129", "12.00"),
        (".01", "10.00"),
        ("15ms", "15.00"),
        ("1500us", "1.50"),
        ("1500%C2%B5s", "1.50"),
        ("0.0005m", "30.00"),
        ("0h0m0.01s", "10.00"),
    ] {
        let response = client.request(&format!("GET /delay/{text}"));
        let timing = format!("initial_delay;dur={millis};desc=\"initial delay\"");
        assert_eq!(
            (response.status, response.header("server-timing")),
            (200, Some(&*timing)),
            "{text}"
        );
    }
    server.stop();
}

#[test]
fn a_delay_that_is_out_of_range_or_malformed_is_refused_with_the_reason() {
    let (server, mut client) = start(&[]);
    for (text, reason) in [
        ("foo", "\"foo\" is neither a Go duration"),
        ("1e1", "\"1e1\" is neither"),
        ("inf", "\"inf\" is neither"),
        ("NaN", "\"NaN\" is neither"),
        ("1%20s", "\"1 s\" is neither"),
        ("%zz", "invalid URL escape"),
        ("-1", "duration -1s shorter than 0s"),
        ("-1ms", "duration -1ms shorter than 0s"),
        ("11", "duration 11s longer than 10s"),
        ("10.001", "duration 10.001s longer than 10s"),
        ("1m", "duration 1m0s longer than 10s"),
        ("99999999999999999999", "longer than 10s"),
    ] {
        let response = client.request(&format!("GET /delay/{text}"));
        assert_eq!(response.status, 400, "{text}");
        let detail = response.detail();
        assert!(detail.starts_with("invalid duration: ") && detail.contains(reason), "{detail}");
        assert_eq!(response.json()["error"], "Bad Request");
    }
    server.stop();
}

#[test]
fn the_option_max_delay_limits_the_delay() {
    let (server, mut client) = start(&["--max-delay", "0.5"]);
    let response = client.request("GET /delay/0.6");
    assert_eq!(response.detail(), "invalid duration: duration 600ms longer than 500ms");
    assert_eq!(client.request("GET /delay/0.5").status, 200);
    server.stop();
}

#[test]
fn a_delay_path_without_a_duration_or_with_a_further_segment_is_not_found() {
    let (server, mut client) = start(&[]);
    for path in ["/delay", "/delay/", "/delay/1/x"] {
        let response = client.request(&format!("GET {path}"));
        assert_eq!(response.status, 404, "{path}");
        assert!(response.detail().contains(path));
    }
    server.stop();
}

#[test]
fn a_delay_waits_for_every_method_except_options() {
    let (server, mut client) = start(&[]);
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "BREW"] {
        let response = client.request(&format!("{method} /delay/10ms"));
        assert_eq!(
            (response.status, &response.json()["method"]),
            (200, &method.into()),
            "{method}"
        );
    }
    let began = Instant::now();
    let response = client.request("OPTIONS /delay/10");
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!((response.status, response.body.len()), (200, 0));
    server.stop();
}

#[test]
fn a_head_request_waits_and_gets_no_body() {
    let (server, mut client) = start(&[]);
    client.send("HEAD /delay/0.1", "", b"");
    let head = client.read_head();
    assert_eq!(head.status, 200);
    assert!(head.header("content-length").is_some_and(|length| length != "0"));
    assert!(head.header("server-timing").is_some_and(|timing| timing.contains("dur=100.00")));
    // If there were a body, it would be read as the next status line.
    assert_eq!(client.request("GET /ip").status, 200);
    server.stop();
}

#[test]
fn delays_on_one_loop_run_concurrently() {
    let (server, mut first) = start(&[]);
    let (finished, order) = mpsc::channel();
    let mut second = Client::connect(&server.address);
    let mut third = Client::connect(&server.address);
    first.send("GET /delay/1.5", "", b"");
    second.send("GET /delay/1", "", b"");
    third.send("GET /delay/0.5", "", b"");
    let waiting = [(first, "1.5"), (second, "1"), (third, "0.5")];
    let threads = waiting.map(|(mut client, name)| {
        let finished = finished.clone();
        thread::spawn(move || {
            assert_eq!(client.read().status, 200);
            finished.send(name).unwrap();
        })
    });
    for thread in threads {
        thread.join().unwrap();
    }
    drop(finished);
    // One after the other, the first request would get the first response.
    assert_eq!(order.iter().collect::<Vec<_>>(), ["0.5", "1", "1.5"]);
    server.stop();
}

#[test]
fn a_disconnected_client_ends_its_delay() {
    let (server, mut client) = start(&["--max-delay", "60"]);
    let mut with_body = Client::connect(&server.address);
    let mut other = Client::connect(&server.address);
    client.send("GET /delay/60", "", b"");
    with_body.send("POST /delay/60", "", b"body");
    assert_eq!(other.request("GET /get").status, 200);
    drop((client, with_body));
    // A shutdown waits for requests in flight.
    let began = Instant::now();
    server.stop();
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_delay_returns_the_request_body() {
    let (server, mut client) = start(&[]);
    let document = client.post("/delay/0.05", "application/json", b"{\"b\": [1], \"a\": null}");
    let document = document.json();
    assert_eq!(document["data"], "{\"b\": [1], \"a\": null}");
    assert_eq!(document["json"]["b"][0], 1);
    let response = client.post("/delay/0", "application/json", b"{");
    assert!(response.detail().starts_with("error parsing request body: "));
    client.send("POST /delay/0.05", "Expect: 100-continue\r\nContent-Length: 2\r\n", b"");
    assert_eq!(client.read_head().status, 100);
    client.send_raw(b"ok");
    assert_eq!(client.read().json()["data"], "data:application/octet-stream;base64,b2s=");
    server.stop();
}
