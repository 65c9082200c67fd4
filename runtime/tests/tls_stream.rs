//! Reading from and writing to TLS connections.
#![forbid(unsafe_code)]

// std
use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::rc::Rc;

// crates
use brigade_runtime::net::{AnyStream, TcpListener, TcpStream, UnixStream};
use brigade_runtime::tls::rustls::{self, AlertDescription};
use brigade_runtime::tls::{TlsAcceptor, TlsConnector, TlsStream, WRITE_BYTES_MAX};
use brigade_runtime::{io as copying, run, spawn};
use futures_util::{AsyncReadExt, AsyncWriteExt, FutureExt};

// ours
#[path = "support/tls.rs"]
mod tls;
use tls::{Authority, VERSIONS, accept_one, close, echo, echoed, peer, read_exactly, shake_hands};

/// More than the buffers of two sockets hold.
const LARGE: usize = 10 * 1024 * 1024;

/// Returns both ends of a connection over these sockets.
async fn pair(one: impl Into<AnyStream>, other: impl Into<AnyStream>) -> (TlsStream, TlsStream) {
    let authority = Authority::new();
    let connector = TlsConnector::builder().roots(authority.roots()).build().unwrap();
    let acceptor = TlsAcceptor::new(authority.server());
    let other = other.into();
    let accept = spawn(async move { acceptor.accept(other).await });
    let client = connector.connect(one, "localhost").await.unwrap();
    (client, accept.await.unwrap().unwrap())
}

async fn tcp_pair() -> (TlsStream, TlsStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = TcpStream::connect_to(listener.local_addr().unwrap()).await.unwrap();
    let (other, _) = listener.accept().await.unwrap();
    pair(one, other).await
}

/// Bytes of which no two parts are alike.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 31 + index / 251) as u8).collect()
}

#[test]
fn ten_megabytes_go_both_ways_at_once_to_slow_readers() {
    run(async {
        // Smaller than a record and than the least that is read of the socket, and larger than the
        // most.
        for (is_unix, length, buffer) in [
            (false, LARGE, 1500),
            (true, LARGE / 10, 1500),
            (false, LARGE / 10, 100_000),
            (false, LARGE / 10, 20_000),
        ] {
            let (one, other) = match is_unix {
                false => tcp_pair().await,
                true => {
                    let (one, other) = UnixStream::pair().unwrap();
                    pair(one, other).await
                }
            };
            let streams = [Rc::new(one), Rc::new(other)];
            let data = Rc::new(pattern(length));
            let mut tasks = Vec::new();
            for stream in streams {
                let (writer, sent) = (stream.clone(), data.clone());
                tasks.push(spawn(async move {
                    writer.write_all(&sent).await.unwrap();
                    writer.close().await.unwrap();
                }));
                let sent = data.clone();
                tasks.push(spawn(async move {
                    let mut received = Vec::with_capacity(length);
                    let mut buffer = vec![0; buffer];
                    loop {
                        let read = stream.read(&mut buffer).await.unwrap();
                        received.extend_from_slice(&buffer[..read]);
                        if read == 0 {
                            break;
                        }
                        brigade_runtime::task::yield_now().await;
                    }
                    assert!(received == *sent, "{} bytes", received.len());
                }));
            }
            for task in tasks {
                task.await.unwrap();
            }
        }
    });
}

#[test]
fn a_large_echo_to_another_implementation_is_complete() {
    let authority = Authority::new();
    for version in VERSIONS {
        let config = authority.client(&[version]);
        let client = |address| {
            let mut peer = peer(address, config);
            let sent = pattern(300_000);
            for part in sent.chunks(50_000) {
                assert!(echoed(&mut peer, part) == part);
            }
            close(peer);
        };
        let (result, ()) =
            accept_one(authority.server(), client, async |stream| echo(&stream.unwrap()).await);
        result.unwrap();
    }
}

#[test]
fn a_write_accepts_no_more_than_its_limit_and_the_next_one_waits() {
    run(async {
        let (one, other) = tcp_pair().await;
        let data = pattern(LARGE);
        let mut accepted = 0;
        // Until the sockets are full.
        let error = loop {
            match one.try_write(&data[accepted..]) {
                Ok(written) => {
                    assert!((1..=WRITE_BYTES_MAX).contains(&written));
                    accepted += written;
                }
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert!(one.has_unsent());
        assert_eq!(one.try_flush().unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(one.try_write(b"more").unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(one.writable().now_or_never().is_none());
        // Waiting to read sends it too.
        let one = Rc::new(one);
        let reading = spawn({
            let one = one.clone();
            async move { one.read(&mut [0]).await.unwrap() }
        });
        let mut received = vec![0; accepted];
        other.read_exact(&mut received).await.unwrap();
        assert!(received == data[..accepted] && !one.has_unsent());
        one.try_flush().unwrap();
        other.write_all(b"!").await.unwrap();
        assert_eq!(reading.await.unwrap(), 1);
    });
}

#[test]
fn several_slices_are_one_record() {
    let authority = Authority::new();
    let config = authority.client(&VERSIONS);
    let client = |address| {
        let mut peer = peer(address, config);
        shake_hands(&mut peer).unwrap();
        let mut buffer = [0; 100];
        let read = peer.read(&mut buffer).unwrap();
        close(peer);
        buffer[..read].to_vec()
    };
    let (_, received) = accept_one(authority.server(), client, async |stream| {
        let stream = stream.unwrap();
        let slices = [&b"head"[..], b"", b"body"].map(io::IoSlice::new);
        assert_eq!(stream.try_write_vectored(&slices).unwrap(), 8);
        assert_eq!(stream.try_write(b"").unwrap(), 0);
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
        stream.close().await.unwrap();
    });
    assert_eq!(received, b"headbody");
}

#[test]
fn slices_of_any_size_are_written_in_their_order() {
    run(async {
        let (one, other) = tcp_pair().await;
        let data = pattern(29_101);
        let mut rest = &data[..];
        let slices = [1, 5_000, 0, 2_048, 2_049, 20_000, 3].map(|length| {
            let (slice, others) = rest.split_at(length);
            rest = others;
            io::IoSlice::new(slice)
        });
        assert_eq!(one.try_write_vectored(&slices).unwrap(), data.len());
        let mut received = vec![0; data.len()];
        other.read_exact(&mut received).await.unwrap();
        assert!(received == data);
        // Some of very many are written.
        let slices: Vec<_> = data[..1_000].chunks(1).map(io::IoSlice::new).collect();
        let written = one.try_write_vectored(&slices).unwrap();
        assert!((1..=1_000).contains(&written));
        other.read_exact(&mut received[..written]).await.unwrap();
        assert!(received[..written] == data[..written]);
        assert!(other.try_read(&mut received).is_err());
    });
}

#[test]
fn records_that_arrive_at_once_are_read_in_any_pieces() {
    run(async {
        let (one, other) = tcp_pair().await;
        let data = pattern(60_000);
        // A record of the largest size, and small ones. A read of the socket for few bytes returns
        // the end of the large one and some of the small ones.
        let (large, small) = data.split_at(16 * 1024);
        one.write_all(large).await.unwrap();
        for part in small.chunks(100) {
            one.write_all(part).await.unwrap();
        }
        one.close().await.unwrap();
        let mut received = Vec::new();
        for size in [1, 16_384, 0, 3, 40_000].into_iter().cycle() {
            let mut buffer = vec![0; size];
            let read = other.read(&mut buffer).await.unwrap();
            received.extend_from_slice(&buffer[..read]);
            if read == 0 && size > 0 {
                break;
            }
        }
        assert!(received == data, "{} bytes", received.len());
    });
}

#[test]
fn reads_within_a_record_take_nothing_from_the_socket() {
    run(async {
        let (one, other) = tcp_pair().await;
        one.write_all(&pattern(1000)).await.unwrap();
        let mut buffer = Vec::with_capacity(10);
        while buffer.is_empty() {
            other.readable().await;
            match other.try_read_buf(&mut buffer) {
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                Ok(read) => assert_eq!(read, 10),
            }
        }
        assert_eq!(other.try_read_buf(&mut buffer).unwrap(), 0, "no room");
        assert_eq!(other.try_read(&mut []).unwrap(), 0, "no room");
        assert!(other.readable().now_or_never().is_some());
        let mut rest = [0; 500];
        assert_eq!(other.try_read(&mut rest).unwrap(), 500);
        let mut rest = Vec::new();
        assert_eq!(other.read_buf(&mut rest).await.unwrap(), 64, "as much as it has grown");
        let mut rest = Vec::with_capacity(1000);
        assert_eq!(other.read_buf(&mut rest).await.unwrap(), 426);
        assert_eq!(other.try_read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(other.readable().now_or_never().is_none());
    });
}

#[test]
fn a_connection_that_is_cut_is_an_error_after_what_was_received() {
    let authority = Authority::new();
    for version in VERSIONS {
        let config = authority.client(&[version]);
        let client = |address| {
            let mut peer = peer(address, config);
            peer.write_all(b"half of it").unwrap();
            peer.sock.shutdown(Shutdown::Write).unwrap();
            // Waits for the server, so that the connection is not reset.
            let _ = peer.read(&mut [0]);
        };
        accept_one(authority.server(), client, async |stream| {
            let stream = stream.unwrap();
            let mut received = [0; 10];
            stream.read_exact(&mut received).await.unwrap();
            assert_eq!(&received, b"half of it");
            for _ in 0..2 {
                let error = stream.read(&mut received).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
                assert!(error.to_string().contains("close_notify"), "{error}");
            }
        });
    }
}

#[test]
fn what_a_client_has_sent_that_goes_at_once_can_be_read() {
    run(async {
        let authority = Authority::new();
        let connector = TlsConnector::builder().roots(authority.roots()).build().unwrap();
        let acceptor = TlsAcceptor::new(authority.server());
        // Writing to a Unix socket whose peer has gone fails at once.
        let (one, other) = UnixStream::pair().unwrap();
        let accepting = spawn(async move {
            let stream = acceptor.accept(other).await.unwrap();
            let mut received = Vec::new();
            (&stream).read_to_end(&mut received).await.unwrap();
            assert_eq!(stream.write_all(b"!").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
            received
        });
        let client = connector.connect(one, "localhost").await.unwrap();
        client.write_all(b"message").await.unwrap();
        client.close().await.unwrap();
        drop(client);
        assert_eq!(accepting.await.unwrap(), b"message");
    });
}

#[test]
fn close_notify_is_the_end_of_one_direction_only() {
    run(async {
        let (one, other) = tcp_pair().await;
        one.write_all(b"request").await.unwrap();
        one.close().await.unwrap();
        let error = one.write_all(b"more").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        one.close().await.unwrap();
        let mut request = Vec::new();
        (&other).read_to_end(&mut request).await.unwrap();
        assert_eq!(request, b"request");
        assert!(other.is_read_closed() && !other.is_write_closed());
        std::future::poll_fn(|cx| other.poll_read_closed(cx)).await;
        assert_eq!(other.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(other.try_read(&mut [0]).unwrap(), 0);
        other.write_all(b"response").await.unwrap();
        other.shutdown(Shutdown::Write).unwrap();
        let mut response = Vec::new();
        (&one).read_to_end(&mut response).await.unwrap();
        assert_eq!(response, b"response");
    });
}

#[test]
fn an_aborted_or_dropped_stream_is_cut_for_the_peer() {
    run(async {
        for is_dropped in [false, true] {
            // The server's end has nothing that it has not read, which would reset the connection.
            let (other, one) = tcp_pair().await;
            one.write_all(b"half of it").await.unwrap();
            let aborted = match is_dropped {
                true => {
                    drop(one);
                    None
                }
                false => {
                    one.abort().unwrap();
                    Some(one)
                }
            };
            let mut received = Vec::new();
            let error = (&other).read_to_end(&mut received).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
            assert_eq!(received, b"half of it");
            if let Some(aborted) = aborted {
                assert_eq!(
                    aborted.write_all(b"!").await.unwrap_err().kind(),
                    ErrorKind::BrokenPipe
                );
            }
        }
    });
}

#[test]
fn what_is_unsent_at_a_shutdown_is_sent_before_close_notify_and_the_fin() {
    run(async {
        let (one, other) = tcp_pair().await;
        let data = pattern(LARGE);
        let mut accepted = 0;
        while let Ok(written) = one.try_write(&data[accepted..]) {
            accepted += written;
        }
        let error = one.shutdown(Shutdown::Write).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        let flushing = spawn(async move {
            one.flush().await.unwrap();
            one
        });
        let mut received = Vec::new();
        (&other).read_to_end(&mut received).await.unwrap();
        assert!(received == data[..accepted]);
        let one = flushing.await.unwrap();
        // A FIN followed.
        std::future::poll_fn(|cx| other.socket().poll_read_closed(cx)).await;
        other.write_all(b"!").await.unwrap();
        one.read_exact(&mut [0]).await.unwrap();
    });
}

#[test]
fn garbage_after_the_handshake_is_an_error_and_the_peer_gets_an_alert() {
    let authority = Authority::new();
    for version in VERSIONS {
        let config = authority.client(&[version]);
        let client = |address| {
            let mut peer = peer(address, config);
            peer.write_all(b"hello").unwrap();
            // A record of application data that nobody has encrypted.
            peer.sock.write_all(&[23, 3, 3, 0, 30]).unwrap();
            peer.sock.write_all(&[7; 30]).unwrap();
            peer.read(&mut [0]).unwrap_err()
        };
        let (_, error) = accept_one(authority.server(), client, async |stream| {
            let stream = stream.unwrap();
            let mut received = [0; 5];
            stream.read_exact(&mut received).await.unwrap();
            assert_eq!(&received, b"hello");
            for _ in 0..2 {
                let error = stream.read(&mut received).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidData);
            }
            assert_eq!(stream.write_all(b"?").await.unwrap_err().kind(), ErrorKind::InvalidData);
        });
        let error = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
        let alert = rustls::Error::AlertReceived(AlertDescription::BadRecordMac);
        assert_eq!(error, Some(&alert));
    }
}

#[test]
fn an_alert_of_the_peer_is_an_aborted_connection() {
    let authority = Authority::new();
    let config = authority.client(&VERSIONS);
    let client = |address| peer(address, config).read(&mut [0]).unwrap_err();
    let (error, _) = accept_one(authority.server(), client, async |stream| {
        let stream = stream.unwrap();
        // A record that nobody has encrypted.
        stream
            .socket()
            .write_all(&[[23, 3, 3, 0, 30].as_slice(), &[7; 30]].concat())
            .await
            .unwrap();
        stream.read(&mut [0]).await.unwrap_err()
    });
    assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    assert!(error.to_string().contains("BadRecordMac"), "{error}");
}

#[test]
fn new_keys_of_the_peer_are_accepted_while_only_reading() {
    let authority = Authority::new();
    let config = authority.client(&[&rustls::version::TLS13]);
    let client = |address| {
        let mut peer = peer(address, config);
        for part in [b"one", b"two"] {
            peer.write_all(part).unwrap();
            peer.conn.refresh_traffic_keys().unwrap();
        }
        peer.write_all(b"end").unwrap();
        assert_eq!(read_exactly(&mut peer, 2), b"ok");
        close(peer);
    };
    accept_one(authority.server(), client, async |stream| {
        let stream = stream.unwrap();
        let mut received = [0; 9];
        stream.read_exact(&mut received).await.unwrap();
        assert_eq!(&received, b"onetwoend");
        stream.write_all(b"ok").await.unwrap();
        assert_eq!(stream.read(&mut received).await.unwrap(), 0);
        stream.close().await.unwrap();
    });
}

#[test]
fn a_stream_is_a_reader_and_a_writer_of_futures_io() {
    run(async {
        let (one, other) = tcp_pair().await;
        let echo = spawn(async move {
            let copied = copying::copy(&mut &other, &mut &other).await.unwrap();
            AsyncWriteExt::close(&mut &other).await.unwrap();
            copied
        });
        let mut one = one;
        let slices = [io::IoSlice::new(b"ab"), io::IoSlice::new(b"cde")];
        assert_eq!(one.write_vectored(&slices).await.unwrap(), 5);
        AsyncWriteExt::flush(&mut one).await.unwrap();
        AsyncWriteExt::write_all(&mut one, b"f").await.unwrap();
        AsyncWriteExt::close(&mut one).await.unwrap();
        let mut received = Vec::new();
        one.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"abcdef");
        assert_eq!(echo.await.unwrap(), 6);
    });
}

#[test]
fn a_reader_that_is_always_ready_lets_other_tasks_run() {
    run(async {
        let (one, other) = tcp_pair().await;
        one.write_all(&pattern(10_000)).await.unwrap();
        let turns = Rc::new(Cell::new(0));
        let counter = turns.clone();
        let counting = spawn(async move {
            loop {
                counter.set(counter.get() + 1);
                brigade_runtime::task::yield_now().await;
            }
        });
        // All of it is decrypted by the first read.
        for _ in 0..10_000 {
            other.read_exact(&mut [0]).await.unwrap();
        }
        counting.abort();
        assert!(turns.get() > 10_000 / 64, "{}", turns.get());
    });
}
