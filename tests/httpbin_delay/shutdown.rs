//! SIGTERM while clients send requests: those sent before it get whole responses.
//!
//! A client may send a request while the server closes its idle connection. That request gets no
//! response (RFC 9112 sections 9.5 and 9.6).

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, mpsc};
use std::thread;

use crate::common::PATIENCE;
use crate::common::client::Client;
use crate::common::server::Server;
use crate::start;

const REQUEST: &[u8] = b"GET /delay/0 HTTP/1.1\r\nHost: test\r\n\r\n";
/// Connections that send a request as soon as they have the previous response.
const CONNECTIONS: usize = 200;
/// How many responses each of them gets before the signal.
const RESPONSES_BEFORE: usize = 20;

/// What happened on one connection.
#[derive(Debug, Default)]
struct Fate {
    /// Requests sent.
    sent: usize,
    /// Responses received.
    received: usize,
    /// The last response had `Connection: close`.
    had_close: bool,
    /// The client saw the end of the connection before it sent the next request.
    closed_idle: bool,
    /// The last request was sent before the signal and got no response.
    lost: bool,
    /// The last request was sent after the signal and got no response.
    raced: bool,
}

/// What a request got.
enum Outcome {
    Response { is_last: bool },
    Nothing,
}

/// Sends requests, each once the previous response has come, until the server closes.
fn request_until_closed(
    address: &str,
    signalled: &AtomicBool,
    warm: &mpsc::Sender<()>,
) -> io::Result<Fate> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let mut fate = Fate::default();
    loop {
        if has_ended(&stream)? {
            fate.closed_idle = true;
            return Ok(fate);
        }
        fate.sent += 1;
        let written = stream.write_all(REQUEST);
        let is_before = !signalled.load(SeqCst);
        let outcome = match written {
            Ok(()) => read_response(&mut stream)?,
            Err(_) => Outcome::Nothing,
        };
        match outcome {
            Outcome::Response { is_last } => {
                fate.received += 1;
                if fate.received == RESPONSES_BEFORE {
                    warm.send(()).expect("the test counts the connections that are warm");
                }
                if is_last {
                    fate.had_close = true;
                    assert_eq!(stream.read(&mut [0; 1])?, 0, "bytes after the last response");
                    return Ok(fate);
                }
            }
            Outcome::Nothing => {
                (fate.lost, fate.raced) = (is_before, !is_before);
                return Ok(fate);
            }
        }
    }
}

/// Returns `true` if the end of the connection has arrived.
fn has_ended(stream: &TcpStream) -> io::Result<bool> {
    stream.set_nonblocking(true)?;
    let peeked = stream.peek(&mut [0; 1]);
    stream.set_nonblocking(false)?;
    match peeked {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Ok(0) => Ok(true),
        Ok(_) => panic!("a response without a request"),
        Err(error) => Err(error),
    }
}

/// Reads a response to its end.
///
/// # Errors
/// If the connection ends within the response.
fn read_response(stream: &mut TcpStream) -> io::Result<Outcome> {
    let mut response = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(read @ 1..) => response.extend_from_slice(&buffer[..read]),
            Ok(_) | Err(_) if response.is_empty() => return Ok(Outcome::Nothing),
            Ok(_) => return Err(ErrorKind::UnexpectedEof.into()),
            Err(error) => return Err(error),
        }
        let Some(head) = response.windows(4).position(|end| end == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&response[..head]).to_lowercase();
        assert!(text.starts_with("http/1.1 200 "), "{text}");
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if response.len() == head + 4 + length.parse::<usize>().unwrap() {
            return Ok(Outcome::Response { is_last: text.contains("connection: close") });
        }
    }
}

#[test]
fn every_request_sent_before_sigterm_gets_a_response_under_load() {
    let (server, client) = start(&["--loops", "2", "--no-pin"]);
    drop(client);
    let signalled = Arc::new(AtomicBool::new(false));
    let (warm, is_warm) = mpsc::channel();
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (address, signalled) = (server.address.clone(), signalled.clone());
            let warm = warm.clone();
            thread::spawn(move || request_until_closed(&address, &signalled, &warm))
        })
        .collect();
    for _ in 0..CONNECTIONS {
        is_warm.recv_timeout(PATIENCE).unwrap();
    }
    signalled.store(true, SeqCst);
    server.signal("TERM");
    let fates: Vec<_> = clients.into_iter().map(|client| client.join().unwrap().unwrap()).collect();
    let ended = server.ended();
    assert!(ended.status.success(), "{}", ended.stderr);

    let count = |is: fn(&Fate) -> bool| fates.iter().filter(|fate| is(fate)).count();
    let sent: usize = fates.iter().map(|fate| fate.sent).sum();
    let received: usize = fates.iter().map(|fate| fate.received).sum();
    let (last, idle) = (count(|fate| fate.had_close), count(|fate| fate.closed_idle));
    let (lost, raced) = (count(|fate| fate.lost), count(|fate| fate.raced));
    println!(
        "{CONNECTIONS} connections: {sent} requests sent, {received} responses received, {lost} \
         requests lost, {raced} sent while the connection was closed; {last} connections ended \
         with Connection: close, {idle} were closed while idle"
    );
    assert_eq!((lost, received + raced, last + idle + raced), (0, sent, CONNECTIONS));
    // The clients never pause, so most have a request in flight when the signal comes.
    assert!(last > idle + raced);
}

/// Stops the process of `server`, calls `send`, and lets the process continue with SIGTERM pending.
/// So all that `send` sends has arrived by then. Each client gets a response.
fn send_while_stopped(server: Server, send: impl FnOnce(&Server) -> Vec<Client>) {
    server.signal("STOP");
    let clients = send(&server);
    server.signal("TERM");
    server.signal("CONT");
    for mut client in clients {
        assert_eq!(client.read().status, 200);
    }
    let ended = server.ended();
    assert!(ended.status.success(), "{}", ended.stderr);
}

#[test]
fn requests_unread_in_idle_connections_at_sigterm_get_responses() {
    let (server, client) = start(&["--loops", "2", "--no-pin"]);
    drop(client);
    let mut clients: Vec<_> = (0..100).map(|_| Client::connect(&server.address)).collect();
    for client in &mut clients {
        assert_eq!(client.request("GET /get").status, 200);
    }
    send_while_stopped(server, |_| {
        clients.iter_mut().for_each(|client| client.send_raw(REQUEST));
        clients
    });
}

#[test]
fn connections_in_the_backlog_at_sigterm_get_responses() {
    let (server, client) = start(&["--loops", "2", "--no-pin"]);
    drop(client);
    send_while_stopped(server, |server| {
        let mut clients: Vec<_> = (0..100).map(|_| Client::connect(&server.address)).collect();
        clients.iter_mut().for_each(|client| client.send_raw(REQUEST));
        clients
    });
}
