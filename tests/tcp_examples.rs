//! The examples `echo` and `resp`, servers of other protocols than HTTP, as processes.
#![forbid(unsafe_code)]

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use common::PATIENCE;
use common::server::{Server, example};

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(&server.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Sends `bytes` and reads as much as `expected` is long.
fn exchange(stream: &mut TcpStream, bytes: &[u8], expected: &str) {
    stream.write_all(bytes).unwrap();
    let mut reply = vec![0; expected.len()];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(String::from_utf8_lossy(&reply), expected);
}

fn start_echo() -> Server {
    let mut command = example("echo");
    command.arg("127.0.0.1:0");
    Server::start(command)
}

#[test]
fn echo_returns_every_byte_in_order() {
    let server = start_echo();
    let mut stream = connect(&server);
    let sent: Vec<u8> = (0..1_000_000_u32).map(|n| n as u8).collect();
    let mut sending = stream.try_clone().unwrap();
    let to_send = sent.clone();
    let sender = std::thread::spawn(move || {
        sending.write_all(&to_send).unwrap();
        sending.shutdown(Shutdown::Write).unwrap();
    });
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    sender.join().unwrap();
    assert!(received == sent, "{} of {} bytes", received.len(), sent.len());
    server.stop();
}

#[test]
fn echo_closes_idle_connections_when_it_drains_and_ends() {
    let server = start_echo();
    let mut streams: Vec<_> = (0..10).map(|_| connect(&server)).collect();
    for stream in &mut streams {
        exchange(stream, b"hello", "hello");
    }
    let log = server.stop();
    assert!(!log.contains("cancelled"), "{log}");
    for mut stream in streams {
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }
}

fn start_resp(loops: &str) -> Server {
    let mut command = example("resp");
    command.args(["--listen", "127.0.0.1:0", "--loops", loops]);
    Server::start(command)
}

/// Encodes a command as an array of bulk strings.
fn command(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n{word}\r\n", word.len()).into_bytes());
    }
    bytes
}

#[test]
fn resp_replies_in_order_also_when_the_keys_are_on_several_loops() {
    for loops in ["1", "3"] {
        let server = start_resp(loops);
        let mut stream = connect(&server);
        let keys: Vec<String> = (0..50).map(|n| format!("key {n}")).collect();
        let (mut sent, mut expected) = (Vec::new(), String::new());
        for (n, key) in keys.iter().enumerate() {
            let value = n.to_string();
            for words in [&["SET", key, &value][..], &["incr", key], &["GET", key], &["PING"]] {
                sent.extend(command(words));
            }
            let next = (n + 1).to_string();
            expected += &format!("+OK\r\n:{next}\r\n${}\r\n{next}\r\n+PONG\r\n", next.len());
        }
        let mut delete = vec!["DEL", "no such key"];
        delete.extend(keys.iter().map(String::as_str));
        sent.extend(command(&delete));
        sent.extend(command(&["GET", &keys[0]]));
        expected += ":50\r\n$-1\r\n";
        exchange(&mut stream, &sent, &expected);
        // One byte at a time.
        for byte in &command(&["SET", "a", "b"]) {
            stream.write_all(&[*byte]).unwrap();
        }
        exchange(&mut stream, b"\r\n*0\r\nget a\r\n", "+OK\r\n$1\r\nb\r\n");
        server.stop();
    }
}

#[test]
fn resp_says_what_is_wrong_with_the_options_of_tls() {
    let fails = |arguments: &[&str]| {
        let mut command = example("resp");
        let output = command.args(["--listen", "127.0.0.1:0"]).args(arguments).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let error = fails(&["--tls-cert", "cert.pem"]);
    assert!(error.contains("--tls-key"), "{error}");
    let error = fails(&["--tls-cert", "/no/cert.pem", "--tls-key", "/no/key.pem"]);
    let expected = if cfg!(feature = "tls") { "/no/cert.pem" } else { "--features tls" };
    assert!(error.contains(expected), "{error}");
}

#[test]
fn resp_sees_the_keys_that_another_connection_set() {
    let server = start_resp("2");
    let (mut one, mut other) = (connect(&server), connect(&server));
    for n in 0..20 {
        let (key, value) = (format!("key {n}"), format!("{n:4}"));
        exchange(&mut one, &command(&["SET", &key, &value]), "+OK\r\n");
        exchange(&mut other, &command(&["GET", &key]), &format!("$4\r\n{value}\r\n"));
    }
}

#[test]
fn resp_replies_to_wrong_commands_with_an_error_and_closes_on_a_broken_protocol() {
    let server = start_resp("1");
    let mut stream = connect(&server);
    let wrong = "-ERR wrong number of arguments for 'get' command\r\n";
    exchange(&mut stream, &command(&["GET"]), wrong);
    exchange(&mut stream, &command(&["NO", "such"]), "-ERR unknown command 'NO'\r\n");
    exchange(&mut stream, &command(&["SET", "word", "x"]), "+OK\r\n");
    let error = "-ERR value is not an integer or out of range\r\n";
    exchange(&mut stream, &command(&["INCR", "word"]), error);
    for (bytes, error) in [
        ("*1\r\n+3\r\n", "expected '$'"),
        ("*x\r\n", "invalid length"),
        ("*1\r\n$-1\r\n", "invalid length"),
        ("*99999\r\n", "command too long"),
        ("*1\r\n$99999999\r\n", "command too long"),
        ("*1\r\n$1\r\nab\r\n", "expected '$'"),
    ] {
        let mut stream = connect(&server);
        stream.write_all(&command(&["PING"])).unwrap();
        stream.write_all(bytes.as_bytes()).unwrap();
        let mut replies = String::new();
        stream.read_to_string(&mut replies).unwrap();
        assert_eq!(replies, format!("+PONG\r\n-ERR Protocol error: {error}\r\n"), "{bytes:?}");
    }
    server.stop();
}
