//! No task holds its loop by being ready all the time.
//!
//! Each kind of operation is repeated where it never has to wait. Meanwhile another task counts its
//! turns: it has none if the operations do not let it run.

use std::cell::Cell;
use std::future::{pending, poll_fn, ready};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream as StdTcpStream, UdpSocket as StdUdpSocket};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::pin::pin;
use std::rc::Rc;
use std::sync::mpsc;
use std::task::Poll;
use std::time::Duration;

use brigade_runtime::local::{Notify, Semaphore, broadcast, channel, unbounded_channel, watch};
use brigade_runtime::net::{
    TcpListener, TcpSocket, TcpStream, UdpSocket, UnixListener, UnixStream,
};
use brigade_runtime::server::{Phase, TcpServer};
use brigade_runtime::task::{self, TaskGroup, yield_now};
use brigade_runtime::time::{self, MissedTickBehavior, interval, sleep, timeout};
use brigade_runtime::{
    gather, gather_all, io, oneshot, run, spawn, spawn_blocking, try_gather_all,
};
use futures_util::future::{self, Either, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::{AsyncReadExt, AsyncWriteExt};

/// How long a test may take. A loop that is held would never end.
const PATIENCE: Duration = Duration::from_secs(60);
/// More operations than three polls complete.
const MANY: usize = 300;
const MOMENT: Duration = Duration::from_millis(5);

/// Runs `main` on a loop of another thread, and panics if it takes too long.
fn run_within_patience<F>(main: impl FnOnce() -> F + Send + 'static)
where
    F: Future<Output = ()> + 'static,
{
    let (done, is_done) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        run(async move { main().await });
        done.send(()).unwrap();
    });
    match is_done.recv_timeout(PATIENCE) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("a task holds its loop"),
        _ => thread.join().unwrap(),
    }
}

/// Spawns a task that counts its turns.
fn count_turns() -> Rc<Cell<usize>> {
    let turns = Rc::new(Cell::new(0));
    let count = turns.clone();
    spawn(async move {
        loop {
            count.update(|turns| turns + 1);
            yield_now().await;
        }
    })
    .detach();
    turns
}

/// Returns how many turns another task has during `work`.
async fn turns_during(work: impl Future) -> usize {
    let turns = count_turns();
    yield_now().await;
    let before = turns.get();
    work.await;
    turns.get() - before
}

/// Awaits `operation` often, and asserts that other tasks ran meanwhile. The first time is not
/// counted, since it may have to wait.
async fn assert_fair<T>(mut operation: impl AsyncFnMut() -> T) {
    operation().await;
    let turns = turns_during(async {
        for _ in 0..MANY {
            operation().await;
        }
    })
    .await;
    assert!(turns >= 3, "another task had {turns} turns during {MANY} operations");
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Returns a socket and its own address, to which it can always send.
fn udp() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(any_port()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// Sends without end and without a wait.
async fn flood() {
    let (socket, address) = udp();
    loop {
        socket.send_to(b"x", address).await.unwrap();
    }
}

/// Returns a connection whose peer runs `peer` on a thread.
fn tcp(peer: impl FnOnce(StdTcpStream) + Send + 'static) -> TcpStream {
    let listener = std::net::TcpListener::bind(any_port()).unwrap();
    let connected = StdTcpStream::connect(listener.local_addr().unwrap()).unwrap();
    std::thread::spawn(move || peer(connected));
    TcpStream::from_std(listener.accept().unwrap().0).unwrap()
}

/// Returns a connection whose peer writes until it fails.
fn tcp_with_fast_writer() -> TcpStream {
    tcp(|mut peer| while peer.write_all(&[7; 64 * 1024]).is_ok() {})
}

/// Returns a connection whose peer is gone.
fn ended() -> UnixStream {
    let (stream, peer) = UnixStream::pair().unwrap();
    drop(peer);
    stream
}

// The examples of the report.

#[test]
fn a_timeout_fires_while_a_udp_send_never_waits() {
    run_within_patience(|| async {
        timeout(MOMENT, flood()).await.unwrap_err();
    });
}

#[test]
fn a_timeout_fires_while_the_peer_writes_faster_than_16_bytes_are_read() {
    run_within_patience(|| async {
        let stream = tcp_with_fast_writer();
        let read = async {
            loop {
                stream.read(&mut [0; 16]).await.unwrap();
            }
        };
        timeout(MOMENT, read).await.unwrap_err();
    });
}

#[test]
fn a_timeout_fires_while_a_copy_never_waits() {
    run_within_patience(|| async {
        let (mut reader, mut writer) = (futures_util::io::repeat(7), futures_util::io::sink());
        timeout(MOMENT, io::copy(&mut reader, &mut writer)).await.unwrap_err();

        let mut stream = tcp_with_fast_writer();
        timeout(MOMENT, io::copy(&mut stream, &mut writer)).await.unwrap_err();

        let echo = |mut peer: StdTcpStream| {
            let mut reader = peer.try_clone().unwrap();
            let _ = std::io::copy(&mut reader, &mut peer);
        };
        let (mut one, mut other) = (tcp(echo), tcp(echo));
        one.write_all(&[7; 64 * 1024]).await.unwrap();
        timeout(MOMENT, io::copy_bidirectional(&mut one, &mut other)).await.unwrap_err();
    });
}

#[test]
fn a_task_that_floods_leaves_timers_and_sockets_to_its_neighbour() {
    run_within_patience(|| async {
        spawn(flood()).detach();
        let (one, other) = UnixStream::pair().unwrap();
        for _ in 0..10 {
            sleep(Duration::from_millis(1)).await;
            one.write_all(b"x").await.unwrap();
            other.read_exact(&mut [0; 1]).await.unwrap();
        }
    });
}

#[test]
fn an_echo_connection_is_served_while_two_others_flood() {
    run_within_patience(|| async {
        async fn echo(stream: TcpStream) -> std::io::Result<()> {
            let mut buffer = vec![0; 16];
            loop {
                let read = stream.read(&mut buffer).await?;
                stream.write_all(&buffer[..read]).await?;
            }
        }
        let flooding = || {
            tcp(|mut peer| {
                let mut reader = peer.try_clone().unwrap();
                let mut buffer = [0; 64 * 1024];
                std::thread::spawn(move || while reader.read(&mut buffer).is_ok_and(|n| n > 0) {});
                while peer.write_all(&[7; 64 * 1024]).is_ok() {}
            })
        };
        spawn(echo(flooding())).detach();
        spawn(echo(flooding())).detach();
        let (measured, is_measured) = oneshot::sync_channel();
        let neighbour = tcp(|mut peer| {
            for _ in 0..50 {
                peer.write_all(b"x").unwrap();
                peer.read_exact(&mut [0; 1]).unwrap();
            }
            measured.send(()).unwrap();
        });
        spawn(echo(neighbour)).detach();
        is_measured.await.unwrap();
    });
}

#[test]
fn the_loop_looks_for_io_after_each_flooding_task_has_spent_its_budget_once() {
    run_within_patience(|| async {
        let sent = Rc::new(Cell::new(0));
        for _ in 0..2 {
            let sent = sent.clone();
            spawn(async move {
                let (socket, address) = udp();
                loop {
                    socket.send_to(b"x", address).await.unwrap();
                    sent.update(|sent| sent + 1);
                }
            })
            .detach();
        }
        let (one, other) = UnixStream::pair().unwrap();
        for _ in 0..20 {
            let before = sent.get();
            one.write_all(b"x").await.unwrap();
            other.read_exact(&mut [0; 1]).await.unwrap();
            let meanwhile = sent.get() - before;
            assert!(meanwhile <= 1000, "{meanwhile} operations between two looks for I/O");
        }
    });
}

// Sockets.

#[test]
fn sending_and_receiving_datagrams_is_fair() {
    run(async {
        let (socket, address) = udp();
        assert_fair(async || socket.send_to(b"x", address).await.unwrap()).await;
        socket.connect(address).unwrap();
        assert_fair(async || socket.send(b"x").await.unwrap()).await;
        let sender = StdUdpSocket::bind(any_port()).unwrap();
        let (receiver, address) = udp();
        assert_fair(async || {
            sender.send_to(b"x", address).unwrap();
            receiver.recv_from(&mut [0; 1]).await.unwrap();
        })
        .await;
    });
}

#[test]
fn reading_from_a_fast_peer_is_fair() {
    run(async {
        let mut stream = tcp_with_fast_writer();
        let buffer = &mut [0; 16];
        assert_fair(async || stream.read(buffer).await.unwrap()).await;
        assert_fair(async || stream.read_exact(buffer).await.unwrap()).await;
        assert_fair(async || AsyncReadExt::read(&mut (&stream), buffer).await.unwrap()).await;
        assert_fair(async || {
            stream.readable().await;
            let _ = stream.try_read(buffer);
        })
        .await;
        let (mut reader, _writer) = TcpStream::split(&mut stream);
        assert_fair(async || reader.read(buffer).await.unwrap()).await;
    });
}

#[test]
fn reading_from_an_ended_stream_is_fair() {
    run(async {
        let stream = ended();
        assert_fair(async || assert_eq!(stream.read(&mut [0; 16]).await.unwrap(), 0)).await;
        assert_fair(async || stream.read_exact(&mut [0; 16]).await.unwrap_err()).await;
        assert_fair(async || stream.read_exact(&mut []).await.unwrap()).await;
        assert_fair(async || stream.readable().await).await;
        let stream = tcp(drop);
        assert_fair(async || poll_fn(|cx| stream.poll_read_closed(cx)).await).await;
    });
}

#[test]
fn writing_is_fair() {
    run(async {
        let fast_reader = |mut peer: StdTcpStream| {
            let mut buffer = [0; 64 * 1024];
            while peer.read(&mut buffer).is_ok_and(|read| read > 0) {}
        };
        let mut stream = tcp(fast_reader);
        assert_fair(async || stream.write(b"x").await.unwrap()).await;
        assert_fair(async || stream.write_all(b"x").await.unwrap()).await;
        assert_fair(async || stream.write_all(b"").await.unwrap()).await;
        assert_fair(async || AsyncWriteExt::write(&mut &stream, b"x").await.unwrap()).await;
        assert_fair(async || (&stream).flush().await.unwrap()).await;
        assert_fair(async || stream.writable().await).await;
        let slices = [std::io::IoSlice::new(b"x"), std::io::IoSlice::new(b"y")];
        assert_fair(async || (&stream).write_vectored(&slices).await.unwrap()).await;
        let (_reader, mut writer) = TcpStream::split(&mut stream);
        assert_fair(async || writer.write(b"x").await.unwrap()).await;
        assert_fair(async || writer.flush().await.unwrap()).await;
        let stream = ended();
        assert_fair(async || stream.write(b"x").await.unwrap_err()).await;
    });
}

#[test]
fn accepting_is_fair() {
    run(async {
        let listener = TcpListener::bind(any_port()).unwrap();
        let address = listener.local_addr().unwrap();
        let mut peers: Vec<_> =
            (0..=MANY).map(|_| StdTcpStream::connect(address).unwrap()).collect();
        assert_fair(async || listener.accept().await.unwrap()).await;
        peers.clear();
        peers.extend((0..=MANY).map(|_| StdTcpStream::connect(address).unwrap()));
        assert_fair(async || listener.accept_std().await.unwrap()).await;
        let path = std::env::temp_dir().join(format!("brigade-fairness-{}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        assert_fair(async || {
            let _peer = StdUnixStream::connect(&path).unwrap();
            listener.accept().await.unwrap();
        })
        .await;
        std::fs::remove_file(path).unwrap();
    });
}

#[test]
fn connecting_where_the_system_refuses_at_once_is_fair() {
    run(async {
        assert_fair(async || UnixStream::connect("/nowhere").await.unwrap_err()).await;
        let other_family = "[::1]:9".parse().unwrap();
        assert_fair(async || {
            TcpSocket::new_v4().unwrap().connect(other_family).await.unwrap_err();
        })
        .await;
        let nobody = "255.255.255.255:9".parse().unwrap();
        assert_fair(async || TcpStream::connect_to(nobody).await.unwrap_err()).await;
    });
}

// Within the loop.

#[test]
fn channels_are_fair() {
    run(async {
        let (sender, mut receiver) = unbounded_channel();
        assert_fair(async || sender.send(1).await.unwrap()).await;
        assert_fair(async || assert_eq!(receiver.recv().await, Some(1))).await;
        (0..=MANY).for_each(|_| sender.try_send(1).unwrap());
        assert_fair(async || assert_eq!(receiver.next().await, Some(1))).await;
        receiver.close();
        assert_fair(async || assert_eq!(receiver.recv().await, None)).await;
        assert_fair(async || sender.send(1).await.unwrap_err()).await;
        let (sender, _receiver) = channel(2 * MANY);
        assert_fair(async || sender.send(1).await.unwrap()).await;
    });
}

#[test]
fn notifications_and_semaphores_are_fair() {
    run(async {
        let notify = Notify::new();
        assert_fair(async || {
            notify.notify_one();
            notify.notified().await;
        })
        .await;
        let semaphore = Semaphore::new(1);
        assert_fair(async || semaphore.acquire().await).await;
        assert_eq!(semaphore.available_permits(), 1);
    });
}

#[test]
fn broadcast_and_watch_channels_are_fair() {
    run_within_patience(|| async {
        let (sender, mut receiver) = broadcast::channel(2 * MANY);
        for value in 0..=MANY {
            sender.send(value).unwrap();
        }
        assert_fair(async || receiver.recv().await.unwrap()).await;
        let (sender, mut receiver) = watch::channel(0);
        assert_fair(async || {
            sender.send(1).unwrap();
            receiver.changed().await.unwrap();
        })
        .await;
        assert_fair(async || drop(receiver.wait_for(|value| *value == 1).await.unwrap())).await;
        drop(receiver);
        assert_fair(async || sender.closed().await).await;
    });
}

#[test]
fn oneshot_channels_are_fair() {
    run(async {
        assert_fair(async || {
            let (sender, receiver) = oneshot::channel();
            sender.send(1).unwrap();
            receiver.await.unwrap();
        })
        .await;
        assert_fair(async || {
            let (sender, receiver) = oneshot::sync_channel();
            sender.send(1).unwrap();
            receiver.await.unwrap();
        })
        .await;
        let (sender, receiver) = oneshot::channel::<u8>();
        drop(receiver);
        assert_fair(async || sender.closed().await).await;
    });
}

#[test]
fn overdue_ticks_and_sleeps_that_are_reset_to_the_past_are_fair() {
    run(async {
        let mut ticks = time::interval_at(time::now(), Duration::from_nanos(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        sleep(Duration::from_millis(1)).await;
        assert_fair(async || ticks.tick().await).await;
        let mut nap = pin!(sleep(Duration::ZERO));
        assert_fair(async || {
            nap.reset(time::now());
            nap.as_mut().await;
        })
        .await;
        assert_fair(async || sleep(Duration::ZERO).await).await;
    });
}

#[test]
fn awaiting_finished_tasks_is_fair() {
    run(async {
        let mut tasks: Vec<_> = (0..=MANY).map(|n| spawn(async move { n })).collect();
        yield_now().await;
        assert_fair(async || tasks.pop().unwrap().await.unwrap()).await;
        let mut works: Vec<_> = (0..=MANY).map(|n| spawn_blocking(move || n)).collect();
        // The pool may take the work in any order.
        sleep(MOMENT).await;
        works.reverse();
        assert_fair(async || works.pop().unwrap().await.unwrap()).await;
    });
}

#[test]
fn gathering_many_futures_that_are_ready_is_fair() {
    run(async {
        let ready_futures = || (0..MANY).map(|n| ready(Ok::<_, ()>(n)));
        assert!(turns_during(gather_all(ready_futures())).await >= 3);
        assert!(turns_during(try_gather_all(ready_futures())).await >= 3);
        let tasks: Vec<_> = (0..MANY).map(|n| spawn(async move { n })).collect();
        yield_now().await;
        assert!(turns_during(gather(tasks)).await >= 3);
    });
}

#[test]
fn a_group_whose_children_have_all_ended_is_fair() {
    run(async {
        let group = TaskGroup::run(async |group: &TaskGroup<()>| {
            for _ in 0..MANY {
                drop(group.spawn(async { Ok(()) }));
            }
            Ok(())
        });
        assert!(turns_during(group).await >= 3);
    });
}

#[test]
fn a_group_that_fails_returns_all_errors_also_when_the_budget_is_spent() {
    run(async {
        let failed = TaskGroup::run(async |group: &TaskGroup<usize>| {
            for n in 0..MANY {
                drop(group.spawn(async move { Err::<(), _>(n) }));
            }
            pending::<Result<(), usize>>().await
        });
        assert_eq!(failed.await.unwrap_err().iter().count(), MANY);
    });
}

#[test]
fn awaiting_a_phase_that_a_server_has_reached_is_fair() {
    run(async {
        let state = TcpServer::bind(any_port()).unwrap().state();
        assert_fair(async || state.reached(Phase::Bound).await).await;
    });
}

// The budget itself.

#[test]
fn a_loop_that_consumes_its_budget_is_fair() {
    run(async {
        assert_fair(async || task::consume_budget().await).await;
        assert_fair(async || poll_fn(task::poll_proceed).await).await;
    });
}

#[test]
fn a_budget_is_whole_again_in_the_next_poll() {
    run(async {
        let spend = || {
            let mut spent = 0;
            while task::has_budget_remaining() && task::consume_budget().now_or_never().is_some() {
                spent += 1;
            }
            spent
        };
        yield_now().await;
        let whole = spend();
        assert!(whole > 0 && !task::has_budget_remaining());
        yield_now().await;
        assert!(task::has_budget_remaining());
        assert_eq!(spend(), whole);
    });
}

#[test]
fn there_is_no_limit_outside_of_tasks() {
    let (sender, mut receiver) = unbounded_channel();
    for n in 0..10 * MANY {
        sender.try_send(n).unwrap();
        assert_eq!(receiver.recv().now_or_never(), Some(Some(n)));
        assert!(task::has_budget_remaining());
    }
}

#[test]
fn a_notification_is_not_missed_by_a_task_whose_budget_is_spent() {
    run_within_patience(|| async {
        for notify_before in [false, true] {
            let (is_open, notify) = (Rc::new(Cell::new(false)), Notify::new());
            let waiting = spawn({
                let (is_open, notify) = (is_open.clone(), notify.clone());
                async move {
                    while task::consume_budget().now_or_never().is_some() {}
                    while task::has_budget_remaining() {}
                    while !is_open.get() {
                        notify.notified().await;
                    }
                }
            });
            if notify_before {
                notify.notify_one();
            }
            // Runs after the other task has begun to wait, and takes what it can get.
            let opening = spawn(async move {
                let _ = notify.notified().now_or_never();
                is_open.set(true);
                notify.notify_waiters();
            });
            gather((waiting, opening)).await.0.unwrap();
        }
    });
}

// Several futures in one task.

/// Receives `MANY` values that are there already.
async fn receive_many() {
    let (sender, mut receiver) = unbounded_channel();
    (0..MANY).for_each(|n| sender.try_send(n).unwrap());
    for n in 0..MANY {
        assert_eq!(receiver.recv().await, Some(n));
    }
}

#[test]
fn a_future_that_floods_does_not_starve_the_others_of_its_task() {
    run_within_patience(|| async {
        future::select(pin!(flood()), pin!(receive_many())).await;
        future::select(pin!(receive_many()), pin!(flood())).await;
        let floods = (flood(), flood(), flood(), flood(), flood(), flood(), flood());
        let gathered = pin!(gather(floods));
        future::select(gathered, pin!(receive_many())).await;
        let floods = future::join_all((0..30).map(|_| flood().boxed_local()));
        future::select(floods, pin!(receive_many())).await;
    });
}

#[test]
fn a_future_that_floods_does_not_starve_the_others_of_a_futures_unordered() {
    run_within_patience(|| async {
        for floods in [1, 2, 100] {
            let mut futures = FuturesUnordered::new();
            futures.extend((0..floods).map(|_| flood().boxed_local()));
            futures.push(receive_many().boxed_local());
            futures.next().await;
            assert_eq!(futures.len(), floods);
        }
    });
}

#[test]
fn a_loop_over_two_sources_that_are_always_ready_is_fair() {
    run(async {
        let (one, other) = (ended(), ended());
        let (mut from_one, mut from_other) = (0, 0);
        assert_fair(async || {
            let (to_one, to_other) = (&mut [0; 1], &mut [0; 1]);
            match future::select(pin!(one.read(to_one)), pin!(other.read(to_other))).await {
                Either::Left(_) => from_one += 1,
                Either::Right(_) => from_other += 1,
            }
        })
        .await;
        assert!(from_one + from_other > MANY);
    });
}

#[test]
fn a_timeout_beside_futures_that_flood_fires() {
    run_within_patience(|| async {
        let (_, inner) = gather((
            timeout(2 * MOMENT, flood()),
            timeout(MOMENT, async { timeout(PATIENCE, flood()).await }),
        ))
        .await;
        inner.unwrap_err();
        timeout(Duration::ZERO, flood()).await.unwrap_err();
        let each_with_a_timeout = async {
            let (socket, address) = udp();
            loop {
                timeout(PATIENCE, socket.send_to(b"x", address)).await.unwrap().unwrap();
            }
        };
        timeout(MOMENT, each_with_a_timeout).await.unwrap_err();
    });
}

#[test]
fn a_timeout_of_zero_returns_what_is_ready_also_when_the_budget_is_spent() {
    run(async {
        let (sender, mut receiver) = unbounded_channel();
        for n in 0..MANY {
            sender.try_send(n).unwrap();
            assert_eq!(timeout(Duration::ZERO, receiver.recv()).await, Ok(Some(n)));
        }
    });
}

#[test]
fn an_interval_ticks_in_a_loop_beside_a_source_that_is_always_ready() {
    run_within_patience(|| async {
        let stream = ended();
        let mut ticks = interval(Duration::from_millis(1));
        let mut ticked = 0;
        while ticked < 3 {
            let buffer = &mut [0; 1];
            let tick = pin!(ticks.tick());
            if let Either::Right(_) = future::select(pin!(stream.read(buffer)), tick).await {
                ticked += 1;
            }
        }
    });
}

#[test]
fn a_hand_written_future_that_polls_until_nothing_is_ready_is_fair() {
    run(async {
        let (one, other) = (ended(), ended());
        let turns = count_turns();
        poll_fn(|cx| {
            loop {
                let mut progress = false;
                for stream in [&one, &other] {
                    while turns.get() < 10 && stream.poll_readable(cx).is_ready() {
                        progress = true;
                    }
                }
                match progress {
                    true => {}
                    false if turns.get() < 10 => return Poll::Pending,
                    false => return Poll::Ready(()),
                }
            }
        })
        .await;
    });
}
