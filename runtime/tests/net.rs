//! TCP, UDP and Unix sockets, with both ends on one loop.

use std::io::ErrorKind;
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use brigade_runtime::net::{
    TcpListener, TcpSocket, TcpStream, UdpSocket, UnixListener, UnixStream,
};
use brigade_runtime::task::yield_now;
use brigade_runtime::{gather, gather_all, run, run_in_thread, spawn, time};
use bytes::{BufMut, BytesMut};
use futures_util::{AsyncReadExt, AsyncWriteExt, FutureExt};

mod support;

const SECOND: Duration = Duration::from_secs(1);

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

/// Returns both ends of a TCP connection.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(any_port()).unwrap();
    let address = listener.local_addr().unwrap();
    let (client, accepted) = gather((TcpStream::connect_to(address), listener.accept())).await;
    (client.unwrap(), accepted.unwrap().0)
}

async fn read_all(stream: &TcpStream) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(bytes),
            read => bytes.extend_from_slice(&buffer[..read]),
        }
    }
}

#[test]
fn more_bytes_than_the_system_buffers_are_echoed() {
    run(async {
        let (client, server) = pair().await;
        let echo = spawn(async move {
            let mut buffer = [0; 1024];
            loop {
                match server.read(&mut buffer).await.unwrap() {
                    0 => break,
                    n => server.write_all(&buffer[..n]).await.unwrap(),
                }
            }
        });
        let message: Vec<u8> = (0..3_000_000_u32).map(|n| n as u8).collect();
        let (reader, mut writer) = client.into_split();
        let sent = message.clone();
        let sending = spawn(async move { writer.write_all(&sent).await });
        let mut echoed = vec![0; message.len()];
        reader.stream().read_exact(&mut echoed).await.unwrap();
        assert!(echoed == message);
        sending.await.unwrap().unwrap();
        echo.await.unwrap();
    });
}

#[test]
fn after_a_half_close_the_other_direction_still_works() {
    run(async {
        let (client, server) = pair().await;
        client.write_all(b"request").await.unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&server).await.unwrap(), b"request");
        assert!(server.is_read_closed());
        server.write_all(b"response").await.unwrap();
        drop(server);
        assert_eq!(read_all(&client).await.unwrap(), b"response");
    });
}

#[test]
fn a_fin_that_arrives_with_the_last_bytes_is_not_lost() {
    run(async {
        for pause in 0..4 {
            let (client, server) = pair().await;
            // The pauses vary what the selector has reported about the socket before the read.
            for _ in 0..pause {
                yield_now().await;
            }
            client.write_all(b"last bytes").await.unwrap();
            drop(client);
            for _ in 0..pause {
                yield_now().await;
            }
            let mut buffer = [0; 1000];
            assert_eq!(server.read(&mut buffer).await.unwrap(), 10);
            assert_eq!(server.read(&mut buffer).await.unwrap(), 0);
            assert_eq!(server.read(&mut buffer).await.unwrap(), 0, "the end stays the end");
        }
    });
}

#[test]
fn poll_read_closed_is_ready_when_the_peer_disconnects_and_the_rest_can_be_read() {
    support::run_on_manual_clock(async {
        let (client, server) = pair().await;
        client.write_all(b"rest").await.unwrap();
        let mut closed = Box::pin(std::future::poll_fn(|cx| server.poll_read_closed(cx)));
        assert!(time::timeout(SECOND, &mut closed).await.is_err());
        drop(client);
        closed.await;
        assert_eq!(read_all(&server).await.unwrap(), b"rest");
    });
}

#[test]
fn a_reset_fails_reads_and_writes() {
    run(async {
        let (client, server) = pair().await;
        let reading = spawn(async move {
            let error = read_all(&server).await.unwrap_err();
            (error.kind(), server)
        });
        yield_now().await;
        client.set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        let (kind, server) = reading.await.unwrap();
        assert_eq!(kind, ErrorKind::ConnectionReset);
        let error = server.write_all(b"x").await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset));
    });
}

#[test]
fn writing_to_a_disconnected_peer_fails() {
    run(async {
        let (client, server) = pair().await;
        drop(server);
        let chunk = [0; 65536];
        let error = loop {
            if let Err(error) = client.write_all(&chunk).await {
                break error;
            }
        };
        assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset));
    });
}

#[test]
fn a_write_that_waits_continues_when_the_peer_reads() {
    run(async {
        let (client, server) = pair().await;
        let chunk = vec![1; 1 << 20];
        let mut filled = 0;
        while let Ok(written) = client.try_write(&chunk) {
            filled += written;
        }
        let writing = spawn(async move { client.write_all(b"end").await });
        yield_now().await;
        yield_now().await;
        assert!(!writing.is_finished(), "the system accepted more than {filled} bytes");
        let (sent, received) = gather((writing, read_all(&server))).await;
        sent.unwrap().unwrap();
        assert_eq!(received.unwrap().len(), filled + 3);
    });
}

#[test]
fn many_tasks_can_wait_to_read_from_one_socket() {
    const TASKS: usize = 100;
    run(async {
        let (client, server) = pair().await;
        let server = std::rc::Rc::new(server);
        let readers: Vec<_> = (0..TASKS)
            .map(|_| {
                let server = server.clone();
                spawn(async move {
                    let mut byte = [0];
                    server.read_exact(&mut byte).await.unwrap();
                    byte[0]
                })
            })
            .collect();
        for _ in 0..5 {
            yield_now().await;
        }
        let sent: Vec<u8> = (0..TASKS as u8).collect();
        for byte in &sent {
            client.write_all(&[*byte]).await.unwrap();
            yield_now().await;
        }
        let mut read: Vec<_> =
            gather_all(readers).await.into_iter().map(|byte| byte.unwrap()).collect();
        read.sort_unstable();
        assert_eq!(read, sent);
    });
}

#[test]
fn a_cancelled_read_loses_no_bytes() {
    support::run_on_manual_clock(async {
        let (client, server) = pair().await;
        let mut buffer = [0; 8];
        for _ in 0..3 {
            let read = time::timeout(SECOND, server.read(&mut buffer));
            assert!(read.await.is_err());
        }
        client.write_all(b"whole").await.unwrap();
        assert_eq!(server.read(&mut buffer).await.unwrap(), 5);
    });
}

#[test]
fn connecting_to_a_closed_port_is_refused() {
    run(async {
        let (_socket, address) = closed_port();
        let error = TcpStream::connect_to(address).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn connect_tries_several_addresses_until_one_accepts() {
    run(async {
        let (_socket, closed) = closed_port();
        let listener = TcpListener::bind(any_port()).unwrap();
        let open = listener.local_addr().unwrap();
        let addresses: &'static [SocketAddr] = Box::leak(Box::new([closed, open]));
        let stream = TcpStream::connect(addresses).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), open);
        assert!(stream.nodelay().unwrap());
        let none: &'static [SocketAddr] = &[];
        let error = TcpStream::connect(none).await.unwrap_err();
        assert_eq!(error.to_string(), "the host name has no address");
    });
}

#[test]
fn a_listener_accepts_all_connections_that_arrived_at_once() {
    run(async {
        let listener = TcpListener::bind(any_port()).unwrap();
        let address = listener.local_addr().unwrap();
        let clients = gather_all((0..50).map(|_| TcpStream::connect_to(address))).await;
        for client in clients {
            let (_stream, peer) = listener.accept().await.unwrap();
            assert!(peer.ip().is_loopback());
            client.unwrap();
        }
        assert_eq!(listener.try_accept_std().unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn a_listener_is_no_longer_ready_after_it_accepted_the_last_connection() {
    run(async {
        let listener = TcpListener::bind(any_port()).unwrap();
        let address = listener.local_addr().unwrap();
        let connect = || std::net::TcpStream::connect(address).unwrap();
        let accept = || time::timeout(Duration::from_secs(10), listener.accept());
        let is_ready = || listener.readable().now_or_never().is_some();
        let _first_and_second = (connect(), connect());
        accept().await.unwrap().unwrap();
        accept().await.expect("the second connection is accepted").unwrap();
        assert!(!is_ready());
        let _third = connect();
        accept().await.expect("a later connection is accepted").unwrap();
        assert!(!is_ready());
    });
}

#[test]
fn a_tcp_socket_applies_its_options_before_it_listens_and_connects() {
    run(async {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.set_nodelay(false).unwrap();
        socket.set_recv_buffer_size(16 * 1024).unwrap();
        assert!(socket.recv_buffer_size().unwrap() < 64 * 1024);
        socket.bind(any_port()).unwrap();
        let address = socket.local_addr().unwrap();
        let listener = socket.listen(16).unwrap();
        assert_eq!(listener.local_addr().unwrap(), address);

        let socket = TcpSocket::for_address(&address).unwrap();
        assert!(socket.nodelay().unwrap() && !socket.keepalive().unwrap());
        socket.set_keepalive(true).unwrap();
        assert!(socket.keepalive().unwrap());
        socket.set_send_buffer_size(16 * 1024).unwrap();
        assert!(socket.send_buffer_size().unwrap() < 64 * 1024);
        socket.bind(any_port()).unwrap();
        let local = socket.local_addr().unwrap();
        let (client, accepted) = gather((socket.connect(address), listener.accept())).await;
        let ((server, peer), client) = (accepted.unwrap(), client.unwrap());
        assert_eq!((client.local_addr().unwrap(), peer), (local, local));
        assert!(client.nodelay().unwrap() && !server.nodelay().unwrap());
        client.write_all(b"connected").await.unwrap();
        drop(client);
        assert_eq!(read_all(&server).await.unwrap(), b"connected");
    });
}

#[test]
fn sockets_bind_to_the_first_address_that_works() {
    run(async {
        let (_socket, taken) = closed_port();
        let listener = TcpListener::bind(&[taken, any_port()][..]).unwrap();
        assert_ne!(listener.local_addr().unwrap(), taken);
        assert!(TcpListener::bind(("localhost", 0)).is_ok());

        let bound = UdpSocket::bind("127.0.0.1:0").unwrap();
        let bound_at = bound.local_addr().unwrap();
        let socket = UdpSocket::bind(&[bound_at, any_port()][..]).unwrap();
        assert_ne!(socket.local_addr().unwrap(), bound_at);
        let other_family = "[::1]:9".parse().unwrap();
        socket.connect(&[other_family, bound_at][..]).unwrap();
        assert_eq!(socket.peer_addr().unwrap(), bound_at);
    });
}

#[test]
fn the_error_of_a_bind_names_each_address() {
    run(async {
        let (one, two) = (closed_port(), closed_port());
        let addresses = [one.1, two.1];
        let error = TcpListener::bind(&addresses[..]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        let text = error.to_string();
        assert!(addresses.iter().all(|address| text.contains(&address.to_string())), "{text}");
        let error = TcpListener::bind(&[][..]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);

        let socket = UdpSocket::bind(any_port()).unwrap();
        let address = socket.local_addr().unwrap();
        let text = UdpSocket::bind(address).unwrap_err().to_string();
        assert!(text.starts_with(&format!("cannot bind to {address}: ")), "{text}");
    });
}

#[test]
fn connecting_a_tcp_socket_to_a_closed_port_is_refused() {
    run(async {
        let (_socket, address) = closed_port();
        let error = TcpSocket::new_v4().unwrap().connect(address).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
#[cfg(target_os = "linux")]
fn sockets_with_reuseport_share_an_address_and_others_do_not() {
    let bind = |address, reuseport| {
        let socket = TcpSocket::for_address(&address).unwrap();
        socket.set_reuseport(reuseport).unwrap();
        socket.bind(address).and_then(|()| socket.listen_std(16))
    };
    let first = bind(any_port(), true).unwrap();
    let address = first.local_addr().unwrap();
    assert_eq!(bind(address, true).unwrap().local_addr().unwrap(), address);
    assert_eq!(bind(address, false).unwrap_err().kind(), ErrorKind::AddrInUse);
}

#[test]
fn an_ipv6_socket_that_is_only_v6_leaves_the_port_to_ipv4() {
    let Ok(socket) = TcpSocket::new_v6() else { return };
    socket.set_only_v6(true).unwrap();
    if socket.bind("[::]:0".parse().unwrap()).is_err() {
        return; // This machine has no IPv6.
    }
    let port = socket.local_addr().unwrap().port();
    let _v6 = socket.listen_std(16).unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([0, 0, 0, 0], port))).unwrap();
    socket.listen_std(16).unwrap();
}

#[test]
fn a_tcp_socket_made_elsewhere_can_listen_unless_it_is_connected() {
    let listener = std::net::TcpListener::bind(any_port()).unwrap();
    let address = listener.local_addr().unwrap();
    let connected = std::net::TcpStream::connect(address).unwrap();
    let again = TcpSocket::from_fd(listener.into()).unwrap().listen_std(16).unwrap();
    assert_eq!(again.local_addr().unwrap(), address);
    let error = TcpSocket::from_fd(connected.into()).unwrap().listen_std(16).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_connection_can_move_to_another_loop_with_unread_bytes() {
    run(async {
        let (client, server) = pair().await;
        client.write_all(b"ping").await.unwrap();
        let socket = server.into_std().unwrap();
        let echo = run_in_thread("echo", move || async move {
            let server = TcpStream::from_std(socket).unwrap();
            let mut buffer = [0; 4];
            server.read_exact(&mut buffer).await.unwrap();
            server.write_all(&buffer).await.unwrap();
        });
        assert_eq!(read_all(&client).await.unwrap(), b"ping");
        echo.unwrap().await.unwrap();
    });
}

#[test]
fn streams_implement_the_traits_of_futures_io() {
    run(async {
        let (client, server) = pair().await;
        let (mut reader, mut writer) = client.into_split();
        let copying = spawn(async move {
            let server = &server;
            futures_util::io::copy(server, &mut &*server).await
        });
        AsyncWriteExt::write_all(&mut writer, b"copied").await.unwrap();
        writer.close().await.unwrap();
        let mut text = String::new();
        let mut first = [0; 3];
        AsyncReadExt::read_exact(&mut reader, &mut first).await.unwrap();
        assert_eq!(copying.await.unwrap().unwrap(), 6);
        reader.read_to_string(&mut text).await.unwrap();
        assert_eq!((&first, text.as_str()), (b"cop", "ied"));
    });
}

#[test]
fn read_buf_appends_to_the_spare_capacity_of_any_buffer() {
    run(async {
        let (client, server) = pair().await;
        client.write_all(b"one two three four").await.unwrap();
        let mut bytes = BytesMut::with_capacity(8);
        bytes.extend_from_slice(b"> ");
        assert_eq!(server.read_buf(&mut bytes).await.unwrap(), 6);
        assert_eq!(bytes, "> one tw");
        let mut limited = Vec::new().limit(4);
        assert_eq!(server.read_buf(&mut limited).await.unwrap(), 4);
        let mut slice = [0_u8; 2];
        assert_eq!(server.read_buf(&mut &mut slice[..]).await.unwrap(), 2);
        let mut rest = Vec::new();
        drop(client);
        while server.read_buf(&mut rest).await.unwrap() > 0 {}
        assert_eq!(limited.into_inner(), b"o th");
        assert_eq!((&slice[..], &rest[..]), (&b"re"[..], &b"e four"[..]));
        assert_eq!(server.read_buf(&mut rest).await.unwrap(), 0, "the end of the stream");
    });
}

#[test]
fn read_buf_returns_zero_if_the_buffer_can_take_no_more() {
    run(async {
        let (client, server) = pair().await;
        client.write_all(b"kept").await.unwrap();
        assert_eq!(server.read_buf(&mut &mut [0_u8; 0][..]).await.unwrap(), 0);
        let mut buffer = Vec::with_capacity(16);
        assert_eq!(server.read_buf(&mut buffer).await.unwrap(), 4);
        assert_eq!(buffer, b"kept");
    });
}

#[test]
fn read_buf_that_is_dropped_while_it_waits_has_read_nothing() {
    run(async {
        let (one, other) = UnixStream::pair().unwrap();
        let mut buffer = BytesMut::new();
        assert!(other.read_buf(&mut buffer).now_or_never().is_none());
        one.write_all(b"pair").await.unwrap();
        assert_eq!(other.read_buf(&mut buffer).await.unwrap(), 4);

        let (client, server) = pair().await;
        let (mut reader, _writer) = server.into_split();
        assert!(reader.read_buf(&mut buffer).now_or_never().is_none());
        client.write_all(b" of halves").await.unwrap();
        assert_eq!(reader.read_buf(&mut buffer).await.unwrap(), 10);
        assert_eq!(buffer, "pair of halves");
    });
}

#[test]
fn read_buf_reads_all_bytes_of_a_large_transfer() {
    run(async {
        let (client, server) = pair().await;
        let sent: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
        let expected = sent.clone();
        spawn(async move { client.write_all(&sent).await.unwrap() }).detach();
        let mut received = Vec::with_capacity(64 * 1024);
        while server.read_buf(&mut received).await.unwrap() > 0 {}
        assert!(received == expected, "{} bytes", received.len());
    });
}

#[test]
fn datagrams_are_received_whole_with_their_sender() {
    run(async {
        let (one, other) = (UdpSocket::bind(any_port()).unwrap(), UdpSocket::bind(any_port()));
        let other = other.unwrap();
        let (one_at, other_at) = (one.local_addr().unwrap(), other.local_addr().unwrap());
        let receiving = spawn(async move {
            let mut buffer = [0; 16];
            let (first, from) = other.recv_from(&mut buffer).await.unwrap();
            let (second, _) = other.recv_from(&mut buffer).await.unwrap();
            (first, second, from)
        });
        yield_now().await;
        one.send_to(b"four", other_at).await.unwrap();
        one.connect(other_at).unwrap();
        one.send(b"").await.unwrap();
        assert_eq!(receiving.await.unwrap(), (4, 0, one_at));
    });
}

#[test]
fn a_refused_datagram_is_reported_once_and_the_socket_still_works() {
    support::run_on_manual_clock(async {
        let (one, other) = (UdpSocket::bind(any_port()).unwrap(), UdpSocket::bind(any_port()));
        let peer = other.as_ref().unwrap().local_addr().unwrap();
        drop(other);
        one.connect(peer).unwrap();
        one.send(b"anybody?").await.unwrap();
        // Lets the selector report the error before the socket is read.
        yield_now().await;
        yield_now().await;
        let mut buffer = [0; 16];
        let error = one.recv(&mut buffer).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        // The second read must wait, and not spin within one poll.
        let waiting = time::timeout(SECOND, one.recv(&mut buffer)).await;
        assert!(waiting.is_err());
        let back = UdpSocket::bind(peer).unwrap();
        back.send_to(b"here", one.local_addr().unwrap()).await.unwrap();
        assert_eq!(one.recv(&mut buffer).await.unwrap(), 4);
    });
}

#[test]
fn unix_streams_connect_by_path_and_as_a_pair() {
    let path = std::env::temp_dir().join(format!("brigade-net-{}.sock", std::process::id()));
    let socket = path.clone();
    run(async move {
        let listener = UnixListener::bind(&socket).unwrap();
        let (client, accepted) = gather((UnixStream::connect(&socket), listener.accept())).await;
        let (client, server) = (client.unwrap(), accepted.unwrap().0);
        client.write_all(b"local").await.unwrap();
        drop(client);
        let mut buffer = [0; 16];
        assert_eq!(server.read(&mut buffer).await.unwrap(), 5);
        assert_eq!(server.read(&mut buffer).await.unwrap(), 0);
        assert_eq!(UnixListener::bind(&socket).unwrap_err().kind(), ErrorKind::AddrInUse);

        let (one, other) = UnixStream::pair().unwrap();
        let reading = spawn(async move {
            let mut buffer = [0; 4];
            other.read_exact(&mut buffer).await.map(|()| buffer)
        });
        yield_now().await;
        one.write_all(b"pair").await.unwrap();
        assert_eq!(&reading.await.unwrap().unwrap(), b"pair");
    });
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_manual_clock_stands_still_while_two_tasks_exchange_bytes() {
    support::run_on_manual_clock(async {
        let (client, server) = pair().await;
        let began = time::now();
        spawn(time::sleep(Duration::from_secs(3600))).detach();
        let echo = spawn(async move {
            let mut byte = [0];
            while server.read(&mut byte).await.unwrap() == 1 {
                server.write_all(&byte).await.unwrap();
            }
        });
        for _ in 0..100 {
            let mut byte = [0];
            client.write_all(b"x").await.unwrap();
            assert_eq!(client.read(&mut byte).await.unwrap(), 1);
        }
        assert_eq!(time::now(), began);
        drop(client);
        echo.await.unwrap();
    });
}

#[test]
fn a_manual_clock_does_not_jump_while_bytes_are_in_flight() {
    support::run_on_manual_clock(async {
        let (client, server) = pair().await;
        for _ in 0..100 {
            let mut byte = [0];
            let read = time::timeout(SECOND, server.read(&mut byte));
            let (read, written) = gather((read, client.write_all(b"x"))).await;
            written.unwrap();
            assert_eq!(read.unwrap().unwrap(), 1);
        }
    });
}
