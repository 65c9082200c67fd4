//! Sockets: TCP, UDP and Unix, both ends on one loop.

use std::io::ErrorKind;
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use brigade_runtime::net::{TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream};
use brigade_runtime::task::yield_now;
use brigade_runtime::{gather, gather_all, run, run_in_thread, spawn, time};
use futures_util::{AsyncReadExt, AsyncWriteExt, FutureExt};

mod support;

fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// Both ends of a TCP connection.
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
fn more_bytes_than_the_system_buffers_go_over_a_socket_and_come_back() {
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
fn after_a_half_close_the_other_direction_still_carries() {
    run(async {
        let (client, server) = pair().await;
        client.write_all(b"question").await.unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&server).await.unwrap(), b"question");
        assert!(server.is_read_closed());
        server.write_all(b"answer").await.unwrap();
        drop(server);
        assert_eq!(read_all(&client).await.unwrap(), b"answer");
    });
}

#[test]
fn a_fin_that_comes_with_the_last_bytes_is_not_lost() {
    run(async {
        for pause in 0..4 {
            let (client, server) = pair().await;
            // How much the loop has heard of the socket before differs with the pause.
            for _ in 0..pause {
                yield_now().await;
            }
            client.write_all(b"last words").await.unwrap();
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
fn whoever_waits_for_the_peer_to_go_is_told_and_reads_the_rest() {
    run(async {
        let (client, server) = pair().await;
        client.write_all(b"rest").await.unwrap();
        let mut watch = Box::pin(std::future::poll_fn(|cx| server.poll_read_closed(cx)));
        assert!(time::timeout(Duration::ZERO, &mut watch).await.is_err());
        drop(client);
        watch.await;
        assert_eq!(read_all(&server).await.unwrap(), b"rest");
    });
}

#[test]
fn a_reset_is_an_error_for_reader_and_writer() {
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
fn writing_to_a_peer_that_is_gone_fails_and_does_not_hang() {
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
fn a_writer_that_is_held_up_goes_on_when_the_peer_reads() {
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
        assert!(!writing.is_finished(), "the system took {filled} bytes and then more");
        let all = read_all(&server);
        let (sent, all) = gather((writing, all)).await;
        sent.unwrap().unwrap();
        assert_eq!(all.unwrap().len(), filled + 3);
    });
}

#[test]
fn many_tasks_may_wait_on_one_socket_and_each_gets_something() {
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
fn a_read_that_is_cancelled_took_nothing() {
    run(async {
        let (client, server) = pair().await;
        let mut buffer = [0; 8];
        for _ in 0..3 {
            let read = time::timeout(Duration::from_millis(1), server.read(&mut buffer));
            assert!(read.await.is_err());
        }
        client.write_all(b"whole").await.unwrap();
        assert_eq!(server.read(&mut buffer).await.unwrap(), 5);
    });
}

#[test]
fn connecting_to_a_closed_port_is_refused() {
    run(async {
        let listener = TcpListener::bind(any_port()).unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = TcpStream::connect_to(address).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn of_several_addresses_the_first_that_answers_is_taken() {
    run(async {
        let closed = TcpListener::bind(any_port()).unwrap().local_addr().unwrap();
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
fn a_listener_accepts_all_that_came_at_once() {
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
fn a_listener_knows_whether_another_connection_waits_before_it_accepts_in_vain() {
    run(async {
        let listener = TcpListener::bind(any_port()).unwrap();
        let address = listener.local_addr().unwrap();
        let connect = || std::net::TcpStream::connect(address).unwrap();
        let accept = || time::timeout(Duration::from_secs(10), listener.accept());
        let knows_of_one = || listener.readable().now_or_never().is_some();
        let _two = (connect(), connect());
        accept().await.unwrap().unwrap();
        accept().await.expect("the second one is not forgotten").unwrap();
        assert!(!knows_of_one());
        let _third = connect();
        accept().await.expect("one that comes later is heard").unwrap();
        assert!(!knows_of_one());
    });
}

#[test]
fn a_connection_moves_to_another_loop_with_what_it_holds() {
    run(async {
        let (client, server) = pair().await;
        client.write_all(b"ping").await.unwrap();
        let socket = server.into_std().unwrap();
        let elsewhere = run_in_thread("elsewhere", move || async move {
            let server = TcpStream::from_std(socket).unwrap();
            let mut buffer = [0; 4];
            server.read_exact(&mut buffer).await.unwrap();
            server.write_all(&buffer).await.unwrap();
        });
        assert_eq!(read_all(&client).await.unwrap(), b"ping");
        elsewhere.unwrap().await.unwrap();
    });
}

#[test]
fn streams_speak_futures_io() {
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
fn datagrams_come_whole_and_from_whom_they_say() {
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
fn a_datagram_that_was_refused_is_one_error_and_the_socket_works_on() {
    run(async {
        let (one, other) = (UdpSocket::bind(any_port()).unwrap(), UdpSocket::bind(any_port()));
        let peer = other.as_ref().unwrap().local_addr().unwrap();
        drop(other);
        one.connect(peer).unwrap();
        one.send(b"anybody?").await.unwrap();
        // So that the loop hears of it before the socket is asked.
        yield_now().await;
        yield_now().await;
        let mut buffer = [0; 16];
        let error = one.recv(&mut buffer).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        // Must wait, and not try for ever within one poll.
        let waiting = time::timeout(Duration::from_millis(5), one.recv(&mut buffer)).await;
        assert!(waiting.is_err());
        let back = UdpSocket::bind(peer).unwrap();
        back.send_to(b"here", one.local_addr().unwrap()).await.unwrap();
        assert_eq!(one.recv(&mut buffer).await.unwrap(), 4);
    });
}

#[test]
fn unix_streams_connect_through_the_file_system_and_in_pairs() {
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
fn a_manual_clock_stands_still_while_two_tasks_talk_over_a_socket() {
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
fn a_manual_clock_does_not_jump_while_bytes_are_on_their_way() {
    support::run_on_manual_clock(async {
        let (client, server) = pair().await;
        for _ in 0..100 {
            let mut byte = [0];
            let read = time::timeout(Duration::from_secs(1), server.read(&mut byte));
            let (read, written) = gather((read, client.write_all(b"x"))).await;
            written.unwrap();
            assert_eq!(read.unwrap().unwrap(), 1);
        }
    });
}
