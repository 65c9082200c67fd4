//! Thousands of connections that end in different ways leave nothing behind.
#![forbid(unsafe_code)]
#![cfg(target_os = "linux")]

mod sockets;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use brigade_http::{Router, get as on_get};
use brigade_runtime::net::TcpStream;
use brigade_runtime::{run, spawn};
use sockets::{PATIENCE, TestServer, get};

const CLIENTS: usize = 8;

/// Returns how many connections to make in all: 20,000, or `BRIGADE_CHURN_CONNECTIONS`.
fn connections() -> usize {
    let connections = match std::env::var("BRIGADE_CHURN_CONNECTIONS") {
        Ok(text) => text.parse().expect("BRIGADE_CHURN_CONNECTIONS is a number"),
        Err(_) => 20_000,
    };
    assert!(connections >= CLIENTS, "fewer connections than clients: {connections}");
    connections.next_multiple_of(CLIENTS)
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Returns the next number of a xorshift generator, which is the same in each run.
fn next_random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

async fn connect_repeatedly(address: SocketAddr, connections: usize, mut seed: u64) {
    for _ in 0..connections {
        let random = next_random(&mut seed);
        let stream = TcpStream::connect_to(address).await.unwrap();
        let request = get("/");
        let sent = match random % 4 {
            0 => "",
            1 => &request[..request.len() / 2],
            _ => &request,
        };
        stream.write_all(sent.as_bytes()).await.unwrap();
        if random % 4 == 3 {
            assert!(stream.read(&mut [0; 512]).await.unwrap() > 0);
        }
        if random & 16 == 0 {
            // With this option, close(2) sends a reset.
            stream.set_linger(Some(Duration::ZERO)).unwrap();
        }
    }
}

#[test]
fn thousands_of_connections_that_end_in_any_way_leave_no_descriptor_open() {
    let connections = connections();
    let server = TestServer::start_with(
        |server| server.loops(2).pin(false),
        || Router::new().route("/", on_get(async || "hello")),
    );
    let address = server.address;
    drop(server.exchange("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    let before = descriptors();
    let began = Instant::now();
    run(async move {
        let per_client = connections / CLIENTS;
        let clients =
            (1..=CLIENTS as u64).map(|seed| spawn(connect_repeatedly(address, per_client, seed)));
        for client in clients.collect::<Vec<_>>() {
            client.await.unwrap();
        }
    });
    let ended = Instant::now();
    while descriptors() > before {
        assert!(ended.elapsed() < PATIENCE, "{} of {before} descriptors", descriptors());
        std::thread::yield_now();
    }
    let reports = server.join();
    let served: usize = reports.iter().map(|report| report.stats.tcp.accepted).sum();
    println!("{connections} connections in {:.1?}", began.elapsed());
    assert_eq!(served, connections + 1);
    assert!(reports.iter().all(|report| report.cancelled == 0), "{reports:?}");
}
