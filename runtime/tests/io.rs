//! Copies from readers to writers.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{Error, ErrorKind, Result};
use std::net::Shutdown;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use brigade_runtime::io::{COPY_BUFFER_BYTES, copy, copy_bidirectional};
use brigade_runtime::net::{TcpListener, TcpStream, UnixStream};
use brigade_runtime::{gather, run, spawn};
use futures_util::FutureExt;
use futures_util::io::{AsyncRead, AsyncWrite, BufWriter, Cursor, repeat, sink};

/// More than the system and a copy hold.
const MANY_BYTES: usize = 3_000_000;

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|n| (n % 251) as u8).collect()
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (client, accepted) = gather((TcpStream::connect_to(address), listener.accept())).await;
    (client.unwrap(), accepted.unwrap().0)
}

async fn read_all(stream: &TcpStream) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while stream.read_buf(&mut bytes).await? > 0 {}
    Ok(bytes)
}

/// Accepts a few bytes at a time, and counts the flushes.
#[derive(Clone, Default)]
struct Slow {
    written: Rc<RefCell<Vec<u8>>>,
    log: Rc<RefCell<Vec<&'static str>>>,
    is_ready: bool,
    accepts: Option<usize>,
}

impl AsyncWrite for Slow {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<Result<usize>> {
        self.is_ready = !self.is_ready;
        if self.is_ready {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let part = data.len().min(self.accepts.unwrap_or(7));
        self.written.borrow_mut().extend_from_slice(&data[..part]);
        Poll::Ready(Ok(part))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        self.log.borrow_mut().push("flush");
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        self.log.borrow_mut().push("close");
        Poll::Ready(Ok(()))
    }
}

/// Returns these outcomes, and then the end.
struct Script(VecDeque<Poll<Result<&'static [u8]>>>);

impl AsyncRead for Script {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<usize>> {
        let next = self.0.pop_front().unwrap_or(Poll::Ready(Ok(b"")));
        if next.is_pending() {
            cx.waker().wake_by_ref();
        }
        next.map_ok(|bytes| {
            buffer[..bytes.len()].copy_from_slice(bytes);
            bytes.len()
        })
    }
}

#[test]
fn a_copy_ends_with_its_reader_and_returns_the_number_of_bytes() {
    run(async {
        let (mut sender, receiver) = pair().await;
        let bytes = pattern(MANY_BYTES);
        let expected = bytes.clone();
        let reading = spawn(async move { read_all(&receiver).await.unwrap() });
        let copied = copy(&mut Cursor::new(bytes), &mut sender).await.unwrap();
        assert_eq!(copied, MANY_BYTES as u64);
        // The writer is still open.
        sender.write_all(b"!").await.unwrap();
        drop(sender);
        let received = reading.await.unwrap();
        assert!(received.starts_with(&expected) && received.ends_with(b"!"));
        assert_eq!(received.len(), MANY_BYTES + 1);
    });
}

#[test]
fn a_writer_that_accepts_little_gets_every_byte_in_order() {
    run(async {
        let mut slow = Slow::default();
        let bytes = pattern(2 * COPY_BUFFER_BYTES + 5);
        let copied = copy(&mut Cursor::new(&bytes), &mut slow).await.unwrap();
        assert_eq!(copied, bytes.len() as u64);
        assert!(*slow.written.borrow() == bytes);
        assert_eq!(*slow.log.borrow(), ["flush"]);
    });
}

#[test]
fn a_writer_with_a_buffer_is_flushed_while_there_is_nothing_to_read() {
    run(async {
        let slow = Slow { accepts: Some(1000), ..Slow::default() };
        let (written, log) = (slow.written.clone(), slow.log.clone());
        let mut reader = Script(VecDeque::from([
            Poll::Pending,
            Poll::Ready(Ok(b"one".as_slice())),
            Poll::Ready(Ok(b"two".as_slice())),
            Poll::Pending,
            Poll::Pending,
            Poll::Ready(Ok(b"three".as_slice())),
        ]));
        let mut writer = BufWriter::new(slow);
        assert_eq!(copy(&mut reader, &mut writer).await.unwrap(), 11);
        assert_eq!(*written.borrow(), b"onetwothree");
        // Once while it waited, and at the end.
        assert_eq!(log.borrow().len(), 2);
    });
}

#[test]
fn errors_of_the_reader_and_of_the_writer_end_a_copy() {
    run(async {
        let fail = Poll::Ready(Err(Error::from(ErrorKind::TimedOut)));
        let mut reader = Script(VecDeque::from([Poll::Ready(Ok(b"one".as_slice())), fail]));
        let error = copy(&mut reader, &mut sink()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);

        let mut full = Slow { accepts: Some(0), ..Slow::default() };
        let error = copy(&mut repeat(7), &mut full).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WriteZero);
    });
}

#[test]
fn a_proxy_passes_half_closes_on_and_counts_both_directions() {
    run(async {
        let (client, mut front) = pair().await;
        let (mut back, server) = pair().await;
        let proxy = spawn(async move { copy_bidirectional(&mut front, &mut back).await });
        let server = spawn(async move {
            // Responds only after the end of the request.
            let request = read_all(&server).await.unwrap();
            server.write_all(&request).await.unwrap();
            server.write_all(b"bye").await.unwrap();
        });
        let request = pattern(MANY_BYTES);
        client.write_all(&request).await.unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let response = read_all(&client).await.unwrap();
        assert!(response.starts_with(&request) && response.ends_with(b"bye"));
        server.await.unwrap();
        let bytes = MANY_BYTES as u64;
        assert_eq!(proxy.await.unwrap().unwrap(), (bytes, bytes + 3));
    });
}

#[test]
fn the_other_direction_runs_on_after_one_has_ended() {
    run(async {
        let (client, mut front) = UnixStream::pair().unwrap();
        let (mut back, server) = UnixStream::pair().unwrap();
        let proxy = spawn(async move { copy_bidirectional(&mut front, &mut back).await });
        server.write_all(b"greeting").await.unwrap();
        server.shutdown(Shutdown::Write).unwrap();
        let mut greeting = Vec::new();
        while client.read_buf(&mut greeting).await.unwrap() > 0 {}
        assert_eq!(greeting, b"greeting");
        for _ in 0..10 {
            client.write_all(b"late").await.unwrap();
            let mut late = [0; 4];
            server.read_exact(&mut late).await.unwrap();
            assert_eq!(&late, b"late");
        }
        drop(client);
        assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(proxy.await.unwrap().unwrap(), (40, 8));
    });
}

#[test]
fn an_error_in_one_direction_ends_both() {
    run(async {
        let (client, mut front) = pair().await;
        let (mut back, server) = pair().await;
        let proxy = spawn(async move { copy_bidirectional(&mut front, &mut back).await });
        client.write_all(b"x").await.unwrap();
        server.read_exact(&mut [0]).await.unwrap();
        client.set_linger(Some(std::time::Duration::ZERO)).unwrap();
        drop(client);
        let error = proxy.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert!(read_all(&server).await.is_ok(), "the other connection is closed");
    });
}

#[test]
fn a_copy_that_was_dropped_while_it_waited_leaves_both_streams_usable() {
    run(async {
        let (client, front) = pair().await;
        let (back, server) = pair().await;
        assert!(copy(&mut &front, &mut &back).now_or_never().is_none());
        client.write_all(b"later").await.unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(copy(&mut &front, &mut &back).await.unwrap(), 5);
        drop(back);
        assert_eq!(read_all(&server).await.unwrap(), b"later");
    });
}
