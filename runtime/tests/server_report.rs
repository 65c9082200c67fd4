//! What a server logs of its loops when the process receives the signal for it. The only test here:
//! a process has one log and one set of signals for all its tests.
#![cfg(unix)]

mod support;

use std::io::Write;
use std::process::Command;

use brigade_runtime::net;
use brigade_runtime::signal::SignalKind;
use support::server::{PATIENCE, Running, bind, blocking};
use tracing::Level;

#[test]
fn a_stuck_loop_is_described_from_outside_and_the_others_describe_themselves() {
    let messages = support::log::collect("brigade::server");
    let (block, is_blocked, release) = blocking();
    let server = bind().loops(2).report_on(SignalKind::UserDefined1);
    let server = Running::start(server, move || {
        let block = block.clone();
        async move |stream: net::TcpStream, _| {
            let mut buffer = [0];
            stream.read_exact(&mut buffer).await.unwrap();
            block();
        }
    });
    let (mut first, second) = (server.connect(), server.connect());
    while server.stats.loops().iter().any(|stats| stats.open == 0) {
        std::thread::yield_now();
    }
    first.write_all(b"!").unwrap();
    is_blocked.recv_timeout(PATIENCE).unwrap();
    let this = std::process::id().to_string();
    assert!(Command::new("kill").args(["-USR1", &this]).status().unwrap().success());
    let reports = [(); 2].map(|()| messages.recv_timeout(PATIENCE).unwrap());
    let find = |part: &str| reports.iter().find(|(_, text)| text.contains(part)).unwrap();
    let (level, well) = find("1 connections\n");
    assert_eq!(*level, Level::INFO);
    let peer = second.local_addr().unwrap();
    assert!(well.contains("1 x task 'connection' (spawned at "), "{well}");
    assert!(well.contains(&format!(" for {peer}: waiting for ")), "{well}");
    let (level, stuck) = find("no reply within ");
    assert_eq!(*level, Level::WARN);
    assert!(stuck.contains("1 connections open"), "{stuck}");
    release.send(()).unwrap();
    drop((first, second));
    server.end().unwrap();
}
