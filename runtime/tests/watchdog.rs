//! A loop that is stuck is reported while it is, and when it is over.
//!
//! The task that blocks its loop waits for the report of it, not for a time.

use std::sync::{Mutex, mpsc};
use std::time::Duration;

use brigade_runtime::task::{self, Note, Notebook};
use brigade_runtime::{EventLoop, LoopHandle, Stall, Unhandled, event_loop};

/// A hang is a failure: nothing here takes so long.
const PATIENCE: Duration = Duration::from_secs(30);

enum Report {
    Stalled(Stall, String),
    Recovered(Stall, String),
}

/// A loop that is watched, and what is reported of it.
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

fn stalled(reports: &mpsc::Receiver<Report>) -> (Stall, String) {
    loop {
        // This process may be kept from running too, and its loops with it.
        match reports.recv_timeout(PATIENCE).unwrap() {
            Report::Stalled(stall, text) if stall.task.is_some() => return (stall, text),
            _ => {}
        }
    }
}

fn recovered(reports: &mpsc::Receiver<Report>) -> (Stall, String) {
    loop {
        match reports.recv_timeout(PATIENCE).unwrap() {
            Report::Recovered(stall, text) => return (stall, text),
            Report::Stalled(..) => {}
        }
    }
}

#[test]
fn a_stuck_loop_is_reported_with_task_site_and_note_while_it_is_stuck_and_afterwards() {
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
        let (reports, so_far) = blocking.await.unwrap();
        brigade_runtime::spawn_blocking(move || {
            let (stall, text) = recovered(&reports);
            assert!(stall.lasted >= so_far, "{text}");
            assert!(text.contains("'chop'") && text.contains("/onions"), "{text}");
        })
        .await
        .unwrap();
        assert!(LoopHandle::current().snapshot().stalls > 0);
    });
}

#[test]
fn a_task_named_at_run_time_is_reported_by_that_name() {
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
fn a_stuck_callback_is_reported_as_code_outside_of_tasks() {
    let (builder, reports) = watched();
    let mut event_loop = builder.build().unwrap();
    let handle = event_loop.handle();
    let callback = move || match reports.recv_timeout(PATIENCE).unwrap() {
        Report::Stalled(stall, text) => {
            assert!(stall.task.is_none() && text.contains("outside of tasks"), "{text}");
        }
        Report::Recovered(..) => panic!("it was not reported before"),
    };
    handle.call_soon(callback).unwrap();
    event_loop.run();
}

#[test]
fn a_loop_that_waits_is_not_stuck_and_a_snapshot_says_so() {
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
