//! A server that runs out of descriptors closes what is idle, turns others away, and goes on.
#![forbid(unsafe_code)]
#![cfg(all(unix, feature = "http"))]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use brigade::http::{Router, Server, get};

/// A hang is a failure: nothing here takes so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server in a process that may have 64 descriptors: this program, started once more.
struct Hello {
    process: Child,
    address: SocketAddr,
}

impl Hello {
    /// `MODE` says how the other process accepts.
    fn start(mode: &str) -> Self {
        let mut process = Command::new("sh")
            .args(["-c", "ulimit -n 64; exec \"$0\" --ignored --exact --nocapture the_server"])
            .arg(std::env::current_exe().unwrap())
            .env("MODE", mode)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let told = lines.filter_map(|line| line.split("at ").nth(1).map(str::to_owned)).next();
        Self { address: told.unwrap().parse().unwrap(), process }
    }

    /// Asks once on a new connection, and keeps it. `None` if the server turned it away.
    fn ask(&self) -> Option<TcpStream> {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").ok()?;
        let mut answer = [0; 1024];
        match stream.read(&mut answer) {
            Ok(read) if read > 0 => {
                assert!(answer.starts_with(b"HTTP/1.1 200 "));
                Some(stream)
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("a client was left to wait")
            }
            _ => None,
        }
    }
}

impl Drop for Hello {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Not a test, but the other process.
#[test]
#[ignore = "started by the other tests"]
fn the_server() {
    let server = match &*std::env::var("MODE").unwrap() {
        "per loop" => Server::bind("127.0.0.1:0").unwrap().per_loop(true).loops(2),
        loops => Server::bind("127.0.0.1:0").unwrap().loops(loops.parse().unwrap()),
    };
    println!("\nat {}", server.local_addr().unwrap());
    server.pin(false).run(|| Router::new().route("/", get(async |_| "hello"))).unwrap();
}

#[test]
fn one_acceptor_outlives_two_hundred_clients() {
    two_hundred_clients_are_answered_or_turned_away("2");
}

#[test]
fn a_single_loop_outlives_two_hundred_clients() {
    two_hundred_clients_are_answered_or_turned_away("1");
}

#[test]
#[cfg(target_os = "linux")]
fn loops_that_accept_for_themselves_outlive_two_hundred_clients() {
    two_hundred_clients_are_answered_or_turned_away("per loop");
}

fn two_hundred_clients_are_answered_or_turned_away(mode: &str) {
    let hello = Hello::start(mode);
    let mut kept = Vec::new();
    let mut turned_away = 0;
    // Each asks until it is answered once; all that were answered stay connected and idle.
    while kept.len() < 200 {
        match hello.ask() {
            Some(stream) => kept.push(stream),
            None => turned_away += 1,
        }
        assert!(turned_away < 10_000, "nobody is answered any more");
    }
    drop(kept);
    // The descriptors come back as the server notices.
    while hello.ask().is_none() {}
}
