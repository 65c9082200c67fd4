//! The watchdog rests while every loop waits. The only test here: a process has one watchdog for
//! all its loops.
#![cfg(target_os = "linux")]

use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use brigade_runtime::{EventLoop, Unhandled};

/// A test that waits longer than this has failed.
const TIMEOUT: Duration = Duration::from_secs(30);

const THRESHOLD: Duration = Duration::from_millis(8);

/// Returns how often each watchdog thread of this process has waited (proc_pid_status(5)).
fn waits() -> Vec<u64> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    // A thread may end while its files are read.
    let status = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("status")).ok();
    let waits = |status: String| {
        let field = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name));
            value.unwrap().trim().to_owned()
        };
        let is_watchdog = field("Name:").starts_with("brigade-watch");
        is_watchdog.then(|| field("voluntary_ctxt_switches:").parse().unwrap())
    };
    tasks.filter_map(|task| waits(status(task.unwrap())?)).collect()
}

/// Waits until the one watchdog has not woken for many intervals between two checks.
fn wait_until_resting() {
    let begin = Instant::now();
    loop {
        let before = waits();
        std::thread::sleep(20 * THRESHOLD);
        if before.len() == 1 && before == waits() {
            return;
        }
        assert!(begin.elapsed() < TIMEOUT, "the watchdog wakes although every loop waits");
    }
}

#[test]
fn the_watchdog_rests_while_every_loop_waits_and_finds_the_next_stall() {
    let (sender, reports) = mpsc::channel();
    let sender = Mutex::new(sender);
    let builder = EventLoop::builder().watch(Some(THRESHOLD)).on_unhandled(move |unhandled| {
        let _ = sender.lock().unwrap().send(matches!(unhandled, Unhandled::Stalled(_)));
    });
    let (handles, handle) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let mut event_loop = builder.build().unwrap();
        handles.send(event_loop.handle()).unwrap();
        let main = std::future::pending::<()>();
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            event_loop.run_until_complete(main);
        }));
    });
    let handle = handle.recv_timeout(TIMEOUT).unwrap();
    for _ in 0..3 {
        wait_until_resting();
        let (release, released) = mpsc::channel::<()>();
        let block = move || {
            let _ = released.recv_timeout(TIMEOUT);
        };
        handle.call_soon(block).unwrap();
        assert!(reports.recv_timeout(TIMEOUT).unwrap(), "a stall is reported while it lasts");
        drop(release);
        assert!(!reports.recv_timeout(TIMEOUT).unwrap(), "its end is reported");
    }
    wait_until_resting();
    handle.stop();
    thread.join().unwrap();
    let begin = Instant::now();
    while !waits().is_empty() {
        assert!(begin.elapsed() < TIMEOUT, "the watchdog outlives the last loop");
        std::thread::yield_now();
    }
}
