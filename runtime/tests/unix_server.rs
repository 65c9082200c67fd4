//! A server of several loops that listens at Unix sockets.

mod support;

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use brigade_runtime::net::{AnyStream, PeerAddr};
use brigade_runtime::server::{Phase, TcpServer, UnixPath, until_draining};
use support::server::{PATIENCE, Running, bind, blocking, connect};

/// A folder for socket files, which is removed when dropped.
struct Folder(PathBuf);

impl Folder {
    /// Creates a folder. No two tests may use the same name.
    fn new(name: &str) -> Self {
        let name = format!("brigade-server-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Sends the name of the peer, then echoes until the peer closes or the server shuts down.
async fn echo(stream: AnyStream, peer: PeerAddr) {
    assert_eq!((stream.is_unix(), stream.peer_addr().unwrap()), (peer.is_unix(), peer));
    stream.write_all(format!("{peer}\n").as_bytes()).await.unwrap();
    let mut buffer = [0; 1024];
    while let Some(Ok(read @ 1..)) = until_draining(stream.read(&mut buffer)).await {
        stream.write_all(&buffer[..read]).await.unwrap();
    }
}

fn connect_unix(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Returns the first line, which names the peer.
fn greeting(stream: &mut impl Read) -> String {
    let mut line = Vec::new();
    loop {
        // Byte by byte, so that nothing of what follows is read.
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        match byte {
            [b'\n'] => return String::from_utf8(line).unwrap(),
            [byte] => line.push(byte),
        }
    }
}

fn echoed(stream: &mut (impl Read + Write), text: &[u8]) -> Vec<u8> {
    stream.write_all(text).unwrap();
    let mut echo = vec![0; text.len()];
    stream.read_exact(&mut echo).unwrap();
    echo
}

#[test]
fn a_server_listens_at_tcp_and_unix_sockets_in_every_mode_of_accepting() {
    let folder = Folder::new("modes");
    for (loops, per_loop) in [(1, false), (2, false), (2, cfg!(target_os = "linux"))] {
        let (one, other) = (folder.path("one"), folder.path("other"));
        let server = bind().and_bind_unix(&one).unwrap().and_bind_unix(&other).unwrap();
        assert_eq!(server.unix_paths(), [&one, &other]);
        let server = Running::start(server.loops(loops).per_loop(per_loop), || echo);
        let mut tcp = server.connect();
        assert_eq!(greeting(&mut tcp), tcp.local_addr().unwrap().to_string());
        assert_eq!(echoed(&mut tcp, b"hello"), b"hello");
        let mut unix = [&one, &other, &one, &other].map(|path| connect_unix(path));
        for stream in &mut unix {
            assert_eq!(greeting(stream), "unix:");
            assert_eq!(echoed(stream, b"hello"), b"hello");
        }
        let open: Vec<_> = server.stats.loops().iter().map(|stats| stats.open).collect();
        assert_eq!(open.iter().sum::<usize>(), 5);
        assert!(open.iter().all(|open| *open > 0), "not spread over the loops: {open:?}");
        let reports = server.end().unwrap();
        assert_eq!(reports.iter().map(|report| report.stats.accepted).sum::<usize>(), 5);
        assert_eq!(reports.iter().map(|report| report.cancelled).sum::<usize>(), 0);
        // The drain has ended the connections, and the files are gone.
        assert_eq!(unix[0].read(&mut [0]).unwrap(), 0);
        assert!(!one.exists() && !other.exists());
    }
}

#[test]
fn connections_avoid_a_loop_that_is_stuck_with_one() {
    let folder = Folder::new("stuck");
    let path = folder.path("socket");
    let (block, is_blocked, release) = blocking();
    let server = TcpServer::bind_unix(&path).unwrap().loops(2);
    let error = server.local_addr().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
    let server = Running::start(server, move || {
        let block = block.clone();
        async move |stream: AnyStream, peer| {
            let mut first = [0];
            stream.read_exact(&mut first).await.unwrap();
            match &first {
                b"!" => block(),
                _ => echo(stream, peer).await,
            }
        }
    });
    let mut stuck = connect_unix(&path);
    stuck.write_all(b"!").unwrap();
    is_blocked.recv_timeout(PATIENCE).unwrap();
    // Of two at least one would be given to the loop that is stuck, if it were not known.
    for mut stream in [connect_unix(&path), connect_unix(&path)] {
        stream.write_all(b"?").unwrap();
        assert_eq!(greeting(&mut stream), "unix:");
    }
    drop(release);
    server.end().unwrap();
}

#[test]
fn the_socket_file_is_removed_before_connections_are_drained() {
    let folder = Folder::new("drain");
    let path = folder.path("socket");
    let server = TcpServer::bind_unix(&path).unwrap().loops(2);
    let mut server = Running::start(server, || {
        async |stream: AnyStream, _| {
            stream.write_all(b"!").await.unwrap();
            // Until the peer closes, whether the server drains or not.
            let _ = stream.read(&mut [0]).await;
        }
    });
    let mut stream = connect_unix(&path);
    stream.read_exact(&mut [0]).unwrap();
    server.shutdown = None;
    let state = server.state.clone();
    brigade_runtime::run(async move { state.reached(Phase::Draining).await });
    while path.exists() {
        std::thread::yield_now();
    }
    // Another server can listen there while the first one drains, and keeps its file.
    let next = TcpServer::bind_unix(&path).unwrap();
    drop(stream);
    assert_eq!(server.join().unwrap().len(), 2);
    assert!(path.exists());
    drop(next);
    assert!(!path.exists());
}

#[test]
fn the_file_of_a_socket_that_is_closed_is_replaced() {
    let folder = Folder::new("abandoned");
    let path = folder.path("socket");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let server = TcpServer::bind_unix(UnixPath::new(&path).mode(0o600)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let server = Running::start(server.loops(1), || echo);
    assert_eq!(greeting(&mut connect_unix(&path)), "unix:");
    server.end().unwrap();
}

#[test]
fn the_file_of_a_socket_that_listens_is_left_alone_also_if_its_backlog_is_full() {
    let folder = Folder::new("living");
    let path = folder.path("socket");
    let first = UnixListener::bind(&path).unwrap();
    let refused = || {
        let error = TcpServer::bind_unix(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        let begin = format!("cannot listen at {}: ", path.display());
        assert!(error.to_string().starts_with(&begin), "{error}");
    };
    refused();
    // With a backlog of 0 there is room for one connection.
    let backlog = socket2::SockRef::from(&first);
    backlog.listen(0).unwrap();
    let fill = || {
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
        let socket = socket.unwrap();
        socket.set_nonblocking(true).unwrap();
        let connected = socket.connect(&socket2::SockAddr::unix(&path).unwrap());
        connected.map(|()| socket)
    };
    let mut clients = Vec::new();
    let full = loop {
        match fill() {
            Ok(client) => clients.push(client),
            Err(error) => break error,
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    refused();
    drop((clients, first));
    drop(TcpServer::bind_unix(&path).unwrap());
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let folder = Folder::new("file");
    let (path, link) = (folder.path("file"), folder.path("link"));
    fs::write(&path, "precious").unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for path in [&path, &link] {
        let error = TcpServer::bind_unix(path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().ends_with("there is a file that is no socket"), "{error}");
    }
    assert_eq!(fs::read_to_string(&link).unwrap(), "precious");
    let error = TcpServer::bind_unix(folder.path(&"x".repeat(200))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_file_that_has_replaced_that_of_the_server_is_not_removed() {
    let folder = Folder::new("replaced");
    let path = folder.path("socket");
    let server = TcpServer::bind_unix(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    drop(server);
    assert!(path.exists());
    // Other permissions do not make it another file.
    let path = folder.path("permissions");
    let server = TcpServer::bind_unix(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    drop(server);
    assert!(!path.exists());
}

#[test]
fn a_socket_that_was_passed_is_served_and_its_file_stays() {
    let folder = Folder::new("passed");
    let path = folder.path("socket");
    let server = TcpServer::from_unix_listener(UnixListener::bind(&path).unwrap()).unwrap();
    let other = UnixListener::bind(folder.path("other")).unwrap();
    let server = server.and_unix_listener(other).unwrap().and_bind("127.0.0.1:0").unwrap();
    assert!(server.unix_paths().is_empty());
    let server = Running::start(server.loops(2), || echo);
    for path in [&path, &folder.path("other")] {
        assert_eq!(greeting(&mut connect_unix(path)), "unix:");
    }
    assert!(greeting(&mut connect(server.addresses[0])).starts_with("127.0.0.1:"));
    server.end().unwrap();
    assert!(path.exists());
}

#[test]
fn only_a_unix_stream_socket_can_be_passed() {
    let folder = Folder::new("kinds");
    let datagrams = UnixDatagram::bind(folder.path("datagrams")).unwrap();
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for socket in [OwnedFd::from(datagrams), tcp.into()] {
        let error = TcpServer::from_unix_listener(UnixListener::from(socket)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    let unix = UnixListener::bind(folder.path("socket")).unwrap();
    let unix = std::net::TcpListener::from(OwnedFd::from(unix));
    assert_eq!(TcpServer::from_listener(unix).unwrap_err().kind(), ErrorKind::InvalidInput);
    // A regular file is no socket at all.
    let file = UnixListener::from(OwnedFd::from(File::open("/dev/null").unwrap()));
    assert!(TcpServer::from_unix_listener(file).is_err());
}
