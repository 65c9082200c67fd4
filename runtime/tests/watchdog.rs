//! A stalled loop is reported while it is stuck, and when it turns again.
//!
//! The task that blocks its loop waits for the report, not for a time.

use std::sync::{Mutex, mpsc};
use std::time::Duration;

use brigade_runtime::server::Notebook;
use brigade_runtime::task::{self, Note};
use brigade_runtime::{EventLoop, LoopHandle, Stall, Unhandled, event_loop};

/// A test that waits longer than this has failed.
const TIMEOUT: Duration = Duration::from_secs(30);

enum Report {
    Stalled(Stall, String),
    Recovered(Stall, String),
}

/// Returns the builder of a watched loop, and its reports.
fn watched() -> (event_loop::Builder, mpsc::Receiver<Report>) {
    let (sender, receiver) = mpsc::channel();
    let sender = Mutex::new(sender);
    let builder = EventLoop::builder().name("cook").watch(Some(Duration::from_millis(8)));
    let builder = builder.on_unhandled(move |unhandled| {
        let text = unhandled.to_string();
        let report = match unhandled {
            Unhandled::Stalled(stall) => Report::Stalled(stall.clone(), text),
            Unhandled::Recovered(stall) => Report::Recovered(stall.clone(), text),
            _ => return,
        };
        let _ = sender.lock().unwrap().send(report);
    });
    (builder, receiver)
}

/// Waits for the report of a stall in a task.
fn stalled(reports: &mpsc::Receiver<Report>) -> (Stall, String) {
    loop {
        // The loop also counts as stuck, outside of tasks, while this process is not scheduled.
        match reports.recv_timeout(TIMEOUT).unwrap() {
            Report::Stalled(stall, text) if stall.task.is_some() => return (stall, text),
            _ => {}
        }
    }
}

/// Waits for the report that the loop turns again.
fn recovered(reports: &mpsc::Receiver<Report>) -> (Stall, String) {
    loop {
        match reports.recv_timeout(TIMEOUT).unwrap() {
            Report::Recovered(stall, text) => return (stall, text),
            Report::Stalled(..) => {}
        }
    }
}

#[test]
fn a_stall_is_reported_with_task_site_and_note_while_it_lasts_and_afterwards() {
    let (builder, reports) = watched();
    let mut event_loop = builder.build().unwrap();
    event_loop.run_until_complete(async move {
        let blocking = task::Builder::new().name("chop").spawn(async move {
            Notebook::current().set(Some(Note::new("/onions")));
            let (stall, text) = stalled(&reports);
            let task = stall.task.unwrap();
            assert_eq!((stall.event_loop.as_str(), task.name()), ("cook", Some("chop")));
            assert_eq!(task.id(), task::current().unwrap().label.id());
            assert_eq!(task.site().file(), file!());
            assert_eq!(stall.note, Some(Note::new("/onions")));
            assert!(text.contains("'chop'") && text.contains("/onions"), "{text}");
            (reports, stall.lasted)
        });
        let (reports, lasted) = blocking.await.unwrap();
        brigade_runtime::spawn_blocking(move || {
            let (stall, text) = recovered(&reports);
            assert!(stall.lasted >= lasted, "{text}");
            assert!(text.contains("'chop'") && text.contains("/onions"), "{text}");
        })
        .await
        .unwrap();
        assert!(LoopHandle::current().snapshot().stalls > 0);
    });
}

#[test]
fn a_stall_in_a_task_with_a_computed_name_is_reported_with_that_name() {
    let (builder, reports) = watched();
    let mut event_loop = builder.build().unwrap();
    event_loop.run_until_complete(async move {
        let mut reports = reports;
        for number in 1..=2 {
            let name = format!("table {number}");
            let expected = name.clone();
            let task = task::Builder::new().name(name).spawn(async move {
                let (stall, _) = stalled(&reports);
                assert_eq!(stall.task.unwrap().name(), Some(expected.as_str()));
                reports
            });
            reports = task.await.unwrap();
        }
    });
}

#[test]
fn a_stall_in_a_callback_is_reported_as_code_outside_of_tasks() {
    let (builder, reports) = watched();
    let mut event_loop = builder.build().unwrap();
    let handle = event_loop.handle();
    let callback = move || match reports.recv_timeout(TIMEOUT).unwrap() {
        Report::Stalled(stall, text) => {
            assert!(stall.task.is_none() && text.contains("outside of tasks"), "{text}");
        }
        Report::Recovered(..) => panic!("a recovery was reported before the stall"),
    };
    handle.call_soon(callback).unwrap();
    event_loop.run();
}

#[test]
fn the_snapshot_of_a_loop_between_two_runs_says_that_it_waits() {
    let mut event_loop = EventLoop::new().unwrap();
    event_loop.run_until_complete(async {});
    assert!(!event_loop.handle().snapshot().is_awake);
    event_loop.run();
    assert!(!event_loop.handle().snapshot().is_awake);
}

#[test]
fn the_snapshot_of_a_loop_that_waits_says_that_it_waits() {
    let thread = brigade_runtime::run_in_thread("idle", std::future::pending::<()>).unwrap();
    let handle = thread.loop_handle().clone();
    while handle.snapshot().is_awake || handle.snapshot().turns == 0 {
        std::thread::yield_now();
    }
    let snapshot = handle.snapshot();
    assert_eq!((snapshot.tasks, snapshot.task, snapshot.stalls), (1, None, 0));
    assert!(snapshot.to_string().starts_with("'idle' waiting, turn "), "{snapshot}");
    handle.stop();
    assert!(thread.join().is_err());
    assert!(handle.snapshot().has_ended);
}
