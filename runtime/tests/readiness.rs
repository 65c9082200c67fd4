//! What ends the readiness of a socket, and who waits for it.
#![cfg(unix)]

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener as StdTcpListener, TcpStream as StdTcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::rc::Rc;
use std::time::Duration;

use brigade_runtime::net::{TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream};
use brigade_runtime::task::yield_now;
use brigade_runtime::{JoinHandle, run, spawn, time};
use futures_util::future::LocalBoxFuture;
use futures_util::{AsyncWriteExt, FutureExt};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use socket2::SockRef;

/// How long an operation may take before a test counts it as hanging.
const HANG: Duration = Duration::from_secs(10);

fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// Returns a connection and its peer, which is not on a loop.
fn accepted() -> (TcpStream, StdTcpStream) {
    let (stream, peer) = std_pair();
    (TcpStream::from_std(stream).unwrap(), peer)
}

fn std_pair() -> (StdTcpStream, StdTcpStream) {
    let listener = StdTcpListener::bind(any_port()).unwrap();
    let peer = StdTcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_nodelay(true).unwrap();
    (listener.accept().unwrap().0, peer)
}

/// Reads until `count` bytes have arrived. Returns `None` if the stream hangs before that.
macro_rules! read_bytes {
    ($stream:expr, $count:expr) => {{
        let mut bytes = Vec::new();
        let reading = async {
            while bytes.len() < $count {
                let mut buffer = [0; 100];
                let read = $stream.read(&mut buffer).await.unwrap();
                assert!(read > 0, "the stream ended");
                bytes.extend_from_slice(&buffer[..read]);
            }
        };
        let in_time = time::timeout(HANG, reading).await.is_ok();
        in_time.then_some(bytes)
    }};
}

#[test]
#[cfg(target_os = "linux")]
fn urgent_data_between_ordinary_bytes_does_not_stop_the_reads() {
    run(async {
        for inline in [false, true] {
            let (stream, mut peer) = std_pair();
            SockRef::from(&stream).set_out_of_band_inline(inline).unwrap();
            let stream = TcpStream::from_std(stream).unwrap();
            for _ in 0..3 {
                peer.write_all(b"abc").unwrap();
                SockRef::from(&peer).send_out_of_band(b"!").unwrap();
                peer.write_all(b"def").unwrap();
                let expected: &[u8] = if inline { b"abc!def" } else { b"abcdef" };
                assert_eq!(read_bytes!(stream, expected.len()).as_deref(), Some(expected));
            }
        }
    });
}

#[test]
#[cfg(target_os = "linux")]
fn urgent_data_that_arrives_while_a_read_waits_does_not_stop_the_reads() {
    run(async {
        let (stream, mut peer) = accepted();
        let reading = spawn(async move { read_bytes!(stream, 6) });
        yield_now().await;
        peer.write_all(b"abc").unwrap();
        SockRef::from(&peer).send_out_of_band(b"!").unwrap();
        yield_now().await;
        peer.write_all(b"def").unwrap();
        assert_eq!(reading.await.unwrap().as_deref(), Some(&b"abcdef"[..]));
    });
}

#[test]
#[cfg(target_os = "linux")]
fn all_bytes_arrive_from_a_peer_that_sends_urgent_data_all_the_time() {
    run(async {
        let (stream, mut peer) = std_pair();
        SockRef::from(&stream).set_out_of_band_inline(true).unwrap();
        let stream = TcpStream::from_std(stream).unwrap();
        const PARTS: usize = 20_000;
        let sending = brigade_runtime::spawn_blocking(move || {
            for part in 0..PARTS {
                if part.is_multiple_of(3) {
                    SockRef::from(&peer).send_out_of_band(b"!").unwrap();
                } else {
                    peer.write_all(&[b'x'; 5][..part % 5 + 1]).unwrap();
                }
            }
            peer
        });
        let len = |part: usize| if part.is_multiple_of(3) { 1 } else { part % 5 + 1 };
        let count: usize = (0..PARTS).map(len).sum();
        assert_eq!(read_bytes!(stream, count).map(|bytes| bytes.len()), Some(count));
        sending.await.unwrap();
    });
}

/// Sends `data` with a file descriptor attached. A read of the peer ends there.
fn send_with_descriptor(peer: &StdUnixStream, data: &[u8]) {
    let descriptors = [peer.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    assert!(ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)));
    let data = [IoSlice::new(data)];
    rustix::net::sendmsg(peer, &data, &mut ancillary, SendFlags::empty()).unwrap();
}

#[test]
fn descriptors_between_bytes_of_a_unix_stream_do_not_stop_the_reads() {
    run(async {
        let (stream, mut peer) = StdUnixStream::pair().unwrap();
        let stream = UnixStream::from_std(stream).unwrap();
        for _ in 0..3 {
            peer.write_all(b"abc").unwrap();
            send_with_descriptor(&peer, b"def");
            peer.write_all(b"ghi").unwrap();
            assert_eq!(read_bytes!(stream, 9).as_deref(), Some(&b"abcdefghi"[..]));
        }
    });
}

#[test]
#[cfg(target_os = "linux")]
fn urgent_data_between_bytes_of_a_unix_stream_does_not_stop_the_reads() {
    run(async {
        let (stream, mut peer) = StdUnixStream::pair().unwrap();
        let stream = UnixStream::from_std(stream).unwrap();
        for _ in 0..3 {
            peer.write_all(b"abc").unwrap();
            if SockRef::from(&peer).send_out_of_band(b"!").is_err() {
                return; // Linux before 5.15.
            }
            peer.write_all(b"def").unwrap();
            assert_eq!(read_bytes!(stream, 6).as_deref(), Some(&b"abcdef"[..]));
        }
    });
}

#[test]
fn all_bytes_arrive_when_each_side_waits_after_short_reads_and_writes() {
    run(async {
        let (stream, mut peer) = StdUnixStream::pair().unwrap();
        let stream = Rc::new(UnixStream::from_std(stream).unwrap());
        let reading = brigade_runtime::spawn_blocking(move || {
            let mut bytes = vec![0; 3_000_000];
            peer.read_exact(&mut bytes).map(|()| bytes)
        });
        stream.write_all(&vec![7; 3_000_000]).await.unwrap();
        assert!(reading.await.unwrap().unwrap().iter().all(|byte| *byte == 7));
    });
}

/// Spawns `count` tasks that await what `wait` returns, and returns the number of their polls.
fn spawn_counted<F>(count: usize, wait: impl Fn() -> F) -> (Vec<JoinHandle<()>>, Rc<Cell<usize>>)
where
    F: Future<Output = ()> + 'static,
{
    let polls = Rc::new(Cell::new(0));
    let spawn_one = |_| {
        let (polls, mut waiting) = (polls.clone(), Box::pin(wait()));
        spawn(poll_fn(move |cx| {
            polls.update(|polls| polls + 1);
            waiting.as_mut().poll(cx)
        }))
    };
    ((0..count).map(spawn_one).collect(), polls)
}

/// Lets 1,000 turns of the loop pass.
async fn many_turns() {
    for _ in 0..1000 {
        time::sleep(Duration::ZERO).await;
    }
}

#[test]
fn many_tasks_that_wait_for_one_socket_are_not_polled_without_an_event() {
    const TASKS: usize = 1000;
    run(async {
        let udp = Rc::new(UdpSocket::bind(any_port()).unwrap());
        let listener = Rc::new(TcpListener::bind(any_port()).unwrap());
        let (stream, _peer) = accepted();
        let stream = Rc::new(stream);
        while stream.try_write(&[0; 65536]).is_ok() {}
        let (receiving, received) = spawn_counted(TASKS, || {
            let udp = udp.clone();
            async move { drop(udp.recv_from(&mut [0]).await) }
        });
        let (_accepting, accepts) = spawn_counted(TASKS, || {
            let listener = listener.clone();
            async move { drop(listener.accept().await) }
        });
        let (_writing, writes) = spawn_counted(TASKS, || {
            let stream = stream.clone();
            async move { stream.writable().await }
        });
        many_turns().await;
        let polls = (received.get(), accepts.get(), writes.get());
        assert_eq!(polls, (TASKS, TASKS, TASKS));
        // A datagram wakes all, and all but one wait again.
        let address = udp.local_addr().unwrap();
        udp.send_to(b"x", address).await.unwrap();
        many_turns().await;
        assert_eq!(received.get(), 2 * TASKS);
        for _ in 1..TASKS {
            udp.send_to(b"x", address).await.unwrap();
            yield_now().await;
        }
        for task in receiving {
            time::timeout(HANG, task).await.expect("every task receives a datagram").unwrap();
        }
    });
}

#[test]
fn an_event_for_one_direction_wakes_no_task_that_waits_for_the_other() {
    run(async {
        let (stream, mut peer) = accepted();
        let stream = Rc::new(stream);
        let wait_to = |direction: fn(Rc<TcpStream>) -> LocalBoxFuture<'static, ()>| {
            let stream = stream.clone();
            spawn_counted(1, move || direction(stream.clone()))
        };
        let readable = |stream: Rc<TcpStream>| async move { stream.readable().await }.boxed_local();
        let writable = |stream: Rc<TcpStream>| async move { stream.writable().await }.boxed_local();
        while stream.try_write(&[0; 65536]).is_ok() {}
        let (_writing, writes) = wait_to(writable);
        let (reading, reads) = wait_to(readable);
        many_turns().await;
        assert_eq!((reads.get(), writes.get()), (1, 1));
        peer.write_all(b"x").unwrap();
        for task in reading {
            task.await.unwrap();
        }
        many_turns().await;
        assert_eq!((reads.get(), writes.get()), (2, 1));

        assert_eq!(stream.try_read(&mut [0; 2]).unwrap(), 1);
        assert!(stream.try_read(&mut [0; 2]).is_err());
        let (_reading, reads) = wait_to(readable);
        many_turns().await;
        peer.set_nonblocking(true).unwrap();
        let mut buffer = vec![0; 65536];
        while writes.get() == 1 {
            let _ = peer.read(&mut buffer);
            yield_now().await;
        }
        many_turns().await;
        assert_eq!(reads.get(), 1);
    });
}

#[test]
fn tasks_that_wait_one_after_the_other_are_seldom_polled_without_an_event() {
    const TASKS: usize = 200;
    run(async {
        let udp = Rc::new(UdpSocket::bind(any_port()).unwrap());
        let mut polls = Vec::new();
        for _ in 0..TASKS {
            polls.push(spawn_counted(1, || {
                let udp = udp.clone();
                async move { drop(udp.recv_from(&mut [0]).await) }
            }));
            for _ in 0..100 {
                time::sleep(Duration::ZERO).await;
            }
        }
        let sum: usize = polls.iter().map(|(_, polls)| polls.get()).sum();
        assert!(sum < 10 * TASKS, "{sum} polls of {TASKS} tasks");
    });
}

/// Duplicates `socket` at the first free descriptor from `number` on. Each test has numbers of its
/// own, so that a number that was closed is the first free one again.
fn duplicate<S: AsFd + From<OwnedFd>>(socket: &S, number: i32) -> S {
    rustix::io::fcntl_dupfd_cloexec(socket, number).unwrap().into()
}

#[test]
fn a_duplicate_of_a_socket_that_was_registered_can_be_registered() {
    run(async {
        let (tcp, mut tcp_peer) = std_pair();
        let (unix, mut unix_peer) = StdUnixStream::pair().unwrap();
        let udp = std::net::UdpSocket::bind(any_port()).unwrap();
        let address = udp.local_addr().unwrap();
        for _ in 0..3 {
            let stream = TcpStream::from_std(duplicate(&tcp, 500)).unwrap();
            assert!(stream.readable().now_or_never().is_none());
            tcp_peer.write_all(b"abc").unwrap();
            assert_eq!(read_bytes!(stream, 3).as_deref(), Some(&b"abc"[..]));

            let stream = UnixStream::from_std(duplicate(&unix, 510)).unwrap();
            assert!(stream.readable().now_or_never().is_none());
            unix_peer.write_all(b"abc").unwrap();
            assert_eq!(read_bytes!(stream, 3).as_deref(), Some(&b"abc"[..]));

            let socket = UdpSocket::from_std(duplicate(&udp, 520)).unwrap();
            assert!(socket.recv_from(&mut [0; 8]).now_or_never().is_none());
            udp.send_to(b"abc", address).unwrap();
            let received = time::timeout(HANG, socket.recv_from(&mut [0; 8])).await;
            assert_eq!(received.unwrap().unwrap().0, 3);
        }
    });
}

#[test]
fn a_duplicate_of_a_listener_that_was_registered_can_be_registered() {
    run(async {
        let tcp = StdTcpListener::bind(any_port()).unwrap();
        let path = std::env::temp_dir().join(format!("brigade-again-{}", std::process::id()));
        let unix = StdUnixListener::bind(&path).unwrap();
        for _ in 0..3 {
            let listener = TcpListener::from_std(duplicate(&tcp, 530)).unwrap();
            let _client = StdTcpStream::connect(listener.local_addr().unwrap()).unwrap();
            time::timeout(HANG, listener.accept()).await.unwrap().unwrap();

            let listener = UnixListener::from_std(duplicate(&unix, 540)).unwrap();
            let _client = StdUnixStream::connect(&path).unwrap();
            time::timeout(HANG, listener.accept()).await.unwrap().unwrap();
        }
        std::fs::remove_file(path).unwrap();
    });
}

#[test]
fn more_slices_than_the_system_takes_are_written_in_part() {
    run(async {
        let (stream, _peer) = accepted();
        let (unix, _other) = UnixStream::pair().unwrap();
        let slices = [IoSlice::new(b"x"); 1025];
        assert_eq!(stream.try_write_vectored(&slices).unwrap(), 1024);
        assert_eq!(unix.try_write_vectored(&slices).unwrap(), 1024);
        let mut after_empty_ones = vec![IoSlice::new(b""); 1024];
        after_empty_ones.push(IoSlice::new(b"x"));
        assert_eq!(stream.try_write_vectored(&after_empty_ones).unwrap(), 1);
        // The stream is still writable, and the rest can follow.
        assert_eq!(stream.try_write_vectored(&slices[1024..]).unwrap(), 1);
        let ready = time::timeout(HANG, stream.writable()).await;
        assert!(ready.is_ok());
        assert_eq!((&stream).write_vectored(&slices).await.unwrap(), 1024);
    });
}
