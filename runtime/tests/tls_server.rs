//! A server of several loops over TLS.
#![forbid(unsafe_code)]

// std
use std::io::{Read, Write};
use std::sync::mpsc;
use std::sync::{Arc, Barrier};

// crates
use brigade_runtime::oneshot::sync_channel;
use brigade_runtime::run_in_thread;
use brigade_runtime::server::{Phase, TcpServer};
use brigade_runtime::tls::{HandshakeFailure, TlsAcceptor, TlsConfig, TlsStream};

// ours
mod support;
#[path = "support/tls.rs"]
mod tls;
use support::server::bind;
use tls::{Authority, VERSIONS, close, echo, echoed, peer, shake_hands, tcp};

#[test]
fn a_server_speaks_tls_on_all_loops_and_counts_handshakes() {
    let authority = Authority::new();
    let acceptor = TlsAcceptor::new(authority.server());
    let server = bind().loops(2).pin(false).tls(acceptor.clone());
    let (address, state, stats) = (server.local_addr().unwrap(), server.state(), server.stats());
    assert_eq!((server.loop_count(), server.local_addrs().unwrap()), (2, vec![address]));
    assert_eq!((server.tls_stats(), server.unix_paths().len()), (acceptor.stats(), 0));
    let (shutdown, shut_down) = sync_channel::<()>();
    let thread = run_in_thread("acceptor", move || async move {
        let shutdown = async {
            let _ = shut_down.await;
        };
        let handler = || async |stream: TlsStream, _peer| drop(echo(&stream).await);
        server.serve(handler, shutdown).await
    });
    let thread = thread.unwrap();
    let mut peers: Vec<_> = (0..4).map(|_| peer(address, authority.client(&VERSIONS))).collect();
    for peer in &mut peers {
        assert_eq!(echoed(peer, b"hello"), b"hello");
    }
    let mut plain = tcp(address);
    plain.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    // Closed, with or without a reset.
    let _ = plain.read_to_end(&mut Vec::new());
    // A connection whose handshake is not complete.
    let silent = tcp(address);
    let open = || stats.loops().iter().map(|stats| stats.open).sum::<usize>();
    while open() < 5 {
        std::thread::yield_now();
    }
    peers.into_iter().for_each(close);
    let counted = acceptor.stats();
    assert_eq!((counted.handshakes, counted.failed()), (4, 1));
    assert_eq!(counted.failures(HandshakeFailure::NotTls), 1);
    drop(silent);
    drop(shutdown);
    let reports = thread.join().unwrap().unwrap();
    assert_eq!(reports.iter().map(|report| report.stats.accepted).sum::<usize>(), 6);
    assert!(reports.iter().all(|report| report.stats.accepted > 0 && report.cancelled == 0));
    assert_eq!(state.phase(), Phase::Ended);
}

#[test]
fn a_server_at_a_unix_socket_and_a_port_speaks_tls_at_both() {
    let authority = Authority::new();
    let path = std::env::temp_dir().join(format!("brigade-tls-{}.sock", std::process::id()));
    let server = bind().and_bind_unix(path.clone()).unwrap().loops(1).pin(false);
    let server = server.tls(authority.server());
    let address = server.local_addr().unwrap();
    let (force, forced) = sync_channel::<()>();
    let thread = run_in_thread("acceptor", move || async move {
        let handler = || {
            async |stream: TlsStream, peer: brigade_runtime::net::PeerAddr| {
                let _ = stream.write_all(peer.is_unix().to_string().as_bytes()).await;
                drop(stream.close().await);
            }
        };
        let force = async {
            let _ = forced.await;
        };
        server.serve_with_force(handler, std::future::pending(), force).await
    });
    let mut over_tcp = String::new();
    peer(address, authority.client(&VERSIONS)).read_to_string(&mut over_tcp).unwrap();
    let conn = peer(address, authority.client(&VERSIONS)).conn;
    let socket = std::os::unix::net::UnixStream::connect(path).unwrap();
    let mut over_unix = String::new();
    let mut stream = brigade_runtime::tls::rustls::StreamOwned::new(conn, socket);
    stream.read_to_string(&mut over_unix).unwrap();
    assert_eq!((&*over_tcp, &*over_unix), ("false", "true"));
    drop(force);
    drop(thread);
}

#[test]
fn a_flood_of_handshakes_takes_turns_with_other_tasks() {
    const CLIENTS: usize = 32;
    let authority = Authority::new();
    let acceptor = TlsAcceptor::new(authority.server());
    let stats = acceptor.clone();
    // The turns that a task gets, by the number of handshakes so far.
    let (seen, turns) = mpsc::channel();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let hellos = Arc::new(Barrier::new(CLIENTS + 1));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (config, hellos) = (authority.client(&VERSIONS), hellos.clone());
            std::thread::spawn(move || {
                let mut peer = peer(address, config);
                peer.conn.write_tls(&mut peer.sock).unwrap();
                hellos.wait();
                shake_hands(&mut peer).unwrap();
                // Until the server closes.
                let _ = peer.read(&mut [0]);
            })
        })
        .collect();
    // All of them are there before the loop turns.
    hellos.wait();
    brigade_runtime::run(async move {
        let listener = brigade_runtime::net::TcpListener::from_std(listener).unwrap();
        let mut tasks = Vec::new();
        for _ in 0..CLIENTS {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tasks.push(brigade_runtime::spawn(async move { acceptor.accept(stream).await }));
        }
        let watching = brigade_runtime::spawn(async move {
            loop {
                // The timer of the loop fires once in each turn at most.
                brigade_runtime::time::sleep(std::time::Duration::from_nanos(1)).await;
                let _ = seen.send(stats.stats().handshakes);
            }
        });
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        watching.abort();
    });
    clients.into_iter().for_each(|client| client.join().unwrap());
    let counts: Vec<u64> = turns.try_iter().collect();
    let most = counts.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(most <= 1, "{most} handshakes were completed in one turn: {counts:?}");
}

#[test]
fn a_server_can_be_given_a_configuration() {
    let server: TlsConfig = Authority::new().server();
    let server = TcpServer::bind("127.0.0.1:0").unwrap().tls(server.clone());
    assert!(format!("{server:?}").contains("TlsServer"));
    assert_eq!(server.acceptor().stats().handshakes, 0);
}
