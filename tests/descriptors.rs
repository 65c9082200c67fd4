//! A server that runs out of descriptors closes idle connections, and turns clients away if that
//! frees none.
#![forbid(unsafe_code)]
#![cfg(all(unix, feature = "http"))]

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Command;

use brigade::http::{self, Router, get};
use common::PATIENCE;
use common::server::Server;

/// How many descriptors the server may have.
const DESCRIPTORS: usize = 64;
/// How many clients get a response and stay connected.
const CLIENTS: usize = 200;

/// Starts this program once more, as a server. `mode` says how it accepts.
fn start(mode: &str) -> Server {
    let run = "exec \"$0\" --ignored --exact --nocapture server_process";
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("ulimit -n {DESCRIPTORS}; {run}")])
        .arg(std::env::current_exe().unwrap())
        .env("MODE", mode);
    Server::start(command)
}

/// The server's process.
#[test]
#[ignore = "started by the other tests"]
fn server_process() {
    let server = match &*std::env::var("MODE").unwrap() {
        "per loop" => http::Server::bind("127.0.0.1:0").unwrap().per_loop(true).loops(2),
        loops => http::Server::bind("127.0.0.1:0").unwrap().loops(loops.parse().unwrap()),
    };
    println!("\nlistening on http://{}", server.local_addr().unwrap());
    server.pin(false).run(|| Router::new().route("/", get(async || "hello"))).unwrap();
}

/// Sends a request on a new connection and reads the response. Returns the connection, or `None`
/// if the server closed it without a response.
fn connect(server: &Server) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").ok()?;
    let mut response = [0; 1024];
    match stream.read(&mut response) {
        Ok(read) if read > 0 => {
            assert!(response.starts_with(b"HTTP/1.1 200 "));
            Some(stream)
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            panic!("a client got neither a response nor the end of its connection")
        }
        _ => None,
    }
}

/// Returns `true` if the server has closed the connection.
fn is_closed(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    match stream.peek(&mut [0; 1]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

#[test]
fn two_loops_behind_an_acceptor_close_idle_connections_when_descriptors_run_out() {
    serve_more_clients_than_descriptors("2");
}

#[test]
fn a_single_loop_closes_idle_connections_when_descriptors_run_out() {
    serve_more_clients_than_descriptors("1");
}

#[test]
#[cfg(target_os = "linux")]
fn loops_that_accept_themselves_close_idle_connections_when_descriptors_run_out() {
    serve_more_clients_than_descriptors("per loop");
}

fn serve_more_clients_than_descriptors(mode: &str) {
    let server = start(mode);
    let mut clients = Vec::new();
    let mut turned_away = 0;
    while clients.len() < CLIENTS {
        match connect(&server) {
            Some(stream) => clients.push(stream),
            None => turned_away += 1,
        }
        assert!(turned_away < 10_000, "the server serves no client any more");
    }
    let closed = clients.iter().filter(|stream| is_closed(stream)).count();
    println!("{closed} of {CLIENTS} connections closed while idle, {turned_away} turned away");
    assert!(closed > CLIENTS - DESCRIPTORS, "only {closed} idle connections were closed");
    drop(clients);
    // The server gets its descriptors back as it notices that the clients are gone.
    while connect(&server).is_none() {}
}
