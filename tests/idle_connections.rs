//! Many idle connections that all send a request.
#![forbid(unsafe_code)]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;

use common::PATIENCE;
use common::server::{Server, example};

const CONNECTIONS: usize = 10_000;
/// Descriptors of a process besides its connections.
const OTHER_DESCRIPTORS: u64 = 100;

#[test]
fn each_of_ten_thousand_idle_connections_gets_a_response() {
    let needed = CONNECTIONS as u64 + OTHER_DESCRIPTORS;
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap();
    assert!(limit >= needed, "this test needs {needed} descriptors, and the hard limit is {limit}");
    let mut command = example("httpbin_delay");
    command.args(["--listen", "127.0.0.1:0", "--loops", "2", "--no-pin"]);
    let server = Server::start(command);
    let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| connect(&server.address)).collect();
    for client in &mut clients {
        client.write_all(b"GET /delay/0 HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    }
    let ok = clients.iter_mut().map(is_ok).filter(|ok| *ok).count();
    println!("{ok} of {CONNECTIONS} idle connections got a response");
    assert_eq!(ok, CONNECTIONS);
    server.stop();
}

fn connect(address: &str) -> TcpStream {
    let client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

/// Returns `true` if the response is a 200.
fn is_ok(client: &mut TcpStream) -> bool {
    let mut start = [0; 15];
    client.read_exact(&mut start).is_ok() && &start == b"HTTP/1.1 200 OK"
}
