//! Handles of loops, threads with loops, and the pool for blocking work.

use std::cell::Cell;
use std::future::{pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use brigade_runtime::task::yield_now;
use brigade_runtime::{
    EventLoop, EventLoopGroup, LoopEnded, LoopHandle, RemoteJoinHandle, Unhandled, gather, oneshot,
    panic_message, run, run_in_thread, spawn, spawn_blocking, task, thread,
};

use support::assert_polled_after_completion;

mod support;

#[test]
fn three_threads_run_a_loop_each_and_return_their_outputs() {
    let threads = ["one", "two", "three"].map(|name| {
        run_in_thread(name, move || async move {
            // The future need not be `Send`.
            let local = Rc::new(Cell::new(name.len()));
            task::yield_now().await;
            let thread = std::thread::current();
            (thread.name().map(str::to_owned), LoopHandle::current().name().to_owned(), local.get())
        })
        .unwrap()
    });
    let results = threads.map(|thread| thread.join().unwrap());
    for (name, (thread, event_loop, len)) in ["one", "two", "three"].into_iter().zip(results) {
        assert_eq!((thread.as_deref(), event_loop.as_str(), len), (Some(name), name, name.len()));
    }
}

#[test]
fn a_thread_can_be_awaited_on_another_loop() {
    run(async {
        let one = run_in_thread("one", || async { 1 }).unwrap();
        let two = run_in_thread("two", || async { 2 }).unwrap();
        let (one, two) = gather((one, two)).await;
        assert_eq!((one.unwrap(), two.unwrap()), (1, 2));
    });
}

#[test]
fn joining_a_thread_returns_its_panic() {
    let thread = run_in_thread("falling", || async {
        if std::thread::current().name() == Some("falling") {
            panic!("down");
        }
    });
    let error = thread.unwrap().join().unwrap_err();
    assert!(error.is_panic() && error.to_string().contains("panicked: down"), "{error}");

    let made = run_in_thread("making", || -> std::future::Ready<()> { panic!("in make") });
    let error = made.unwrap().join().unwrap_err();
    assert!(error.to_string().contains("in make"), "{error}");
}

#[test]
fn joining_a_stopped_thread_returns_an_error_that_says_so() {
    let thread = run_in_thread("stopped", pending::<()>).unwrap();
    thread.loop_handle().stop();
    let error = thread.join().unwrap_err();
    assert!(error.is_loop_ended(), "{error}");
    assert!(error.to_string().contains("its event loop ended first"), "{error}");
}

#[test]
fn a_pinned_thread_runs_whether_or_not_the_system_pins_it() {
    let builder = thread::Builder::new().name("pinned").pin_to_core(0);
    let event_loop = EventLoop::builder().manual_clock(true);
    let thread = builder.event_loop(event_loop).run(|| async { 1 }).unwrap();
    assert_eq!(thread.join().unwrap(), 1);
}

#[test]
fn call_soon_runs_on_the_loops_thread_in_the_order_of_the_calls() {
    let thread = run_in_thread("loop", pending::<()>).unwrap();
    let handle = thread.loop_handle().clone();
    assert!(!handle.is_current() && !handle.is_ended());
    let (sender, calls) = mpsc::channel();
    for n in 0..3 {
        let (sender, handle) = (sender.clone(), handle.clone());
        let call = move || sender.send((n, handle.is_current())).unwrap();
        thread.loop_handle().call_soon(call).unwrap();
    }
    let calls: Vec<_> = (0..3).map(|_| calls.recv().unwrap()).collect();
    assert_eq!(calls, [(0, true), (1, true), (2, true)]);
    handle.stop();
    thread.join().unwrap_err();
    assert!(handle.is_ended());
    assert_eq!(handle.call_soon(|| ()), Err(LoopEnded));
}

#[test]
fn call_soon_wakes_a_loop_that_waits_without_a_deadline() {
    let mut event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    let (ready, is_ready) = mpsc::channel::<oneshot::SyncSender<u8>>();
    let caller = std::thread::spawn(move || {
        let sender = is_ready.recv().unwrap();
        handle.call_soon(move || sender.send(9).unwrap()).unwrap();
    });
    let value = event_loop.run_until_complete(async move {
        let (sender, receiver) = oneshot::sync_channel();
        ready.send(sender).unwrap();
        receiver.await
    });
    assert_eq!(value, Ok(9));
    caller.join().unwrap();
}

#[test]
fn a_task_spawned_from_another_thread_returns_its_output_there() {
    let thread = run_in_thread("loop", pending::<()>).unwrap();
    let handle = thread.loop_handle().clone();
    let remote = handle.spawn(|| async {
        let local = Rc::new(6);
        spawn_blocking(|| 7).await.unwrap() * *local
    });
    assert_eq!(remote.join().unwrap(), 42);
    // The handle is awaited on another loop.
    let remote_loop = handle.clone();
    let output = run(async move { remote_loop.spawn(|| async { "there" }).await.unwrap() });
    assert_eq!(output, "there");
    handle.stop();
    thread.join().unwrap_err();
    let late = handle.spawn(|| async {});
    assert!(
        late.join().unwrap_err().is_loop_ended(),
        "the task was spawned after the end of the loop"
    );
}

#[test]
fn a_remote_handle_returns_panics_of_the_task_and_of_the_function_that_makes_it() {
    let thread = run_in_thread("loop", pending::<()>).unwrap();
    let handle = thread.loop_handle().clone();
    let in_task = handle.spawn(|| async {
        task::yield_now().await;
        panic!("in the task")
    });
    let error: task::JoinError = in_task.join().map(|(): ()| ()).unwrap_err();
    assert!(error.is_panic() && error.to_string().contains("in the task"), "{error}");
    assert!(error.task().unwrap().site().file().ends_with("handles_and_threads.rs"));
    let in_make = handle.spawn(|| -> std::future::Ready<()> { panic!("in make") });
    let error = in_make.join().unwrap_err();
    assert!(error.is_panic() && error.to_string().contains("in make"), "{error}");
    assert_eq!(handle.spawn(|| async { 1 }).join().unwrap(), 1, "the loop has ended");
    handle.stop();
    thread.join().unwrap_err();
}

#[test]
fn a_remote_task_can_be_aborted() {
    let thread = run_in_thread("loop", pending::<()>).unwrap();
    let remote = thread.loop_handle().spawn(pending::<()>);
    remote.abort();
    let error = remote.join().unwrap_err();
    assert!(error.is_cancelled() && !error.is_loop_ended(), "{error}");
    thread.loop_handle().stop();
    thread.join().unwrap_err();
}

#[test]
fn a_remote_handle_has_the_id_of_its_task_once_it_is_spawned() {
    let mut event_loop = EventLoop::new().unwrap();
    let remote = event_loop.handle().spawn(pending::<()>);
    assert_eq!(remote.id(), None);
    event_loop.run_until_complete(yield_now());
    let ids: Vec<_> = task::all().iter().map(|task| task.label.id()).collect();
    assert_eq!(ids, [remote.id().unwrap()]);
}

#[test]
fn only_a_panic_is_reported_of_a_remote_task_whose_handle_is_dropped() {
    let reports = Arc::new(AtomicUsize::new(0));
    let count = reports.clone();
    let hook = move |_: &Unhandled| {
        count.fetch_add(1, Ordering::Relaxed);
    };
    let mut event_loop = EventLoop::builder().on_unhandled(hook).build().unwrap();
    let handle = event_loop.handle();
    let drop_after_its_end = |event_loop: &mut EventLoop, remote: RemoteJoinHandle<()>| {
        event_loop.run_until_complete(yield_now());
        remote.abort();
        event_loop.run_until_complete(async {
            for _ in 0..3 {
                yield_now().await;
            }
        });
        drop(remote);
        event_loop.run_until_complete(yield_now());
    };
    drop_after_its_end(&mut event_loop, handle.spawn(pending::<()>));
    drop_after_its_end(&mut event_loop, handle.spawn(|| ready(())));
    assert_eq!(reports.load(Ordering::Relaxed), 0);
    drop_after_its_end(&mut event_loop, handle.spawn(|| poll_fn(|_| panic!("seen"))));
    assert_eq!(reports.load(Ordering::Relaxed), 1);
}

#[test]
fn sending_to_a_loop_that_has_ended_is_an_error_that_says_so() {
    let handle = EventLoop::new().unwrap().handle();
    let error = handle.call_soon(|| ()).unwrap_err();
    assert_eq!(error.to_string(), "the event loop has ended");
}

#[test]
fn a_remote_handle_returns_an_error_when_the_loop_ends() {
    for spawned_late in [false, true] {
        let thread = run_in_thread("ending", pending::<()>).unwrap();
        let handle = thread.loop_handle().clone();
        let early = handle.spawn(pending::<()>);
        handle.stop();
        let late = spawned_late.then(|| handle.spawn(pending::<()>));
        thread.join().unwrap_err();
        for remote in std::iter::once(early).chain(late) {
            assert!(remote.join().unwrap_err().is_loop_ended());
        }
    }
}

#[test]
fn a_waker_may_be_used_after_its_task_its_loop_and_its_thread_have_ended() {
    let (sender, wakers) = mpsc::channel();
    let thread = run_in_thread("gone", move || async move {
        let clone = |cx: &mut std::task::Context<'_>| std::task::Poll::Ready(cx.waker().clone());
        sender.send(std::future::poll_fn(clone).await).unwrap();
    });
    thread.unwrap().join().unwrap();
    let waker = wakers.recv().unwrap();
    waker.wake_by_ref();
    run(async { task::yield_now().await });
    run(async move { waker.wake() });
}

#[test]
fn spawn_blocking_returns_the_result_or_the_panic_of_the_work() {
    run(async {
        let thread = spawn_blocking(|| std::thread::current().id()).await.unwrap();
        assert_ne!(thread, std::thread::current().id());
        let error = spawn_blocking(|| -> () { panic!("too hot") }).await.unwrap_err();
        assert!(error.is_panic() && error.to_string().contains("too hot"), "{error}");
    });
}

#[test]
fn the_loop_turns_while_blocking_work_runs() {
    run(async {
        let (release, gate) = mpsc::channel();
        let work = spawn_blocking(move || gate.recv().unwrap());
        task::yield_now().await;
        release.send("released by the loop").unwrap();
        assert_eq!(work.await.unwrap(), "released by the loop");
    });
}

#[test]
#[should_panic(expected = "await the handle instead")]
fn joining_from_a_task_panics_because_it_would_block_the_loop() {
    run(async {
        let thread = run_in_thread("other", || async {}).unwrap();
        let _ = thread.join();
    });
}

#[test]
#[should_panic(expected = "would wait for ever")]
fn joining_a_task_on_the_thread_of_its_loop_panics_because_it_would_never_end() {
    let event_loop = EventLoop::new().unwrap();
    let _ = event_loop.handle().spawn(|| async {}).join();
}

#[test]
fn every_handle_that_is_polled_after_completion_panics() {
    run(async {
        let mut task = spawn(async { 1 });
        assert_eq!((&mut task).await.unwrap(), 1);
        assert_polled_after_completion(task).await;
        let mut failed = spawn(async { panic!("seen") });
        assert!((&mut failed).await.unwrap_err().is_panic());
        assert_polled_after_completion(failed).await;
        let mut shielded = task::shield(async { 1 });
        assert_eq!((&mut shielded).await, 1);
        assert_polled_after_completion(shielded).await;
        let mut blocking = spawn_blocking(|| 1);
        assert_eq!((&mut blocking).await.unwrap(), 1);
        assert_polled_after_completion(blocking).await;
        let mut thread = run_in_thread("other", || async { 1 }).unwrap();
        assert_eq!((&mut thread).await.unwrap(), 1);
        assert_polled_after_completion(thread).await;
        let mut remote = LoopHandle::current().spawn(|| async { 1 });
        assert_eq!((&mut remote).await.unwrap(), 1);
        assert_polled_after_completion(remote).await;
        let mut gathered = Box::pin(brigade_runtime::gather([async { 1 }]));
        assert_eq!(gathered.as_mut().await, [1]);
        assert_polled_after_completion(gathered).await;
    });
}

#[test]
fn joining_from_a_callback_panics_because_it_would_block_the_loop() {
    let (send_message, messages) = mpsc::channel();
    let (end, ending) = oneshot::sync_channel::<()>();
    let thread = run_in_thread("own", || async { ending.await.is_err() }).unwrap();
    let handle = thread.loop_handle().clone();
    let other = run_in_thread("other", || async {}).unwrap();
    let group = EventLoopGroup::builder().loops(1).pin(false).start([()], |_, ()| async {});
    let remote = handle.spawn(|| async {});
    let message = |join: Box<dyn FnOnce()>| {
        let payload = catch_unwind(AssertUnwindSafe(join)).unwrap_err();
        panic_message(&*payload).to_owned()
    };
    handle
        .call_soon(move || {
            let joins: [Box<dyn FnOnce()>; 4] = [
                Box::new(|| drop(thread.join())),
                Box::new(|| drop(other.join())),
                Box::new(|| drop(group.unwrap().join())),
                Box::new(|| assert!(remote.join().is_ok())),
            ];
            send_message.send(joins.map(message)).unwrap();
        })
        .unwrap();
    let messages = messages.recv_timeout(Duration::from_secs(30)).unwrap();
    assert!(messages[0].contains("would wait for ever"), "{messages:?}");
    assert!(messages[1].contains("would block its event loop"), "{messages:?}");
    assert!(messages[2].contains("would block its event loop"), "{messages:?}");
    assert!(messages[3].contains("would wait for ever"), "{messages:?}");
    drop(end);
}

#[test]
fn a_thread_without_a_running_loop_may_join() {
    let event_loop = EventLoop::new().unwrap();
    run_in_thread("other", || async {}).unwrap().join().unwrap();
    drop(event_loop);
}
