//! `/block/{milliseconds}` and `/panic`.

use crate::common::client::Client;
use crate::start;

#[test]
fn chaos_endpoints_are_not_found_without_the_option() {
    let (server, mut client) = start(&[]);
    for path in ["/block/1", "/panic"] {
        assert_eq!(client.request(&format!("GET {path}")).status, 404);
    }
    assert!(!client.request("GET /").text().contains("/panic"));
    server.stop();
}

#[test]
fn a_panicking_handler_gets_only_its_own_client_a_500_and_its_task_is_logged() {
    let (server, mut waiting) = start(&["--chaos"]);
    waiting.send("GET /delay/0.5", "", b"");
    let mut panicking = Client::connect(&server.address);
    let response = panicking.request("GET /panic");
    assert_eq!((response.status, response.header("connection")), (500, Some("close")));
    assert_eq!(waiting.read().status, 200);
    assert_eq!(waiting.request("GET /ip").status, 200);
    let stderr = server.stop();
    let named = "the handler of /panic panicked in task #";
    assert!(stderr.contains(named), "{stderr}");
    assert!(stderr.contains("a panic on request"), "{stderr}");
}

#[test]
fn debug_mode_logs_the_task_that_blocked_its_loop() {
    let (server, mut client) = start(&["--chaos", "--debug"]);
    assert_eq!(client.request("GET /block/150").text(), "blocked this event loop for 150 ms\n");
    let stderr = server.stop();
    let blocked = stderr.split("blocked its event loop for ").nth(1);
    let millis = blocked.and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    let millis = millis.and_then(|millis| millis.parse::<u32>().ok());
    assert!(millis.is_some_and(|millis| millis >= 150), "{stderr}");
}

#[test]
fn the_server_timing_header_has_the_time_of_the_handler() {
    let (server, mut client) = start(&["--chaos", "--server-timing"]);
    let response = client.request("GET /block/20");
    let timing = response.header("server-timing").unwrap();
    let (_, handler) = timing.split_once("handler;dur=").unwrap();
    assert!(timing.contains("loop;desc=\"0\";dur="), "{timing}");
    assert!(handler.parse::<f64>().unwrap() >= 20.0, "{timing}");
    server.stop();
}

#[test]
fn a_blocking_time_out_of_range_is_refused_with_400() {
    let (server, mut client) = start(&["--chaos"]);
    for text in ["x", "-1", "60001", "1.5", "99999999999999999999"] {
        let response = client.request(&format!("GET /block/{text}"));
        assert_eq!(response.status, 400, "{text}");
        assert!(response.detail().contains("[0, 60000]"));
    }
    server.stop();
}
