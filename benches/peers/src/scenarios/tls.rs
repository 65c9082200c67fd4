//! The scenarios over TLS, with HTTP/1.1 and HTTP/2. All negotiate TLS 1.3,
//! `TLS_AES_128_GCM_SHA256` and X25519, with a certificate of ECDSA on P-256.

use std::io;

use super::{Bench, CONNECTIONS, Figure, REST, Scenario, cpu, cpu_a_request, memory_each};
use crate::h2load;
use crate::load::{self, ClosedLoop, Http2Idle, Keep, Resume, TlsClient};
use crate::servers::Ability;

/// Concurrent streams of each connection.
const STREAMS: usize = 32;
/// Requests by HTTP/2 for each second that a server is to be measured.
const REQUESTS: u64 = 40_000;

pub(super) const KEEP_ALIVE: Scenario = Scenario {
    name: "tls-keep-alive",
    about: "`GET /` over TLS on 64 connections.",
    needs: &[Ability::Tls],
    less_is_better: true,
    run: keep_alive,
};

pub(super) const CHURN: Scenario = Scenario {
    name: "tls-churn",
    about: "A connection over TLS for each `GET /`, 64 at a time, which the server closes: with a \
            full handshake each, and with one that resumes a session.",
    needs: &[Ability::Tls],
    less_is_better: true,
    run: churn,
};

pub(super) const IDLE: Scenario = Scenario {
    name: "tls-idle",
    about: "15,000 idle connections over TLS that have had one response: memory of each.",
    needs: &[Ability::Tls],
    less_is_better: true,
    run: idle,
};

pub(super) const DOWNLOAD: Scenario = Scenario {
    name: "tls-download",
    about: "1 GiB over TLS from `/download`, in pieces of 64 KiB on one connection.",
    needs: &[Ability::Tls],
    less_is_better: false,
    run: download,
};

pub(super) const HTTP2: Scenario = Scenario {
    name: "h2",
    about: "`GET /` by HTTP/2 over TLS on 64 connections with 32 streams each, by h2load.",
    needs: &[Ability::Tls],
    less_is_better: true,
    run: http2,
};

pub(super) const HTTP2_IDLE: Scenario = Scenario {
    name: "h2-idle",
    about: "15,000 idle connections by HTTP/2 over TLS that have had one response: memory of each.",
    needs: &[Ability::Tls],
    less_is_better: true,
    run: http2_idle,
};

fn keep_alive(bench: &Bench<'_>) -> io::Result<Vec<Figure>> {
    let running = bench.start()?;
    let client = TlsClient::new("http/1.1", Resume::Never)?;
    let mut load = ClosedLoop::open_tls(running.address, CONNECTIONS, Keep::Alive, client)?;
    load.run(bench.time() / 5)?;
    Ok(vec![cpu("CPU", cpu_a_request(&running, || load.run(bench.time()))?)])
}

fn churn(bench: &Bench<'_>) -> io::Result<Vec<Figure>> {
    let running = bench.start()?;
    let mut figures = Vec::new();
    for (name, resume) in [("CPU, full", Resume::Never), ("CPU, resumed", Resume::Always)] {
        let client = TlsClient::new("http/1.1", resume)?;
        let mut load = ClosedLoop::open_tls(running.address, CONNECTIONS, Keep::Churn, client)?;
        load.run(bench.time() / 5)?;
        let spent = cpu_a_request(&running, || load.run(bench.time()))?;
        figures.push(Figure { unit: "µs a connection", ..cpu(name, spent) });
    }
    Ok(figures)
}

fn idle(bench: &Bench<'_>) -> io::Result<Vec<Figure>> {
    let running = bench.start()?;
    let (address, count) = (running.address, bench.size.waiting);
    let before = running.process.resident()?;
    let client = TlsClient::new("http/1.1", Resume::Never)?;
    let _load = ClosedLoop::open_tls(address, count, Keep::Alive, client)?;
    Ok(vec![memory_each(before, running.process.resident()?, count)])
}

fn download(bench: &Bench<'_>) -> io::Result<Vec<Figure>> {
    let running = bench.start()?;
    let bytes = bench.size.body_bytes;
    running.offer(bytes)?;
    let client = TlsClient::new("http/1.1", Resume::Never)?;
    let before = running.process.cpu()?;
    load::download_tls(running.address, bytes, &client)?;
    std::thread::sleep(REST);
    let spent = running.process.cpu_since(before)?;
    let value = bytes as f64 / 1e9 / spent.as_secs_f64();
    Ok(vec![Figure { name: "download".to_owned(), unit: "GB per CPU-second", value }])
}

fn http2(bench: &Bench<'_>) -> io::Result<Vec<Figure>> {
    let running = bench.start()?;
    let load = |requests| h2load::run(running.address, CONNECTIONS, STREAMS, requests);
    let requests = REQUESTS * bench.size.seconds;
    load(requests / 5)?;
    Ok(vec![cpu("CPU", cpu_a_request(&running, || load(requests))?)])
}

fn http2_idle(bench: &Bench<'_>) -> io::Result<Vec<Figure>> {
    let running = bench.start()?;
    let before = running.process.resident()?;
    let _load = Http2Idle::open(running.address, bench.size.waiting)?;
    Ok(vec![memory_each(before, running.process.resident()?, bench.size.waiting)])
}
