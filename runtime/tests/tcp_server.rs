//! A server of several loops whose protocol is an async function.

mod support;

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use brigade_runtime::server::{OnLoopDeath, Phase, TcpServer, draining, until_draining};
use brigade_runtime::{LoopHandle, net, task};
use support::server::{PATIENCE, Running, bind, blocking, connect};

/// Echoes until the peer closes or the server shuts down.
async fn echo(stream: net::TcpStream) {
    let mut buffer = [0; 1024];
    while let Some(Ok(read @ 1..)) = until_draining(stream.read(&mut buffer)).await {
        if stream.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

fn echoed(stream: &mut TcpStream, text: &[u8]) -> Vec<u8> {
    stream.write_all(text).unwrap();
    let mut echo = vec![0; text.len()];
    stream.read_exact(&mut echo).unwrap();
    echo
}

#[test]
fn connections_are_spread_over_loops_that_each_have_a_handler_of_their_own() {
    let made = Arc::new(AtomicUsize::new(0));
    let count = made.clone();
    let server = Running::start(bind().loops(3), move || {
        count.fetch_add(1, Ordering::Relaxed);
        // Not `Send`, and not shared with the other loops.
        let served = Rc::new(Cell::new(0_u8));
        async move |stream, _| {
            served.set(served.get() + 1);
            let stream: net::TcpStream = stream;
            stream.write_all(&[served.get()]).await.unwrap();
            echo(stream).await;
        }
    });
    let mut streams: Vec<_> = (0..6).map(|_| server.connect()).collect();
    let mut numbers: Vec<u8> = streams
        .iter_mut()
        .map(|stream| {
            let mut number = [0];
            stream.read_exact(&mut number).unwrap();
            number[0]
        })
        .collect();
    for stream in &mut streams {
        assert_eq!(echoed(stream, b"hello"), b"hello");
    }
    numbers.sort_unstable();
    assert_eq!(numbers.len(), 6);
    let open: usize = server.stats.loops().iter().map(|stats| stats.open).sum();
    assert_eq!(open, 6);
    let reports = server.end().unwrap();
    assert_eq!(made.load(Ordering::Relaxed), 3);
    // Each loop counts its own connections, from one on.
    let per_loop = reports.iter().flat_map(|report| 1..=report.stats.accepted as u8);
    let mut expected: Vec<u8> = per_loop.collect();
    expected.sort_unstable();
    assert_eq!(numbers, expected);
    assert!(reports.iter().all(|report| report.cancelled == 0), "{reports:?}");
}

#[test]
fn a_server_listens_at_each_of_its_addresses_in_every_mode_of_accepting() {
    for (loops, per_loop) in [(1, false), (2, false), (2, cfg!(target_os = "linux"))] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server = bind().and_bind("127.0.0.1:0").unwrap().and_listener(listener).unwrap();
        let server = server.loops(loops).per_loop(per_loop);
        let server = Running::start(server, || async |stream, _| echo(stream).await);
        assert_eq!(server.addresses.len(), 3);
        for address in &server.addresses {
            assert_eq!(echoed(&mut connect(*address), b"hello"), b"hello");
        }
        let reports = server.end().unwrap();
        assert_eq!(reports.iter().map(|report| report.stats.accepted).sum::<usize>(), 3);
    }
}

#[test]
fn a_server_has_at_least_one_loop() {
    assert_eq!(bind().loops(3).loop_count(), 3);
    assert_eq!(bind().loops(0).loop_count(), 1);
}

#[test]
fn an_address_in_use_is_an_error_that_names_it() {
    let first = bind();
    let address = first.local_addr().unwrap();
    for result in [TcpServer::bind(address), bind().and_bind(address)] {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().starts_with(&format!("cannot listen at {address}: ")), "{error}");
    }
}

#[test]
fn a_handler_that_waits_for_its_peer_ends_when_the_server_drains() {
    let server = Running::start(bind().loops(1), || {
        async |stream: net::TcpStream, _| {
            let mut buffer = [0; 16];
            assert!(until_draining(stream.read(&mut buffer)).await.is_none());
            stream.write_all(b"bye").await.unwrap();
        }
    });
    let mut stream = server.connect();
    let state = server.state.clone();
    brigade_runtime::run(async move { state.reached(Phase::Accepting).await });
    while server.stats.loops().iter().map(|stats| stats.open).sum::<usize>() == 0 {
        std::thread::yield_now();
    }
    let reports = server.end().unwrap();
    let mut farewell = String::new();
    stream.read_to_string(&mut farewell).unwrap();
    assert_eq!((&*farewell, reports[0].cancelled), ("bye", 0));
}

#[test]
fn a_task_that_waits_for_the_drain_runs_even_if_no_connection_is_open() {
    let (sender, saved) = mpsc::channel();
    let server = Running::start(bind().loops(2), move || {
        let sender = sender.clone();
        task::spawn(async move {
            draining().await;
            sender.send(()).unwrap();
        })
        .detach();
        async |_, _| {}
    });
    let state = server.state.clone();
    brigade_runtime::run(async move { state.reached(Phase::Accepting).await });
    server.end().unwrap();
    assert_eq!(saved.iter().count(), 2);
}

#[test]
fn bytes_that_have_arrived_are_read_before_the_drain_is_noticed() {
    brigade_runtime::run(async {
        // No loop of a server runs on this thread, so there is nothing to drain.
        assert_eq!(until_draining(std::future::ready(7)).await, Some(7));
    });
}

#[test]
fn what_is_left_at_the_drain_deadline_is_cancelled_and_reported_with_its_peer() {
    struct Dropped(mpsc::Sender<()>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let (dropped, is_dropped) = mpsc::channel();
    let server = bind().loops(1).drain_timeout(Duration::from_millis(10));
    let server = Running::start(server, move || {
        let dropped = dropped.clone();
        async move |stream: net::TcpStream, _| {
            let _dropped = Dropped(dropped.clone());
            stream.write_all(b"!").await.unwrap();
            std::future::pending::<()>().await;
        }
    });
    let mut stream = server.connect();
    stream.read_exact(&mut [0]).unwrap();
    let peer = stream.local_addr().unwrap();
    let state = server.state.clone();
    let reports = server.end().unwrap();
    assert_eq!(reports[0].cancelled, 1);
    let held = &reports[0].cancelled_connections;
    assert_eq!((held.len(), held[0].peer), (1, Some(peer.into())));
    assert!(held[0].to_string().contains(&format!(" for {peer}: waiting for ")), "{}", held[0]);
    is_dropped.recv_timeout(PATIENCE).expect("its destructors have run");
    assert_eq!(state.phase(), Phase::Ended);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

#[test]
fn connections_in_the_backlog_are_served_when_the_shutdown_begins_at_once() {
    for loops in [1, 2] {
        let server = bind().loops(loops);
        let address = server.local_addr().unwrap();
        let mut streams: Vec<_> = (0..20).map(|_| connect(address)).collect();
        for stream in &mut streams {
            stream.write_all(b"hello").unwrap();
        }
        let server = Running::start(server, || {
            async |stream: net::TcpStream, _| {
                let mut buffer = [0; 5];
                stream.read_exact(&mut buffer).await.unwrap();
                stream.write_all(&buffer).await.unwrap();
            }
        });
        let reports = server.end().unwrap();
        assert_eq!(reports.iter().map(|report| report.stats.accepted).sum::<usize>(), 20);
        for mut stream in streams {
            let mut echo = String::new();
            stream.read_to_string(&mut echo).unwrap();
            assert_eq!(echo, "hello");
        }
    }
}

/// Starts a server whose two loops are stuck with a connection each, until the sender is dropped.
fn two_stuck_loops() -> (Running, Vec<TcpStream>, mpsc::Sender<()>) {
    let (block, is_blocked, release) = blocking();
    let server = Running::start(bind().loops(2), move || {
        let block = block.clone();
        async move |_, _| block()
    });
    let mut streams = vec![server.connect()];
    is_blocked.recv_timeout(PATIENCE).unwrap();
    streams.push(server.connect());
    is_blocked.recv_timeout(PATIENCE).unwrap();
    (server, streams, release)
}

#[test]
fn a_forced_shutdown_leaves_a_stuck_loop_behind_while_the_backlog_is_handed_over() {
    let (mut server, mut streams, release) = two_stuck_loops();
    // Connections wait for the loops.
    streams.extend((0..10).map(|_| server.connect()));
    (server.shutdown, server.force) = (None, None);
    let reports = server.join().unwrap();
    assert_eq!(reports.len(), 2);
    drop(release);
}

#[test]
fn a_second_signal_is_heard_while_more_connections_wait_than_the_queues_hold() {
    let (mut server, mut streams, release) = two_stuck_loops();
    // The queues of the loops hold 2048 connections, and the rest wait in the backlog.
    streams.extend((0..2300).map(|_| server.connect()));
    while server.stats.loops().iter().map(|stats| stats.open).sum::<usize>() < 2 + 2048 {
        std::thread::yield_now();
    }
    server.shutdown = None;
    let state = server.state.clone();
    brigade_runtime::run(async move { state.reached(Phase::Draining).await });
    server.force = None;
    assert_eq!(server.join().unwrap().len(), 2);
    drop(release);
}

/// Makes every accept from the listener of a duplicate fail.
fn break_listener(duplicate: &std::net::TcpListener) {
    socket2::SockRef::from(duplicate).shutdown(std::net::Shutdown::Both).unwrap();
}

#[test]
#[cfg(target_os = "linux")]
fn a_listener_that_fails_costs_no_time_and_keeps_no_server_from_serving_or_ending() {
    for (loops, per_loop, force) in
        [(1, false, false), (2, false, false), (2, false, true), (2, true, false)]
    {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let duplicate = listener.try_clone().unwrap();
        let server = bind().and_listener(listener).unwrap().loops(loops).per_loop(per_loop);
        let mut server = Running::start(server, || async |stream, _| echo(stream).await);
        echoed(&mut server.connect(), b"before");
        break_listener(&duplicate);
        for _ in 0..20 {
            assert_eq!(echoed(&mut server.connect(), b"hello"), b"hello");
        }
        // Between two attempts the loops wait.
        let handle = server.thread.loop_handle();
        while handle.snapshot().is_awake
            || server.stats.loops().iter().any(|stats| stats.event_loop.is_awake)
        {
            std::thread::yield_now();
        }
        if force {
            server.force = None;
        }
        let reports = server.end().unwrap();
        assert_eq!(reports.iter().map(|report| report.stats.accepted).sum::<usize>(), 21);
    }
}

#[test]
fn a_loop_that_dies_ends_the_server_with_an_error_or_is_replaced() {
    let stop = || {
        async |mut stream: net::TcpStream, _| {
            let mut buffer = [0];
            stream.read_exact(&mut buffer).await.unwrap();
            if buffer == *b"x" {
                LoopHandle::current().stop();
                std::future::pending::<()>().await;
            }
            stream.write_all(&buffer).await.unwrap();
            let _ = &mut stream;
        }
    };
    let server = Running::start(bind().loops(1), stop);
    server.connect().write_all(b"x").unwrap();
    let error = server.join().unwrap_err().to_string();
    assert!(error.starts_with("event loop 'loop-0' died: "), "{error}");

    let server = Running::start(bind().loops(1).on_loop_death(OnLoopDeath::Restart), stop);
    for round in 1..=3 {
        let mut dying = server.connect();
        dying.write_all(b"x").unwrap();
        assert_eq!(dying.read(&mut [0]).unwrap_or(0), 0);
        assert_eq!(echoed(&mut server.connect(), b"y"), b"y");
        // Counters continue after a restart.
        assert_eq!(server.stats.loops()[0].accepted, 2 * round);
    }
    assert_eq!(server.end().unwrap()[0].stats.accepted, 6);
}

#[test]
fn phases_can_be_awaited_and_read_from_any_thread() {
    let server = bind().loops(2);
    assert_eq!(server.state().phase(), Phase::Bound);
    let mut server = Running::start(server, || async |stream, _| echo(stream).await);
    let (state, shutdown) = (server.state.clone(), server.shutdown.take());
    brigade_runtime::run(async move {
        state.reached(Phase::Accepting).await;
        drop(shutdown);
        state.reached(Phase::Draining).await;
        state.reached(Phase::Ended).await;
    });
    assert_eq!(server.join().unwrap().len(), 2);
}

#[test]
fn a_server_whose_future_is_dropped_drains_and_has_ended_once_its_loops_have() {
    for loops in [1, 2] {
        let server = bind().loops(loops).pin(false);
        let (address, state) = (server.local_addr().unwrap(), server.state());
        let handler = || {
            async |stream: net::TcpStream, _| {
                let mut byte = [0];
                while stream.read_exact(&mut byte).await.is_ok() {
                    stream.write_all(&byte).await.unwrap();
                }
            }
        };
        let mut client = brigade_runtime::run(async move {
            let mut serve = Box::pin(server.serve(handler, std::future::pending()));
            let client = brigade_runtime::spawn_blocking(move || {
                let mut client = connect(address);
                assert_eq!(echoed(&mut client, b"a"), b"a");
                client
            });
            let mut client = std::pin::pin!(client);
            std::future::poll_fn(|cx| {
                assert!(serve.as_mut().poll(cx).is_pending());
                client.as_mut().poll(cx)
            })
            .await
            .unwrap()
        });
        assert_eq!(state.phase(), Phase::Draining);
        assert_eq!(echoed(&mut client, b"b"), b"b");
        assert_eq!(state.phase(), Phase::Draining, "a loop still serves");
        drop(client);
        brigade_runtime::run(async move {
            brigade_runtime::time::timeout(PATIENCE, state.reached(Phase::Ended)).await.unwrap();
        });
    }
}

#[test]
fn a_server_that_is_dropped_before_it_serves_has_ended() {
    let server = bind();
    let state = server.state();
    let serve = server.serve(|| async |_, _| {}, std::future::pending());
    assert_eq!(state.phase(), Phase::Bound);
    drop(serve);
    assert_eq!(state.phase(), Phase::Ended);
}

#[test]
fn a_handler_that_panics_ends_its_own_connection_only() {
    let server = Running::start(bind().loops(1), || {
        async |stream: net::TcpStream, _| {
            let mut buffer = [0];
            stream.read_exact(&mut buffer).await.unwrap();
            assert_ne!(&buffer, b"x", "a panic of this test");
            stream.write_all(&buffer).await.unwrap();
        }
    });
    let mut other = server.connect();
    let mut panicking = server.connect();
    panicking.write_all(b"x").unwrap();
    assert_eq!(panicking.read(&mut [0]).unwrap_or(0), 0);
    assert_eq!(echoed(&mut other, b"y"), b"y");
    assert_eq!(server.end().unwrap()[0].cancelled, 0);
}

#[test]
fn the_task_of_a_connection_is_called_connection() {
    let server = Running::start(bind().loops(1), || {
        async |stream: net::TcpStream, _| {
            let task = task::current().unwrap();
            stream.write_all(task.label.name().unwrap().as_bytes()).await.unwrap();
        }
    });
    let mut name = String::new();
    server.connect().read_to_string(&mut name).unwrap();
    assert_eq!(name, "connection");
    server.end().unwrap();
}

#[test]
#[cfg(target_os = "linux")]
fn signals_are_caught_from_the_moment_that_run_is_called() {
    use brigade_runtime::signal::SignalKind;
    use signal_hook::consts::{SIGTERM, SIGUSR1};

    support::child::succeeds_in_child(
        "signals_are_caught_from_the_moment_that_run_is_called",
        || {
            // The process sends itself the signal for a report, and the one that ends it, as soon
            // as the latter is caught.
            let is_caught = || {
                let status = std::fs::read_to_string("/proc/self/status").unwrap();
                let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
                u64::from_str_radix(mask.trim(), 16).unwrap() >> (SIGTERM - 1) & 1 == 1
            };
            let sender = std::thread::spawn(move || {
                while !is_caught() {
                    std::hint::spin_loop();
                }
                signal_hook::low_level::raise(SIGTERM).unwrap();
                signal_hook::low_level::raise(SIGUSR1).unwrap();
            });
            let server = bind().loops(2).pin(false).report_on(SignalKind::UserDefined1);
            let state = server.state();
            let reports = server.run(|| async |stream, _| echo(stream).await).unwrap();
            assert_eq!((reports.len(), state.phase()), (2, Phase::Ended));
            sender.join().unwrap();
        },
    );
}
