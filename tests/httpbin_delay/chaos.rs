//! `/block/{milliseconds}` and `/panic`.

use crate::common::client::Client;
use crate::start;

#[test]
fn chaos_is_not_found_unless_asked_for() {
    let (server, mut client) = start(&[]);
    for path in ["/block/1", "/panic"] {
        assert_eq!(client.ask(&format!("GET {path}")).status, 404);
    }
    assert!(!client.ask("GET /").text().contains("/panic"));
    server.stop();
}

#[test]
fn a_panic_is_a_500_for_its_client_alone_and_names_the_task() {
    let (server, mut waiting) = start(&["--chaos"]);
    waiting.send("GET /delay/0.5", "", b"");
    let mut panicking = Client::connect(&server.address);
    let answer = panicking.ask("GET /panic");
    assert_eq!((answer.status, answer.header("connection")), (500, Some("close")));
    assert_eq!(waiting.read().status, 200);
    assert_eq!(waiting.ask("GET /ip").status, 200);
    let stderr = server.stop();
    let named = "the handler of /panic panicked in task #";
    assert!(stderr.contains(named), "{stderr}");
    assert!(stderr.contains("a panic on request"), "{stderr}");
}

#[test]
fn debug_tells_who_blocked_the_loop() {
    let (server, mut client) = start(&["--chaos", "--debug"]);
    assert_eq!(client.ask("GET /block/150").text(), "blocked this event loop for 150 ms\n");
    let stderr = server.stop();
    assert!(stderr.contains("blocked its event loop for 15"), "{stderr}");
}

#[test]
fn server_timing_tells_what_the_handler_took() {
    let (server, mut client) = start(&["--chaos", "--server-timing"]);
    let answer = client.ask("GET /block/20");
    let told = answer.header("server-timing").unwrap();
    let (_, handler) = told.split_once("handler;dur=").unwrap();
    assert!(told.contains("loop;desc=\"0\";dur="), "{told}");
    assert!(handler.parse::<f64>().unwrap() >= 20.0, "{told}");
    server.stop();
}

#[test]
fn blocking_has_bounds() {
    let (server, mut client) = start(&["--chaos"]);
    for text in ["x", "-1", "60001", "1.5", "99999999999999999999"] {
        let answer = client.ask(&format!("GET /block/{text}"));
        assert_eq!(answer.status, 400, "{text}");
        assert!(answer.detail().contains("[0, 60000]"));
    }
    server.stop();
}
