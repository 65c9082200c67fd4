//! Destructors and wakers of users: they may panic, call back, and nest to any depth.
#![expect(clippy::async_yields_async, reason = "the tests return handles from a run")]

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::panic::panic_any;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use brigade_runtime::event_loop::Builder;
use brigade_runtime::task::{self, yield_now};
use brigade_runtime::time::{sleep, timeout};
use brigade_runtime::{
    EventLoop, JoinHandle, LoopHandle, RemoteJoinHandle, TaskGroup, Unhandled, call_later,
    call_soon, local, oneshot, run, run_in_thread, spawn, spawn_blocking, thread,
};

use support::run_on_manual_clock;

mod support;

/// Panics when dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("dropped a bomb");
    }
}

/// The texts of the reports.
#[derive(Clone, Default)]
struct Reports(Arc<Mutex<Vec<String>>>);

impl Reports {
    fn builder(&self) -> Builder {
        let reports = self.clone();
        EventLoop::builder().on_unhandled(move |unhandled| {
            reports.0.lock().unwrap().push(unhandled.to_string());
        })
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

const NESTED: usize = 3_000;

type Nested = Pin<Box<dyn Future<Output = Result<(), ()>>>>;

/// Groups whose only child is such a group, and so on. Each counts its end in `ended`.
fn nested_groups(depth: usize, ended: Rc<Cell<usize>>) -> Nested {
    struct Count(Rc<Cell<usize>>);
    impl Drop for Count {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    Box::pin(async move {
        let _count = Count(ended.clone());
        if depth == 0 {
            return pending().await;
        }
        let group = TaskGroup::run(async move |group| {
            group.spawn(nested_groups(depth - 1, ended)).await;
            Ok(())
        });
        group.await.map_err(|_| ())
    })
}

async fn until_nested() {
    while task::all().len() < NESTED + 2 {
        yield_now().await;
    }
    yield_now().await;
}

#[test]
fn thousands_of_nested_groups_can_be_aborted() {
    run(async {
        let ended = Rc::new(Cell::new(0));
        let outermost = spawn(nested_groups(NESTED, ended.clone()));
        until_nested().await;
        outermost.abort();
        assert!(outermost.await.unwrap_err().is_cancelled());
        assert_eq!((ended.get(), task::all().len()), (NESTED + 1, 1));
    });
}

#[test]
fn thousands_of_nested_groups_can_be_dropped_by_a_timeout() {
    run_on_manual_clock(async {
        let ended = Rc::new(Cell::new(0));
        let groups = nested_groups(NESTED, ended.clone());
        assert!(timeout(Duration::from_secs(1), groups).await.is_err());
        assert_eq!((ended.get(), task::all().len()), (NESTED + 1, 1));
    });
}

#[test]
fn a_loop_may_end_with_thousands_of_nested_groups() {
    let ended = Rc::new(Cell::new(0));
    let count = ended.clone();
    let outermost = run(async move {
        let outermost = spawn(nested_groups(NESTED, count));
        until_nested().await;
        outermost
    });
    assert_eq!(ended.get(), NESTED + 1);
    assert!(run(outermost).unwrap_err().is_loop_ended());
}

#[test]
fn the_children_of_a_cancelled_group_have_ended_before_what_is_dropped_after_it() {
    run(async {
        let ended = Rc::new(Cell::new(0));
        let seen = Rc::new(Cell::new(0));
        struct See(Rc<Cell<usize>>, Rc<Cell<usize>>);
        impl Drop for See {
            fn drop(&mut self) {
                self.1.set(self.0.get());
            }
        }
        let see = See(ended.clone(), seen.clone());
        let task = spawn(async move {
            let _see = see;
            let _ = nested_groups(3, ended).await;
        });
        for _ in 0..10 {
            yield_now().await;
        }
        task.abort();
        let _ = task.await;
        assert_eq!(seen.get(), 4);
    });
}

/// A chain of finished tasks, each of which has the handle of the one before as its output.
#[test]
fn a_long_chain_of_outcomes_that_nobody_takes_can_be_dropped() {
    struct Link(#[expect(dead_code, reason = "is only dropped")] Option<JoinHandle<Link>>);
    run(async {
        let mut last = None;
        for _ in 0..20_000 {
            last = Some(spawn(async move { Link(last) }));
        }
        yield_now().await;
        drop(last);
        assert_eq!(task::all().len(), 1);
    });
}

#[test]
fn a_long_chain_of_outcomes_from_another_thread_can_be_dropped() {
    struct Link(#[expect(dead_code, reason = "is only dropped")] Option<RemoteJoinHandle<Link>>);
    let (end, ending) = oneshot::sync_channel::<()>();
    let thread = run_in_thread("other", || async { ending.await.unwrap_err() }).unwrap();
    let mut last = None;
    for _ in 0..20_000 {
        last = Some(thread.loop_handle().spawn(move || async move { Link(last) }));
    }
    // Calls are made in their order, so all tasks have run once this one has.
    thread.loop_handle().spawn(async || ()).join().unwrap();
    drop(last);
    drop(end);
    thread.join().unwrap();
}

#[test]
fn destructors_that_send_to_a_loop_that_ended_may_nest() {
    struct Chain(LoopHandle, u32);
    impl Drop for Chain {
        fn drop(&mut self) {
            if let Some(left) = self.1.checked_sub(1) {
                let next = Self(self.0.clone(), left);
                let _ = self.0.call_soon(move || drop(next));
            }
        }
    }
    let handle = run(async { LoopHandle::current() });
    drop(Chain(handle, 20_000));
}

#[test]
fn destructors_that_spawn_while_the_loop_ends_may_nest() {
    struct Chain(u32);
    impl Drop for Chain {
        fn drop(&mut self) {
            if let Some(left) = self.0.checked_sub(1) {
                let next = Self(left);
                spawn(async move { drop(next) }).detach();
            }
        }
    }
    run(async {
        let chain = Chain(20_000);
        spawn(async move {
            let _chain = chain;
            pending::<()>().await;
        })
        .detach();
        yield_now().await;
    });
}

#[test]
fn a_call_whose_value_panics_when_dropped_does_not_keep_the_loop_from_ending() {
    let reports = Reports::default();
    let mut event_loop = reports.builder().build().unwrap();
    let task = event_loop.run_until_complete(async { spawn(pending::<()>()) });
    let handle = event_loop.handle();
    for _ in 0..2 {
        let bomb = Mutex::new(Bomb);
        handle.call_soon(move || drop(bomb)).unwrap();
    }
    drop(event_loop);
    assert_eq!(reports.take(), ["code outside of tasks panicked: dropped a bomb"; 2]);
    assert!(handle.call_soon(move || drop(Bomb)).is_err());
    assert!(run(task).unwrap_err().is_loop_ended(), "the thread has a loop again");
}

#[test]
fn callbacks_tasks_and_outcomes_whose_values_panic_when_dropped_are_reported() {
    let reports = Reports::default();
    let mut event_loop = reports.builder().build().unwrap();
    let kept = event_loop.run_until_complete(async {
        let keep = || {
            let bomb = Bomb;
            async move {
                let _bomb = bomb;
                pending::<()>().await;
            }
        };
        let bomb = Bomb;
        call_soon(move || drop(bomb)).cancel();
        let bomb = Bomb;
        call_later(Duration::from_secs(60), move || drop(bomb)).cancel();
        spawn(keep()).abort();
        let dropped = spawn(async { Bomb });
        yield_now().await;
        drop(dropped);
        spawn(async { Bomb }).detach();
        spawn(keep()).detach();
        yield_now().await;
        let group = TaskGroup::<()>::run(async move |group| {
            group.spawn(async move {
                keep().await;
                Ok(())
            });
            yield_now().await;
            Err::<(), _>(())
        });
        assert!(group.await.is_err());
        let kept = spawn(async { Bomb });
        yield_now().await;
        kept
    });
    drop(event_loop);
    assert_eq!(reports.take(), ["code outside of tasks panicked: dropped a bomb"; 7]);
    drop(kept);
    assert_eq!(reports.take().len(), 1, "the handle outlived the loop");
}

#[test]
fn payloads_of_panics_that_panic_when_dropped_end_nothing() {
    let reports = Reports::default();
    let mut event_loop = reports.builder().build().unwrap();
    event_loop.handle().call_soon(|| panic_any(Bomb)).unwrap();
    event_loop.run_until_complete(async {
        spawn(async { panic_any(Bomb) }).detach();
        let awaited = spawn(async { panic_any(Bomb) });
        drop(awaited.await.unwrap_err());
        let unawaited = spawn(async { panic_any(Bomb) });
        yield_now().await;
        drop(unawaited);
        call_soon(|| panic_any(Bomb));
        drop(spawn_blocking(|| panic_any(Bomb)).await.unwrap_err());
        let remote = LoopHandle::current().spawn(async || panic_any(Bomb));
        drop(remote.await.unwrap_err());
        LoopHandle::current().spawn(async || panic_any(Bomb)).detach();
        LoopHandle::current().spawn(async || ()).await.unwrap();
        yield_now().await;
    });
    drop(event_loop);
    assert_eq!(reports.take().len(), 5);
    let hooked = EventLoop::builder().on_unhandled(|_| panic_any(Bomb));
    hooked.build().unwrap().run_until_complete(async {
        spawn(async { panic!("first") }).detach();
        yield_now().await;
        yield_now().await;
    });
}

#[test]
fn results_from_other_threads_that_panic_when_dropped_are_reported() {
    let (sender, reports) = mpsc::channel();
    let hook = move |unhandled: &Unhandled| sender.send(unhandled.to_string()).unwrap();
    let builder = EventLoop::builder().on_unhandled(hook);
    let expect = || {
        let report = reports.recv_timeout(Duration::from_secs(30)).unwrap();
        assert_eq!(report, "code outside of tasks panicked: dropped a bomb");
    };
    let (end, ending) = oneshot::sync_channel::<()>();
    let thread = thread::Builder::new().event_loop(builder).run(|| async {
        let _ = ending.await;
        Bomb
    });
    let thread = thread.unwrap();
    let handle = thread.loop_handle().clone();
    // The handle is dropped before the result is there, and after.
    let blocking = async || {
        let (release, released) = mpsc::channel::<()>();
        let unwanted = spawn_blocking(move || {
            let _ = released.recv();
            Bomb
        });
        drop(unwanted);
        drop(release);
    };
    handle.spawn(blocking).join().unwrap();
    expect();
    let remote = handle.spawn(async || Bomb);
    handle.spawn(async || ()).join().unwrap();
    drop(remote);
    expect();
    drop(thread);
    drop(end);
    expect();
}

#[test]
fn a_remote_task_whose_future_panics_when_dropped_returns_its_outcome() {
    struct Dropped(bool);
    impl Future for Dropped {
        type Output = u8;
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<u8> {
            if self.0 { Poll::Ready(1) } else { Poll::Pending }
        }
    }
    impl Drop for Dropped {
        fn drop(&mut self) {
            panic!("future");
        }
    }
    let reports = Reports::default();
    reports.builder().build().unwrap().run_until_complete(async {
        let ready = LoopHandle::current().spawn(|| Dropped(true));
        assert!(ready.await.unwrap_err().is_panic());
        let aborted = LoopHandle::current().spawn(|| Dropped(false));
        // Messages are handled in their order, so the task has been polled once this one has.
        LoopHandle::current().spawn(async || ()).await.unwrap();
        aborted.abort();
        let error = aborted.await.unwrap_err();
        assert!(error.is_cancelled() && !error.is_loop_ended(), "{error}");
        yield_now().await;
    });
    assert_eq!(reports.take(), ["code outside of tasks panicked: future"]);
}

#[test]
fn an_unwanted_result_that_panics_when_dropped_does_not_stop_a_manual_clock() {
    run_on_manual_clock(async {
        let (release, released) = mpsc::channel::<()>();
        let work = spawn_blocking(move || {
            let _ = released.recv();
            Bomb
        });
        drop(work);
        drop(release);
        sleep(Duration::from_secs(3600)).await;
    });
}

thread_local! {
    /// What the next `Foreign` waker that is dropped drops, too.
    static LAST_WISH: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

/// A waker of some other executor.
struct Foreign;

impl Wake for Foreign {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Foreign {
    fn drop(&mut self) {
        if let Some(wish) = LAST_WISH.take() {
            wish();
        }
    }
}

/// Polls `future` with a waker that runs `wish` when it is dropped, and then with another waker.
fn poll_with_two_wakers<F: Future + Unpin>(future: &mut F, wish: impl FnOnce() + 'static) {
    let waker = Waker::from(Arc::new(Foreign));
    assert!(Pin::new(&mut *future).poll(&mut Context::from_waker(&waker)).is_pending());
    drop(waker);
    LAST_WISH.set(Some(Box::new(wish)));
    let _ = Pin::new(future).poll(&mut Context::from_waker(Waker::noop()));
    assert!(LAST_WISH.take().is_none(), "the first waker was not dropped");
}

/// Drops `future` after it was polled with a waker that runs `wish` when it is dropped.
fn drop_with_waker<F: Future + Unpin>(mut future: F, wish: impl FnOnce() + 'static) {
    let waker = Waker::from(Arc::new(Foreign));
    assert!(Pin::new(&mut future).poll(&mut Context::from_waker(&waker)).is_pending());
    drop(waker);
    LAST_WISH.set(Some(Box::new(wish)));
    drop(future);
    assert!(LAST_WISH.take().is_none(), "the waker was not dropped");
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_waker_of_a_sleep_may_drop_and_set_other_timers() {
    run(async {
        let other = || {
            let mut other = Box::pin(sleep(HOUR));
            assert!(futures_util::FutureExt::now_or_never(other.as_mut()).is_none());
            move || {
                drop(other);
                call_later(HOUR, || ()).cancel();
            }
        };
        let mut first = Box::pin(sleep(HOUR));
        poll_with_two_wakers(&mut first, other());
        drop_with_waker(Box::pin(sleep(HOUR)), other());
    });
}

#[test]
fn a_waker_of_a_oneshot_may_drop_its_other_end() {
    run(async {
        let (sender, mut receiver) = oneshot::channel::<u8>();
        poll_with_two_wakers(&mut receiver, move || drop(sender));
        let (sender, receiver) = oneshot::channel::<u8>();
        drop_with_waker(receiver, move || drop(sender));
        let (sender, mut receiver) = oneshot::sync_channel::<u8>();
        poll_with_two_wakers(&mut receiver, move || drop(sender));
        let (sender, receiver) = oneshot::channel::<u8>();
        poll_with_two_wakers(&mut Box::pin(sender.closed()), move || drop(receiver));
        let (sender, receiver) = oneshot::sync_channel::<u8>();
        drop_with_waker(Box::pin(sender.closed()), move || drop(receiver));
    });
}

#[test]
fn a_waker_of_a_join_handle_may_spawn_and_abort() {
    run(async {
        let mut task = spawn(pending::<()>());
        let other = spawn(pending::<()>());
        poll_with_two_wakers(&mut task, move || {
            other.abort();
            spawn(async {}).detach();
        });
        drop_with_waker(task, || spawn(async {}).detach());
        yield_now().await;
    });
}

#[test]
fn a_waker_of_a_channel_or_semaphore_may_use_it() {
    run(async {
        let (sender, mut receiver) = local::channel(1);
        let mut receive = Box::pin(poll_fn(move |cx| receiver.poll_recv(cx)));
        let other = sender.clone();
        poll_with_two_wakers(&mut receive, move || other.try_send(1).unwrap());
        assert_eq!(receive.await, Some(1));
        drop(sender);
        let semaphore = local::Semaphore::new(1);
        let held = semaphore.acquire().await;
        let mut wait = Box::pin(semaphore.acquire());
        poll_with_two_wakers(&mut wait, move || drop(held));
        let held = wait.await;
        let waits = semaphore.clone();
        drop_with_waker(Box::pin(semaphore.acquire()), move || {
            drop(held);
            assert_eq!(waits.available_permits(), 1);
        });
    });
}

#[test]
fn a_waker_that_panics_does_not_end_the_loop() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("in wake");
        }
    }
    let reports = Reports::default();
    reports.builder().manual_clock(true).build().unwrap().run_until_complete(async {
        let waker = Waker::from(Arc::new(Panics));
        let mut cx = Context::from_waker(&waker);
        let mut task = spawn(async {});
        assert!(Pin::new(&mut task).poll(&mut cx).is_pending());
        let mut timer = Box::pin(sleep(Duration::from_secs(1)));
        assert!(timer.as_mut().poll(&mut cx).is_pending());
        sleep(Duration::from_secs(1)).await;
        task.await.unwrap();
    });
    assert_eq!(reports.take(), ["code outside of tasks panicked: in wake"; 2]);
}

#[test]
fn a_channel_whose_values_panic_when_dropped_can_be_dropped() {
    run(async {
        let (sender, receiver) = local::unbounded_channel();
        for _ in 0..3 {
            sender.try_send(Bomb).unwrap_or_else(|_| unreachable!("there is room"));
        }
        let task = spawn(async move {
            let _receiver = receiver;
            pending::<()>().await;
        });
        yield_now().await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    });
}
