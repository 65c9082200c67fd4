//! Objects of a loop that has ended: using one is an error or a panic that says so, never a hang.
#![expect(clippy::async_yields_async, reason = "the tests return futures and sockets from a run")]

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use brigade_runtime::net::{TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream};
use brigade_runtime::task::{Failure, shield};
use brigade_runtime::time::{interval, sleep, timeout, timeout_at};
use brigade_runtime::{
    CallbackHandle, EventLoop, TaskGroup, call_later, call_soon, local, panic_message, run, spawn,
};

const SOON: Duration = Duration::from_millis(50);

fn panic_of(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("it did not panic");
    panic_message(&*payload).to_owned()
}

fn assert_ended<T>(result: io::Result<T>) {
    let error = result.err().expect("the operation succeeded").to_string();
    assert!(error.contains("of this socket has ended"), "{error}");
}

#[test]
fn a_sleep_of_a_loop_that_ended_panics_with_the_reason() {
    let pending = run(async { sleep(SOON) });
    assert!(panic_of(|| run(pending)).contains("of this sleep has ended"));
    let elapsed = run(async { sleep(Duration::ZERO) });
    assert!(panic_of(|| run(elapsed)).contains("of this sleep has ended"));
    let mut polled = run(async {
        let mut sleep = Box::pin(sleep(SOON));
        assert!(futures_util::poll!(sleep.as_mut()).is_pending());
        sleep
    });
    polled.as_mut().reset(std::time::Instant::now());
    assert!(panic_of(|| run(polled)).contains("of this sleep has ended"));
}

#[test]
fn timeouts_and_intervals_of_a_loop_that_ended_panic_with_the_reason() {
    let never = run(async { timeout(SOON, std::future::pending::<()>()) });
    assert!(panic_of(|| assert!(run(never).is_err())).contains("has ended"));
    let never = run(async { timeout_at(std::time::Instant::now(), std::future::pending::<()>()) });
    assert!(panic_of(|| assert!(run(never).is_err())).contains("has ended"));
    let mut interval = run(async { interval(SOON) });
    let tick = async move { interval.tick().await };
    assert!(
        panic_of(|| assert!(run(tick) < run(async { brigade_runtime::time::now() })))
            .contains("has ended")
    );
    let in_time = run(async { timeout(SOON, async { 1 }) });
    assert_eq!(run(in_time), Ok(1), "the timeout does not need its loop");
}

#[test]
fn handles_of_tasks_of_a_loop_that_ended_return_an_error() {
    let task = run(async { spawn(std::future::pending::<()>()) });
    assert!(run(task).unwrap_err().is_loop_ended());
    let shielded = run(async { shield(std::future::pending::<()>()) });
    assert!(panic_of(|| run(shielded)).contains("its event loop ended first"));
    let callbacks = run(async { [call_soon(|| ()), call_later(SOON, || ())] });
    assert!(callbacks.iter().all(|callback| !callback.is_pending()));
    callbacks.iter().for_each(CallbackHandle::cancel);
}

#[test]
fn a_task_group_that_began_on_a_loop_that_ended_returns_an_error() {
    let group = run(async {
        let mut group = Box::pin(TaskGroup::<()>::run(async |group| {
            group.spawn(std::future::pending::<Result<(), ()>>()).await;
            Ok(())
        }));
        assert!(futures_util::poll!(group.as_mut()).is_pending());
        group
    });
    let error = run(group).unwrap_err();
    let Failure::Task(error) = error.first else { panic!("{error:?}") };
    assert!(error.is_loop_ended());
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

#[test]
fn tcp_streams_of_a_loop_that_ended_return_an_error() {
    let (stream, peer) = run(pair());
    run(async move {
        assert_ended(stream.try_read(&mut [0; 4]));
        assert_ended(stream.read(&mut [0; 4]).await);
        assert_ended(stream.write(b"data").await);
        assert_ended(stream.write_all(b"data").await);
        stream.readable().await;
        stream.writable().await;
        std::future::poll_fn(|cx| stream.poll_read_closed(cx)).await;
        let (mut reader, mut writer) = peer.into_split();
        assert_ended(reader.read(&mut [0; 4]).await);
        assert_ended(writer.write(b"data").await);
        // The socket can still be taken over by the new loop.
        let stream = TcpStream::from_std(stream.into_std().unwrap()).unwrap();
        stream.write_all(b"data").await.unwrap();
    });
}

#[test]
fn a_stream_of_a_loop_that_ended_returns_an_error_even_if_there_is_something_to_read() {
    let (stream, peer) = run(pair());
    let mut peer = peer.into_std().unwrap();
    peer.write_all(b"data").unwrap();
    run(async move { assert_ended(stream.read(&mut [0; 4]).await) });
}

#[test]
fn a_read_that_began_to_wait_on_a_loop_that_ended_returns_an_error() {
    let (read, _peer) = run(async {
        let (stream, peer) = pair().await;
        let mut read = Box::pin(async move { stream.read(&mut [0; 4]).await });
        assert!(futures_util::poll!(read.as_mut()).is_pending());
        (read, peer)
    });
    assert_ended(run(read));
}

#[test]
fn listeners_and_datagram_sockets_of_a_loop_that_ended_return_an_error() {
    let (listener, udp) = run(async {
        let any = "127.0.0.1:0";
        (TcpListener::bind(any).unwrap(), UdpSocket::bind(any).unwrap())
    });
    let address = udp.local_addr().unwrap();
    run(async move {
        assert_ended(listener.accept().await);
        assert_ended(listener.try_accept_std());
        assert_ended(udp.recv_from(&mut [0; 4]).await);
        assert_ended(udp.send_to(b"data", address).await);
    });
}

#[test]
fn unix_sockets_of_a_loop_that_ended_return_an_error() {
    let path = std::env::temp_dir().join(format!("brigade-ended-{}", std::process::id()));
    let socket_path = path.clone();
    let (listener, stream) = run(async move {
        (UnixListener::bind(&socket_path).unwrap(), UnixStream::pair().unwrap().0)
    });
    std::fs::remove_file(path).unwrap();
    run(async move {
        assert_ended(listener.accept().await);
        assert_ended(stream.read(&mut [0; 4]).await);
        assert_ended(stream.write_all(b"data").await);
    });
}

#[test]
fn channels_notifications_and_semaphores_belong_to_no_loop() {
    let ((sender, mut receiver), notify, semaphore) =
        run(async { (local::channel(1), local::Notify::new(), local::Semaphore::new(0)) });
    let permit = semaphore.clone();
    run(async move {
        let waiting = spawn({
            let notify = notify.clone();
            async move {
                notify.notified().await;
                receiver.recv().await
            }
        });
        brigade_runtime::task::yield_now().await;
        notify.notify_one();
        sender.send(7).await.unwrap();
        assert_eq!(waiting.await.unwrap(), Some(7));
        assert!(semaphore.try_acquire().is_none());
    });
    drop(permit);
}

#[test]
fn a_loop_in_a_thread_local_ends_with_its_thread() {
    /// Uses the loop when it is dropped.
    struct User(Rc<Cell<u32>>);
    impl Drop for User {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
            if let Some(task) = brigade_runtime::task::current() {
                drop(task);
            }
            let now = brigade_runtime::time::now();
            assert!(now.elapsed() < Duration::from_secs(60));
            // Panics if the loop cannot be found any more, which is reported.
            spawn(async {}).detach();
        }
    }
    thread_local! {
        static BEFORE: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
        static LOOP: RefCell<Option<EventLoop>> = const { RefCell::new(None) };
        static AFTER: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
    }
    let thread = |loop_first: bool| {
        move || {
            // The first use of a thread-local decides when it is destroyed.
            BEFORE.set(Vec::new());
            if loop_first {
                LOOP.set(None);
            }
            let watched = Some(Duration::from_secs(60));
            let mut event_loop = EventLoop::builder().debug(true).watch(watched).build().unwrap();
            let left = event_loop.run_until_complete(async {
                let user = User(Rc::default());
                let task = spawn(async move {
                    let _user = user;
                    let _sleep = sleep(SOON).await;
                    std::future::pending::<()>().await;
                });
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                let mut sleep = Box::pin(sleep(SOON));
                assert!(futures_util::poll!(sleep.as_mut()).is_pending());
                brigade_runtime::task::yield_now().await;
                (task, listener, sleep)
            });
            LOOP.set(Some(event_loop));
            let (task, listener, sleep) = left;
            BEFORE.with_borrow_mut(|before| before.push(Box::new(task)));
            AFTER.with_borrow_mut(|after| {
                after.push(Box::new(listener));
                after.push(Box::new(sleep));
            });
        }
    };
    std::thread::spawn(thread(true)).join().unwrap();
    std::thread::spawn(thread(false)).join().unwrap();
}

#[test]
fn a_loop_cannot_be_made_while_a_thread_ends() {
    struct Late;
    impl Drop for Late {
        fn drop(&mut self) {
            // Either is right, as the order of thread-locals is up to the system.
            if let Ok(mut event_loop) = EventLoop::new() {
                event_loop.run_until_complete(async {});
            }
        }
    }
    thread_local!(static LATE: RefCell<Option<Late>> = const { RefCell::new(None) });
    for before in [true, false] {
        let thread = std::thread::spawn(move || {
            if before {
                run(async {});
            }
            LATE.set(Some(Late));
            if !before {
                run(async {});
            }
        });
        thread.join().unwrap();
    }
}
