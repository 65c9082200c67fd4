//! Many connections that wait, and then all ask at once.
#![forbid(unsafe_code)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// As many as both sides may have open, up to this.
const CONNECTIONS: u64 = 10_000;

#[test]
fn ten_thousand_idle_connections_are_all_answered() {
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let connections = CONNECTIONS.min(limit.saturating_sub(200));
    assert!(connections >= 500, "a descriptor limit of {limit} is too low for this test");
    let (mut server, address) = start();
    let mut clients: Vec<_> = (0..connections).map(|_| connect(&address)).collect();
    for client in &mut clients {
        client.write_all(b"GET /delay/0 HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    }
    let answered = clients.iter_mut().map(is_ok).filter(|ok| *ok).count();
    server.kill().unwrap();
    server.wait().unwrap();
    println!("{answered} of {connections} idle connections were answered");
    assert_eq!(answered as u64, connections);
}

/// The test server, which raises its own descriptor limit.
fn start() -> (Child, String) {
    let test = std::env::current_exe().unwrap();
    let examples = test.ancestors().nth(2).unwrap().join("examples");
    let mut server = Command::new(examples.join("httpbin_delay"))
        .args(["--listen", "127.0.0.1:0", "--loops", "2", "--no-pin"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.split("http://").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    (server, address)
}

fn connect(address: &str) -> TcpStream {
    let client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    client
}

fn is_ok(client: &mut TcpStream) -> bool {
    let mut start = [0; 15];
    client.read_exact(&mut start).is_ok() && &start == b"HTTP/1.1 200 OK"
}
