//! The loop from end to end, in a few lines each.

use std::time::{Duration, Instant};

use brigade_runtime::net::{TcpListener, TcpStream};
use brigade_runtime::{EventLoop, LoopHandle, run, run_in_thread, spawn, spawn_blocking, time};

#[test]
fn tasks_run_side_by_side_and_give_their_outputs() {
    let outputs = run(async {
        let slow = spawn(async {
            time::sleep(Duration::from_millis(20)).await;
            "slow"
        });
        let quick = spawn(async { "quick" });
        (quick.await.unwrap(), slow.await.unwrap())
    });
    assert_eq!(outputs, ("quick", "slow"));
}

#[test]
fn a_manual_clock_jumps_over_an_hour_in_no_time() {
    let began = Instant::now();
    let mut event_loop = EventLoop::builder().manual_clock(true).build().unwrap();
    event_loop.run_until_complete(async {
        let before = time::now();
        time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(time::now() - before, Duration::from_secs(3600));
    });
    assert!(began.elapsed() < Duration::from_secs(600));
}

#[test]
fn bytes_go_over_a_socket_and_come_back() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let server = spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 1024];
            loop {
                match stream.read(&mut buffer).await.unwrap() {
                    0 => break,
                    n => stream.write_all(&buffer[..n]).await.unwrap(),
                }
            }
        });
        let client = TcpStream::connect(address).await.unwrap();
        let message = vec![7; 3_000_000];
        let (reader, mut writer) = client.into_split();
        let sent = message.clone();
        spawn(async move { writer.write_all(&sent).await.unwrap() }).detach();
        let mut echoed = vec![0; message.len()];
        reader.stream().read_exact(&mut echoed).await.unwrap();
        assert!(echoed == message);
        drop(reader);
        server.await.unwrap();
    });
}

#[test]
fn a_second_loop_on_a_thread_is_refused_with_a_reason() {
    let _first = EventLoop::builder().name("first").build().unwrap();
    let error = EventLoop::new().unwrap_err().to_string();
    assert!(error.contains("already has an event loop ('first')"), "{error}");
}

#[test]
fn threads_and_handles_reach_across() {
    let thread = run_in_thread("worker", || async {
        let (sender, receiver) = brigade_runtime::oneshot::channel::<()>();
        spawn(async move {
            time::sleep(Duration::from_millis(50)).await;
            drop(sender);
        })
        .detach();
        let _ = receiver.await;
        std::thread::current().name().map(str::to_owned)
    })
    .unwrap();
    let handle: LoopHandle = thread.loop_handle().clone();
    let remote = handle.spawn(|| async { spawn_blocking(|| 6 * 7).await.unwrap() });
    assert_eq!(remote.join().unwrap(), 42);
    assert_eq!(thread.join().unwrap().as_deref(), Some("worker"));
    assert!(handle.spawn(|| async {}).join().unwrap_err().is_loop_ended());
}

#[test]
fn a_panic_ends_its_task_alone() {
    run(async {
        let error = spawn(async { panic!("boom") }).await.unwrap_err();
        assert!(error.is_panic() && error.to_string().contains("boom"), "{error}");
        assert_eq!(spawn(async { 1 }).await.unwrap(), 1);
    });
}
