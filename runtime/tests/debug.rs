//! What is reported when something goes wrong with no code that awaits it, and in which words.
#![expect(clippy::async_yields_async, reason = "the tests return handles from a run")]

use std::cell::Cell;
use std::future::pending;
use std::process::Command;
use std::rc::Rc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use brigade_runtime::event_loop::Builder;
use brigade_runtime::task::{self, yield_now};
use brigade_runtime::{
    CallbackHandle, EventLoop, LoopHandle, Unhandled, call_later, call_soon, oneshot,
    run_in_thread, spawn, spawn_blocking, thread, time,
};

/// The texts of the reports.
#[derive(Clone, Default)]
struct Reports(Arc<Mutex<Vec<String>>>);

impl Reports {
    fn hook(&self) -> impl Fn(&Unhandled) + Send + Sync + 'static + use<> {
        let reports = self.clone();
        move |unhandled| reports.0.lock().unwrap().push(unhandled.to_string())
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn builder(&self) -> Builder {
        EventLoop::builder().on_unhandled(self.hook())
    }
}

#[test]
fn a_panic_that_is_not_awaited_is_reported_when_the_handle_is_dropped() {
    let reports = Reports::default();
    let mut event_loop = reports.builder().build().unwrap();
    let seen = reports.clone();
    event_loop.run_until_complete(async move {
        let line = line!() + 1;
        let task = task::Builder::new().name("cook").spawn(async { panic!("burnt") });
        yield_now().await;
        yield_now().await;
        assert!(task.is_finished());
        assert_eq!(seen.take(), [""; 0], "the handle may still be awaited");
        drop(task);
        yield_now().await;
        let texts = seen.take();
        assert_eq!(texts.len(), 1);
        assert!(
            texts[0].starts_with("task panicked and its outcome was not awaited: task #"),
            "{texts:?}"
        );
        assert!(texts[0].contains(&format!("'cook' (spawned at {}:{line}", file!())), "{texts:?}");
        assert!(texts[0].ends_with(": burnt"), "{texts:?}");
    });
}

#[test]
fn the_panic_of_a_detached_task_is_reported_at_the_end_of_its_turn() {
    let reports = Reports::default();
    let mut event_loop = reports.builder().build().unwrap();
    event_loop.run_until_complete(async {
        spawn(async { panic!("one") }).detach();
        spawn(async { panic!("two") }).detach();
        yield_now().await;
    });
    assert_eq!(reports.take().len(), 2);
    let left = event_loop.run_until_complete(async {
        let left = spawn(async { panic!("three") });
        yield_now().await;
        left
    });
    drop(event_loop);
    assert_eq!(reports.take().len(), 0);
    drop(left);
    assert_eq!(reports.take().len(), 1, "the handle outlived the loop");
}

#[test]
fn a_panic_that_was_awaited_is_not_reported() {
    let reports = Reports::default();
    reports.builder().build().unwrap().run_until_complete(async {
        assert!(spawn(async { panic!("seen") }).await.unwrap_err().is_panic());
    });
    assert_eq!(reports.take(), [""; 0]);
}

#[test]
fn panics_of_callbacks_and_destructors_are_reported_and_do_not_end_the_loop() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }
    let reports = Reports::default();
    let mut event_loop = reports.builder().build().unwrap();
    event_loop.handle().call_soon(|| panic!("in call_soon")).unwrap();
    event_loop.run_until_complete(async {
        let task = spawn(async {
            let _bomb = Bomb;
            pending::<()>().await;
        });
        yield_now().await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        brigade_runtime::call_soon(|| panic!("in a callback"));
        yield_now().await;
        yield_now().await;
    });
    let texts = reports.take();
    assert_eq!(texts.len(), 3, "{texts:?}");
    assert_eq!(texts[0], "code outside of tasks panicked: in call_soon");
    assert_eq!(texts[1], "code outside of tasks panicked: in drop");
    assert!(texts[2].contains("'callback'") && texts[2].ends_with("in a callback"), "{texts:?}");
}

#[test]
fn panics_on_other_threads_that_are_not_awaited_are_reported() {
    let (sender, reports) = mpsc::channel();
    let hook = move |unhandled: &Unhandled| sender.send(unhandled.to_string()).unwrap();
    let event_loop = EventLoop::builder().on_unhandled(hook);
    let thread = thread::Builder::new().name("falling").event_loop(event_loop);
    let (end, ending) = oneshot::sync_channel::<()>();
    let thread = thread.run(|| async {
        ending.await.unwrap();
        panic!("in main")
    });
    let thread: brigade_runtime::ThreadHandle<()> = thread.unwrap();
    let handle = thread.loop_handle();
    handle.spawn(|| async { spawn_blocking(|| panic!("on the pool")).detach() }).join().unwrap();
    assert!(reports.recv().unwrap().ends_with(": on the pool"));
    handle.spawn(|| async { panic!("in a remote task") }).detach();
    assert!(reports.recv().unwrap().ends_with(": in a remote task"));
    drop(thread);
    end.send(()).unwrap();
    let main = reports.recv().unwrap();
    assert!(main.contains("'main'") && main.ends_with(": in main"), "{main}");
}

#[test]
fn the_panic_of_a_detached_thread_is_reported_before_and_after_its_end() {
    let (sender, reports) = mpsc::channel();
    let event_loop = EventLoop::builder().on_unhandled(move |unhandled| {
        sender.send(unhandled.to_string()).unwrap();
    });
    let start = |text: &'static str, begin: oneshot::SyncReceiver<()>| {
        let thread = thread::Builder::new().name("falling").event_loop(event_loop.clone());
        let thread: std::io::Result<brigade_runtime::ThreadHandle<()>> =
            thread.run(move || async move {
                begin.await.unwrap();
                panic!("{text}")
            });
        thread.unwrap()
    };
    let (begin, begun) = oneshot::sync_channel();
    start("after detach", begun).detach();
    begin.send(()).unwrap();
    assert!(reports.recv().unwrap().ends_with(": after detach"));

    let (begin, begun) = oneshot::sync_channel();
    let thread = start("before detach", begun);
    let handle = thread.loop_handle().clone();
    begin.send(()).unwrap();
    while !handle.is_ended() {
        std::thread::yield_now();
    }
    assert!(reports.try_recv().is_err(), "the handle may still be awaited");
    thread.detach();
    assert!(reports.recv().unwrap().ends_with(": before detach"));
}

#[test]
fn a_hook_that_panics_does_not_end_the_loop() {
    let builder = EventLoop::builder().on_unhandled(|_| panic!("in the hook"));
    let one = builder.build().unwrap().run_until_complete(async {
        spawn(async { panic!("first") }).detach();
        yield_now().await;
        yield_now().await;
        1
    });
    assert_eq!(one, 1);
}

#[test]
fn debug_mode_reports_a_poll_that_took_too_long_and_names_the_task() {
    let reports = Reports::default();
    let threshold = Duration::from_millis(5);
    let builder = reports.builder().debug(true).slow_poll_threshold(threshold);
    builder.build().unwrap().run_until_complete(async move {
        let slow = task::Builder::new().name("slow").spawn(async move {
            std::thread::sleep(threshold);
        });
        slow.await.unwrap();
    });
    let texts = reports.take();
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(texts[0].contains("'slow' (spawned at ") && texts[0].contains("debug.rs"), "{texts:?}");
    assert!(texts[0].contains(") blocked its event loop for "), "{texts:?}");
}

#[test]
fn debug_mode_reports_the_tasks_that_are_pending_when_the_loop_ends() {
    let reports = Reports::default();
    let builder = reports.builder().debug(true).manual_clock(true);
    builder.build().unwrap().run_until_complete(async {
        task::Builder::new().name("forgotten").spawn(pending::<()>()).detach();
        task::Builder::new().name("never begun").spawn(async {}).abort();
        let done = spawn(async {});
        time::sleep(Duration::from_secs(3)).await;
        done.await.unwrap();
    });
    let texts = reports.take();
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(texts[0].contains("'forgotten' (spawned at "), "{texts:?}");
    let end = "was dropped while pending, because its event loop ended: age 3.0s, polls 1";
    assert!(texts[0].ends_with(end), "{texts:?}");
}

#[test]
fn without_debug_mode_slow_polls_and_pending_tasks_are_not_reported() {
    let reports = Reports::default();
    let builder = reports.builder().debug(false).slow_poll_threshold(Duration::ZERO);
    builder.build().unwrap().run_until_complete(async {
        spawn(pending::<()>()).detach();
        yield_now().await;
    });
    assert_eq!(reports.take(), [""; 0]);
}

/// Runs itself again in a child process with the variable set.
#[test]
fn the_environment_variable_switches_debug_mode_on() {
    const NAME: &str = "the_environment_variable_switches_debug_mode_on";
    let in_child = std::env::var_os("BRIGADE_DEBUG").is_some_and(|value| value == "1");
    if in_child {
        let reports = Reports::default();
        reports.builder().build().unwrap().run_until_complete(async {
            spawn(pending::<()>()).detach();
        });
        assert_eq!(reports.take().len(), 1);
        return;
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    let output = child.args([NAME, "--exact"]).env("BRIGADE_DEBUG", "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn the_panic_of_a_thread_that_is_joined_is_not_reported() {
    let reports = Reports::default();
    let thread = thread::Builder::new().event_loop(reports.builder());
    let thread: std::io::Result<brigade_runtime::ThreadHandle<()>> =
        thread.run(|| async { panic!("seen") });
    assert!(thread.unwrap().join().unwrap_err().is_panic());
    assert_eq!(reports.take(), [""; 0]);
    run_in_thread("unnamed", || async {}).unwrap().join().unwrap();
}

#[test]
fn a_callback_that_another_destructor_cancelled_is_not_reported_as_pending() {
    struct CancelOnDrop(CallbackHandle);
    impl Drop for CancelOnDrop {
        fn drop(&mut self) {
            self.0.cancel();
        }
    }
    let reports = Reports::default();
    let mut event_loop = reports.builder().debug(true).manual_clock(true).build().unwrap();
    let hour = Duration::from_secs(3600);
    let (callback, task) = event_loop.run_until_complete(async move {
        let slot = Rc::new(Cell::new(None));
        let taken = slot.clone();
        // Its slot is before that of the callback, so it is dropped first.
        task::Builder::new()
            .name("canceller")
            .spawn(async move {
                yield_now().await;
                let _cancel = taken.take().map(CancelOnDrop);
                pending::<()>().await;
            })
            .detach();
        slot.set(Some(call_later(hour, || ())));
        let still_pending = call_later(hour, || ());
        let aborted = spawn(pending::<()>());
        yield_now().await;
        yield_now().await;
        aborted.abort();
        (still_pending, aborted)
    });
    drop(event_loop);
    let texts = reports.take();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(texts[0].contains("'canceller'") && texts[1].contains("'callback'"), "{texts:?}");
    assert!(!callback.is_pending());
    let error = EventLoop::new().unwrap().run_until_complete(task).unwrap_err();
    assert!(error.is_cancelled() && !error.is_loop_ended(), "{error}");
}

#[test]
fn a_hook_may_spawn_and_nothing_is_reported_of_what_is_spawned_after_the_end() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    let builder = EventLoop::builder().debug(true).on_unhandled(move |_| {
        count.fetch_add(1, Relaxed);
        spawn(async {}).detach();
        spawn(pending::<()>()).detach();
    });
    builder.build().unwrap().run_until_complete(async {
        spawn(pending::<()>()).detach();
        yield_now().await;
    });
    assert_eq!(calls.load(Relaxed), 1);
}

#[test]
fn what_a_hook_spawns_on_a_running_loop_runs_and_is_reported_in_a_later_turn() {
    let reports = Reports::default();
    let (seen, depth) = (reports.clone(), Arc::new(AtomicUsize::new(0)));
    let most = Arc::new(AtomicUsize::new(0));
    let deepest = most.clone();
    let builder = EventLoop::builder().on_unhandled(move |unhandled| {
        most.fetch_max(depth.fetch_add(1, Relaxed) + 1, Relaxed);
        seen.hook()(unhandled);
        if unhandled.to_string().ends_with("first") {
            spawn(async { panic!("second") }).detach();
            call_soon(|| panic!("third"));
        }
        depth.fetch_sub(1, Relaxed);
    });
    builder.build().unwrap().run_until_complete(async {
        spawn(async { panic!("first") }).detach();
        time::sleep(Duration::from_millis(1)).await;
        time::sleep(Duration::from_millis(1)).await;
    });
    assert_eq!((reports.take().len(), deepest.load(Relaxed)), (3, 1));
}

#[test]
fn hooks_are_not_called_within_each_other_after_the_end() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped a bomb");
        }
    }
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    let builder = EventLoop::builder().debug(true).on_unhandled(move |_| {
        count.fetch_add(1, Relaxed);
        let bomb = Bomb;
        spawn(async move { drop(bomb) }).detach();
        let left = spawn(async { panic!("never polled") });
        drop(left);
        let bomb = Bomb;
        let _ = LoopHandle::current().call_soon(move || drop(bomb));
    });
    builder.build().unwrap().run_until_complete(async {
        spawn(pending::<()>()).detach();
        yield_now().await;
    });
    assert_eq!(calls.load(Relaxed), 1);
}
