//! What is logged. These tests have a file of their own because the collector is global to the
//! process.

use std::fmt::Debug;
use std::future::pending;
use std::sync::{Mutex, Once};
use std::thread::{ThreadId, current};
use std::time::Duration;

use brigade_runtime::task::yield_now;
use brigade_runtime::{EventLoop, spawn, time};
use tracing::field::Field;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

static LINES: Mutex<Vec<(ThreadId, String)>> = Mutex::new(Vec::new());

/// Collects events as `LEVEL target: fields`.
struct Collector;

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("brigade")
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = format!("{} {}:", event.metadata().level(), event.metadata().target());
        event.record(&mut |field: &Field, value: &dyn Debug| {
            line += &format!(" {}={value:?}", field.name());
        });
        LINES.lock().unwrap().push((current().id(), line));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Returns what this thread logs while `f` runs.
fn logged(f: impl FnOnce()) -> Vec<String> {
    static COLLECT: Once = Once::new();
    COLLECT.call_once(|| tracing::subscriber::set_global_default(Collector).unwrap());
    f();
    let lines = LINES.lock().unwrap();
    let of_this_thread = lines.iter().filter(|(thread, _)| *thread == current().id());
    of_this_thread.map(|(_, line)| line.clone()).collect()
}

#[test]
fn without_a_hook_panics_are_logged_as_errors_and_dropped_tasks_as_warnings() {
    let lines = logged(|| {
        let threshold = Duration::from_secs(3600);
        let builder = EventLoop::builder().debug(true).slow_poll_threshold(threshold);
        builder.build().unwrap().run_until_complete(async {
            spawn(async { panic!("unseen") }).detach();
            spawn(pending::<()>()).detach();
            yield_now().await;
        });
    });
    let reports: Vec<_> = lines.iter().filter(|line| !line.starts_with("TRACE")).collect();
    assert_eq!(reports.len(), 2, "{reports:?}");
    assert!(
        reports[0]
            .starts_with("ERROR brigade: message=task panicked and its outcome was not awaited")
    );
    assert!(
        reports[1].starts_with("WARN brigade:") && reports[1].contains("dropped while pending")
    );
}

#[test]
fn the_six_steps_of_each_turn_are_logged_at_trace_level() {
    let lines = logged(|| {
        let mut event_loop = EventLoop::builder().manual_clock(true).build().unwrap();
        event_loop.run_until_complete(async {
            yield_now().await;
            time::sleep(Duration::from_secs(1)).await;
        });
    });
    assert!(lines.len() >= 12 && lines.len().is_multiple_of(6), "{lines:?}");
    for (index, line) in lines.iter().enumerate() {
        let step = format!("step={}", index % 6 + 1);
        assert!(line.starts_with("TRACE brigade::turn:") && line.contains(&step), "{line}");
    }
    // Wakes on the loop's own thread take no detour through the inbox.
    let first_steps: Vec<_> = lines.iter().filter(|line| line.contains("step=1")).collect();
    assert!(first_steps.iter().all(|line| line.contains("messages=0")), "{first_steps:?}");
    let with_timers = lines.iter().filter(|line| line.contains("step=3 timers=1"));
    assert_eq!(with_timers.count(), 1, "{lines:?}");
}
