//! SIGTERM while clients ask: what they asked before it is answered, and nothing is torn.
//!
//! A client may send a request while its server closes the idle connection under it (RFC 9112
//! section 9.5 and 9.6); it cannot be answered then. What was sent before the signal can.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use crate::common::client::Client;
use crate::common::server::Server;
use crate::start;

const REQUEST: &[u8] = b"GET /delay/0 HTTP/1.1\r\nHost: test\r\n\r\n";
/// A hang is a failure: nothing here takes so long.
const PATIENCE: Duration = Duration::from_secs(60);
/// Connections that ask as fast as they are answered.
const ASKING: usize = 200;
/// How often each of them has been answered before the signal.
const ANSWERED_BEFORE: usize = 20;

/// How one connection fared.
#[derive(Debug, Default)]
struct Fate {
    sent: usize,
    answered: usize,
    /// Its last answer said `Connection: close`.
    told_to_close: bool,
    /// Its end was seen before the next request was sent.
    closed_idle: bool,
    /// The last request was sent before the signal, and got no byte of an answer.
    lost: bool,
    /// The last request was sent after the signal, and got no byte of an answer.
    raced: bool,
}

/// What came for a request.
enum Outcome {
    Answer { is_last: bool },
    Nothing,
}

/// Asks, again and again, as soon as the answer is there, until the server closes.
fn ask_to_the_end(
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
            Ok(()) => read_answer(&mut stream)?,
            Err(_) => Outcome::Nothing,
        };
        match outcome {
            Outcome::Answer { is_last } => {
                fate.answered += 1;
                if fate.answered == ANSWERED_BEFORE {
                    warm.send(()).expect("the test counts those who are warm");
                }
                if is_last {
                    fate.told_to_close = true;
                    assert_eq!(stream.read(&mut [0; 1])?, 0, "after the last answer");
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

/// Whether the server has closed the connection, as far as this side knows.
fn has_ended(stream: &TcpStream) -> io::Result<bool> {
    stream.set_nonblocking(true)?;
    let peeked = stream.peek(&mut [0; 1]);
    stream.set_nonblocking(false)?;
    match peeked {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Ok(0) => Ok(true),
        Ok(_) => panic!("an answer without a request"),
        Err(error) => Err(error),
    }
}

/// Reads an answer to its end.
///
/// # Errors
/// If it was torn: begun and not ended.
fn read_answer(stream: &mut TcpStream) -> io::Result<Outcome> {
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(read @ 1..) => answer.extend_from_slice(&buffer[..read]),
            Ok(_) | Err(_) if answer.is_empty() => return Ok(Outcome::Nothing),
            Ok(_) => return Err(ErrorKind::UnexpectedEof.into()),
            Err(error) => return Err(error),
        }
        let Some(head) = answer.windows(4).position(|end| end == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&answer[..head]).to_lowercase();
        assert!(text.starts_with("http/1.1 200 "), "{text}");
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if answer.len() == head + 4 + length.parse::<usize>().unwrap() {
            return Ok(Outcome::Answer { is_last: text.contains("connection: close") });
        }
    }
}

#[test]
fn a_signal_under_load_leaves_no_request_without_an_answer() {
    let (server, client) = start(&["--loops", "2", "--no-pin"]);
    drop(client);
    let signalled = Arc::new(AtomicBool::new(false));
    let (warm, is_warm) = mpsc::channel();
    let clients: Vec<_> = (0..ASKING)
        .map(|_| {
            let (address, signalled) = (server.address.clone(), signalled.clone());
            let warm = warm.clone();
            thread::spawn(move || ask_to_the_end(&address, &signalled, &warm))
        })
        .collect();
    for _ in 0..ASKING {
        is_warm.recv_timeout(PATIENCE).unwrap();
    }
    signalled.store(true, SeqCst);
    server.signal("TERM");
    let fates: Vec<_> = clients.into_iter().map(|client| client.join().unwrap().unwrap()).collect();
    let ended = server.ended();
    assert!(ended.status.success(), "{}", ended.stderr);

    let count = |is: fn(&Fate) -> bool| fates.iter().filter(|fate| is(fate)).count();
    let sent: usize = fates.iter().map(|fate| fate.sent).sum();
    let answered: usize = fates.iter().map(|fate| fate.answered).sum();
    let (told, idle) = (count(|fate| fate.told_to_close), count(|fate| fate.closed_idle));
    let (lost, raced) = (count(|fate| fate.lost), count(|fate| fate.raced));
    println!(
        "{ASKING} connections: {sent} requests sent, {answered} answered, {lost} lost, {raced} \
         sent to a connection as it was closed; {told} told to close, {idle} closed while idle"
    );
    assert_eq!((lost, answered + raced, told + idle + raced), (0, sent, ASKING));
    // They ask without a pause, so most have a request under way whenever the signal comes.
    assert!(told > idle + raced);
}

/// A server that stands still, so that what is sent to it waits where it is until SIGTERM has been
/// sent too; `ask` sends it. Then all of it is answered.
fn asked_while_it_stood_still(server: Server, ask: impl FnOnce(&Server) -> Vec<Client>) {
    server.signal("STOP");
    let clients = ask(&server);
    server.signal("TERM");
    server.signal("CONT");
    for mut client in clients {
        assert_eq!(client.read().status, 200);
    }
    let ended = server.ended();
    assert!(ended.status.success(), "{}", ended.stderr);
}

#[test]
fn what_waits_in_the_sockets_of_idle_connections_at_the_signal_is_answered() {
    let (server, client) = start(&["--loops", "2", "--no-pin"]);
    drop(client);
    let mut clients: Vec<_> = (0..100).map(|_| Client::connect(&server.address)).collect();
    for client in &mut clients {
        assert_eq!(client.ask("GET /get").status, 200);
    }
    asked_while_it_stood_still(server, |_| {
        clients.iter_mut().for_each(|client| client.send_raw(REQUEST));
        clients
    });
}

#[test]
fn connections_that_wait_to_be_accepted_at_the_signal_are_answered() {
    let (server, client) = start(&["--loops", "2", "--no-pin"]);
    drop(client);
    asked_while_it_stood_still(server, |server| {
        let mut clients: Vec<_> = (0..100).map(|_| Client::connect(&server.address)).collect();
        clients.iter_mut().for_each(|client| client.send_raw(REQUEST));
        clients
    });
}
