//! Connecting: several addresses, full backlogs, and connections of a socket to itself.
#![cfg(unix)]

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener as StdTcpListener, TcpStream as StdTcpStream};
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::path::PathBuf;
use std::time::Duration;

use brigade_runtime::net::{TcpSocket, TcpStream, UnixStream};
use brigade_runtime::{run, spawn, time};

mod support;

const MINUTE: Duration = Duration::from_secs(60);

fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// Returns a socket that is bound and does not listen, and its address: connections to it are
/// refused, and no other test can get its port.
fn closed_port() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(any_port()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// A listener that answers no further connection, because its backlog is full.
struct Unresponsive {
    _listener: StdTcpListener,
    _backlog: StdTcpStream,
    address: SocketAddr,
}

#[cfg(target_os = "linux")]
fn unresponsive() -> Unresponsive {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(any_port()).unwrap();
    let _listener = socket.listen_std(0).unwrap();
    let address = _listener.local_addr().unwrap();
    // Linux accepts one more connection than the backlog and drops later SYNs.
    let _backlog = StdTcpStream::connect(address).unwrap();
    Unresponsive { _listener, _backlog, address }
}

/// Connects to the first of `addresses` that accepts, and returns its address and how long it took.
async fn race(addresses: &[SocketAddr]) -> std::io::Result<(SocketAddr, Duration)> {
    let addresses: &'static [SocketAddr] = Vec::leak(addresses.to_vec());
    let began = time::now();
    let stream = time::timeout(MINUTE, TcpStream::connect(addresses)).await??;
    assert!(stream.nodelay().unwrap());
    Ok((stream.peer_addr().unwrap(), time::now() - began))
}

#[test]
#[cfg(target_os = "linux")]
fn an_address_that_never_answers_delays_the_next_one_by_250_ms() {
    support::run_on_manual_clock(async {
        let (dead, other_dead) = (unresponsive(), unresponsive());
        let listener = StdTcpListener::bind(any_port()).unwrap();
        let open = listener.local_addr().unwrap();
        let delay = Duration::from_millis(250);
        assert_eq!(race(&[dead.address, open]).await.unwrap(), (open, delay));
        let addresses = [dead.address, other_dead.address, open];
        assert_eq!(race(&addresses).await.unwrap(), (open, 2 * delay));
        assert_eq!(race(&[open, dead.address]).await.unwrap(), (open, Duration::ZERO));
    });
}

#[test]
#[cfg(target_os = "linux")]
fn the_attempt_that_connects_first_wins_and_the_others_are_closed() {
    support::run_on_manual_clock(async {
        let dead = unresponsive();
        let listener = StdTcpListener::bind(any_port()).unwrap();
        let open = listener.local_addr().unwrap();
        race(&[dead.address, open]).await.unwrap();
        // The loser has left no connection: the only one in the backlog is that of the helper.
        dead._listener.accept().unwrap();
        dead._listener.set_nonblocking(true).unwrap();
        assert_eq!(dead._listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn a_refused_address_is_followed_by_the_next_one_at_once() {
    support::run_on_manual_clock(async {
        let (_socket, closed) = closed_port();
        let listener = StdTcpListener::bind(any_port()).unwrap();
        let open = listener.local_addr().unwrap();
        assert_eq!(race(&[closed, closed, open]).await.unwrap(), (open, Duration::ZERO));
    });
}

#[test]
#[cfg(target_os = "linux")]
fn an_attempt_that_fails_starts_the_next_one_while_an_earlier_one_still_connects() {
    support::run_on_manual_clock(async {
        let dead = unresponsive();
        let (_socket, closed) = closed_port();
        let listener = StdTcpListener::bind(any_port()).unwrap();
        let open = listener.local_addr().unwrap();
        let connected = race(&[dead.address, closed, open]).await.unwrap();
        assert_eq!(connected, (open, Duration::from_millis(250)));
    });
}

#[test]
fn the_error_of_connect_names_every_address_that_failed() {
    run(async {
        let ((_one, first), (_other, second)) = (closed_port(), closed_port());
        let error = race(&[first, second]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let message = error.to_string();
        for address in [first, second] {
            assert!(message.contains(&address.to_string()), "{message}");
        }
        let error = race(&[first]).await.unwrap_err().to_string();
        assert!(error.contains(&first.to_string()), "{error}");
    });
}

#[test]
#[cfg(target_os = "linux")]
fn a_connect_that_still_tries_several_addresses_can_time_out() {
    support::run_on_manual_clock(async {
        let (dead, other_dead) = (unresponsive(), unresponsive());
        let addresses: &'static [SocketAddr] = Vec::leak(vec![dead.address, other_dead.address]);
        let began = time::now();
        let limit = Duration::from_secs(2);
        assert!(time::timeout(limit, TcpStream::connect(addresses)).await.is_err());
        assert_eq!(time::now() - began, limit);
    });
}

#[test]
#[cfg(target_os = "linux")]
fn a_connection_of_a_socket_to_itself_is_refused_and_frees_its_port() {
    run(async {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let address: SocketAddr = address.parse().unwrap();
            let socket = TcpSocket::for_address(&address).unwrap();
            if socket.bind(address).is_err() {
                continue; // This machine has no IPv6.
            }
            let own = socket.local_addr().unwrap();
            let error = socket.connect(own).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
            assert!(error.to_string().contains("itself"), "{error}");
            // Without SO_REUSEADDR, this fails while a connection is in TIME_WAIT.
            TcpSocket::for_address(&own).unwrap().bind(own).unwrap();
        }
    });
}

/// A Unix listener whose backlog is full.
#[cfg(target_os = "linux")]
fn full_unix_listener(name: &str) -> (StdUnixListener, Vec<StdUnixStream>, PathBuf) {
    use socket2::{Domain, SockAddr, Socket, Type};

    let path = std::env::temp_dir().join(format!("brigade-{name}-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    listener.bind(&SockAddr::unix(&path).unwrap()).unwrap();
    listener.listen(1).unwrap();
    let mut backlog = Vec::new();
    loop {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        match socket.connect(&SockAddr::unix(&path).unwrap()) {
            Ok(()) => backlog.push(socket.into()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    (listener.into(), backlog, path)
}

#[test]
#[cfg(target_os = "linux")]
fn connecting_to_a_unix_listener_with_a_full_backlog_waits_for_room() {
    support::run_on_manual_clock(async {
        let (listener, backlog, path) = full_unix_listener("room");
        let connecting = spawn({
            let path = path.clone();
            async move { UnixStream::connect(path).await }
        });
        time::sleep(MINUTE).await;
        assert!(!connecting.is_finished());
        for _ in &backlog {
            listener.accept().unwrap();
        }
        let stream = time::timeout(MINUTE, connecting).await.unwrap().unwrap().unwrap();
        stream.write_all(b"hello").await.unwrap();
        let (mut accepted, _) = listener.accept().unwrap();
        let mut greeting = [0; 5];
        std::io::Read::read_exact(&mut accepted, &mut greeting).unwrap();
        assert_eq!(&greeting, b"hello");
        std::fs::remove_file(path).unwrap();
    });
}

#[test]
#[cfg(target_os = "linux")]
fn connecting_to_a_unix_listener_with_a_full_backlog_can_time_out() {
    support::run_on_manual_clock(async {
        let (listener, backlog, path) = full_unix_listener("timeout");
        assert!(time::timeout(MINUTE, UnixStream::connect(&path)).await.is_err());
        for _ in backlog {
            listener.accept().unwrap();
        }
        listener.set_nonblocking(true).unwrap();
        let error = listener.accept().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock, "a cancelled connect leaves nothing");
        drop(listener);
        let error = UnixStream::connect(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        std::fs::remove_file(path).unwrap();
    });
}
