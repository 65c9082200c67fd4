//! How the server starts and ends: options, output, signals.

use std::net::{TcpListener, TcpStream};
use std::process::Command;

use crate::common::client::Client;
use crate::common::server::{Server, example};
use crate::start;

#[test]
fn the_server_prints_its_address_and_logs_what_each_loop_served() {
    let mut command = example("httpbin_delay");
    command.args(["--listen", "127.0.0.1:0", "--loops", "2", "--no-pin"]);
    let server = Server::start(command);
    let address = server.address.clone();
    assert!(!address.ends_with(":0"));
    assert_eq!(server.line, format!("listening on http://{address} (2 event loops)\n"));
    let mut clients = [Client::connect(&address), Client::connect(&address)];
    for client in &mut clients {
        assert_eq!(client.request("GET /get").status, 200);
    }
    drop(clients);

    server.signal("INT");
    let ended = server.ended();
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(0), ""));
    for number in 0..2 {
        let line = format!("event loop {number} served 1 connections, 1 requests\n");
        assert!(ended.stderr.contains(&line), "{}", ended.stderr);
    }
    assert!(TcpStream::connect(&address).is_err());
}

#[test]
#[cfg(target_os = "linux")]
fn loops_that_accept_themselves_keep_other_processes_off_the_port() {
    let (server, mut client) = start(&["--accept", "per-loop"]);
    assert_eq!(client.request("GET /get").status, 200);
    let listen = ["--listen", &server.address, "--accept", "shared"];
    let output = example("httpbin_delay").args(listen).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.contains(&server.address) && stderr.contains("in use"), "{stderr}");
    server.signal("TERM");
    let ended = server.ended();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
}

#[test]
fn a_hundred_requests_in_flight_at_sigterm_get_their_responses() {
    let (server, mut last) = start(&[]);
    let mut clients: Vec<_> = (0..100).map(|_| Client::connect(&server.address)).collect();
    for client in &mut clients {
        client.send("GET /delay/1", "", b"");
    }
    // The loop has read the requests that were sent before this one.
    assert_eq!(last.request("GET /get").status, 200);

    server.signal("TERM");
    for client in &mut clients {
        let response = client.read();
        assert_eq!((response.status, response.header("connection")), (200, Some("close")));
        assert_eq!(
            response.header("server-timing").map(|timing| &timing[..13]),
            Some("initial_delay")
        );
    }
    let ended = server.ended();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("101 connections, 101 requests"), "{}", ended.stderr);
}

#[test]
fn an_address_in_use_ends_with_status_1_and_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = example("httpbin_delay").args(["--listen", &address]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains(&address) && stderr.contains("in use"), "{stderr}");
}

#[test]
fn a_bad_option_ends_with_status_2_and_one_line() {
    for (options, reason) in [
        (&["--nonsense"][..], "--nonsense"),
        (&["-x"], "-x"),
        (&["8080"], "8080"),
        (&["--listen"], "--listen"),
        (&["--listen", "8080"], "host and port"),
        (&["--listen", ":8080"], "host and port"),
        (&["--listen", "127.0.0.1:65536"], "host and port"),
        (&["--loops", "0"], "[1, 1024]"),
        (&["--loops", "two"], "\"two\""),
        (&["--accept", "none"], "\"none\""),
        (&["--max-delay", "-1"], "negative"),
        (&["--max-delay", "soon"], "\"soon\""),
        (&["--debug=yes"], "--debug"),
    ] {
        let output = example("httpbin_delay").args(options).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{options:?}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains(reason) && stderr.contains("--help"), "{stderr}");
    }
}

#[test]
fn help_and_version_are_printed() {
    let output = example("httpbin_delay").arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
    for option in [
        "--listen",
        "--loops",
        "--no-pin",
        "--max-delay",
        "--chaos",
        "--server-timing",
        "--debug",
        "--version",
    ] {
        assert!(help.contains(option), "{option}");
    }
    for warning in ["every web page that is open in a", "Pages of every site may send requests"] {
        assert!(help.contains(warning), "{warning}");
    }
    let output = example("httpbin_delay").arg("--version").output().unwrap();
    let version = format!("httpbin_delay {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), version);
}

#[test]
fn the_server_listens_at_host_names_and_ipv6_addresses() {
    let mut addresses = vec!["localhost:0"];
    if TcpListener::bind("[::1]:0").is_ok() {
        addresses.push("[::1]:0");
    }
    for listen in addresses {
        let mut command = example("httpbin_delay");
        command.args(["--listen", listen, "--loops", "1"]);
        let server = Server::start(command);
        let document = Client::connect(&server.address).request("GET /ip").json();
        let origin = document["origin"].as_str().unwrap();
        assert!(origin == "::1" || origin == "127.0.0.1", "{origin}");
        server.stop();
    }
}

#[test]
fn a_low_descriptor_limit_is_logged() {
    let server = example("httpbin_delay");
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 256 && exec \"$0\" --listen 127.0.0.1:0 --loops 1"]);
    command.arg(server.get_program());
    let stderr = Server::start(command).stop();
    assert!(stderr.contains("the limit of descriptors is 256"), "{stderr}");
}
