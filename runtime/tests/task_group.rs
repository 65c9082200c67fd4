//! Task groups: no child outlives its group, and one failure ends all.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use brigade_runtime::task::{self, Failure, yield_now};
use brigade_runtime::time::{now, sleep, timeout};
use brigade_runtime::{TaskGroup, spawn};

use support::run_on_manual_clock;

mod support;

type Group = TaskGroup<&'static str>;

/// Logs its name when dropped.
struct Guard(&'static str, Rc<RefCell<Vec<&'static str>>>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.1.borrow_mut().push(self.0);
    }
}

#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<&'static str>>>);

impl Log {
    fn guard(&self, name: &'static str) -> Guard {
        Guard(name, self.0.clone())
    }

    /// Returns a future that is never ready, and logs its name when dropped.
    fn pending(
        &self,
        name: &'static str,
    ) -> impl Future<Output = Result<(), &'static str>> + use<> {
        let guard = self.guard(name);
        async move {
            let _guard = guard;
            std::future::pending().await
        }
    }

    fn sorted(&self) -> Vec<&'static str> {
        let mut names = self.0.borrow().clone();
        names.sort_unstable();
        names
    }
}

async fn after<T>(secs: u64, outcome: T) -> T {
    sleep(Duration::from_secs(secs)).await;
    outcome
}

#[test]
fn children_run_concurrently_and_return_their_values() {
    run_on_manual_clock(async {
        let began = now();
        let sum = Group::run(async |group| {
            let two = group.spawn(after(2, Ok(2)));
            let one = group.spawn_named("one", after(1, Ok(1)));
            Ok(one.await + two.await)
        });
        assert_eq!(sum.await.unwrap(), 3);
        assert_eq!(now() - began, Duration::from_secs(2));
    });
}

#[test]
fn the_group_waits_for_children_that_are_not_awaited() {
    run_on_manual_clock(async {
        let done = Rc::new(Cell::new(false));
        let flag = done.clone();
        let began = now();
        Group::run(async |group| {
            group.spawn(async move {
                sleep(Duration::from_secs(3)).await;
                flag.set(true);
                Ok(())
            });
            Ok(())
        })
        .await
        .unwrap();
        assert!(done.get());
        assert_eq!(now() - began, Duration::from_secs(3));
        assert_eq!(task::all().len(), 1);
    });
}

#[test]
fn the_body_may_borrow_and_spawn_while_it_waits() {
    run_on_manual_clock(async {
        let values = RefCell::new(Vec::new());
        Group::run(async |group| {
            for n in 0..3 {
                let value = group.spawn(after(1, Ok(n))).await;
                values.borrow_mut().push(value);
            }
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(values.into_inner(), [0, 1, 2]);
    });
}

#[test]
fn the_first_error_cancels_the_other_children_and_the_body() {
    run_on_manual_clock(async {
        let log = Log::default();
        let body_log = log.clone();
        let error = Group::run(async move |group| {
            group.spawn(body_log.pending("sibling"));
            group.spawn(after(1, Err::<(), _>("failed")));
            group.spawn(after(2, Err::<(), _>("too late")));
            let _guard = body_log.guard("body");
            pending::<()>().await;
            Ok(())
        })
        .await
        .unwrap_err();
        assert_eq!(error.first.error(), Some(&"failed"));
        assert!(error.others.is_empty());
        assert_eq!(log.sorted(), ["body", "sibling"]);
        assert_eq!(task::all().len(), 1, "no child is left");
    });
}

#[test]
fn a_body_that_awaits_a_failing_child_is_cancelled() {
    run_on_manual_clock(async {
        let error = Group::run(async |group| {
            let child = group.spawn(after(1, Err::<u8, _>("failed")));
            Ok(child.await)
        });
        assert_eq!(error.await.unwrap_err().to_string(), "task group failed: failed");
    });
}

#[test]
fn failures_of_one_turn_are_all_returned_in_order() {
    run_on_manual_clock(async {
        let error = Group::run(async |group| {
            group.spawn(after(1, Err::<(), _>("first")));
            group.spawn(after(1, Err::<(), _>("second")));
            let third = async { after(1, Ok(())).await.map(|()| panic!("third")) };
            group.spawn::<_, ()>(third).await;
            Ok(())
        })
        .await
        .unwrap_err();
        let all: Vec<_> = error.iter().map(ToString::to_string).collect();
        assert_eq!(&all[..2], ["first", "second"]);
        assert!(all[2].contains("panicked: third"), "{all:?}");
    });
}

#[test]
fn the_debug_text_is_one_line_that_counts_the_other_failures() {
    run_on_manual_clock(async {
        let fail = async |others: usize| {
            let outcome = Group::run(async |group| {
                for error in ["no bread", "no milk"].into_iter().take(others) {
                    group.spawn(async move { Err::<(), _>(error) });
                }
                let _ = group.spawn(async { Err::<(), _>("no salt") }).await;
                Ok(())
            });
            outcome.await.unwrap_err()
        };
        let (alone, first) = (fail(0).await, fail(2).await);
        assert_eq!(format!("{alone:?}"), r#"GroupError("no salt")"#);
        assert_eq!(format!("{first:?}"), r#"GroupError("no bread" and 2 more)"#);
        let all = format!("{first:#?}");
        assert!(["no bread", "no milk", "no salt"].iter().all(|text| all.contains(text)), "{all}");
    });
}

#[test]
fn a_panic_of_a_child_ends_the_group() {
    run_on_manual_clock(async {
        let log = Log::default();
        let body_log = log.clone();
        let error = Group::run(async move |group| {
            group.spawn(body_log.pending("sibling"));
            group.spawn_named::<_, ()>("cook", async { panic!("burnt") });
            Ok(())
        })
        .await
        .unwrap_err();
        let Failure::Task(join) = &error.first else { panic!("{error}") };
        assert!(join.is_panic() && join.task().unwrap().name() == Some("cook"), "{error}");
        assert_eq!(log.sorted(), ["sibling"]);
    });
}

#[test]
fn an_error_of_the_body_cancels_the_children() {
    run_on_manual_clock(async {
        let log = Log::default();
        let body_log = log.clone();
        let error = Group::run::<()>(async move |group| {
            group.spawn(body_log.pending("child"));
            yield_now().await;
            Err("body")
        })
        .await
        .unwrap_err();
        assert_eq!(error.first.error(), Some(&"body"));
        assert_eq!(log.sorted(), ["child"]);
    });
}

#[test]
fn a_panic_of_the_body_cancels_the_children_and_is_resumed() {
    run_on_manual_clock(async {
        let log = Log::default();
        let body_log = log.clone();
        let task = spawn(Group::run::<()>(async move |group| {
            group.spawn(body_log.pending("child"));
            yield_now().await;
            panic!("body")
        }));
        assert!(task.await.unwrap_err().is_panic());
        assert_eq!(log.sorted(), ["child"]);
    });
}

#[test]
fn the_failure_of_an_inner_group_may_be_handled_in_the_outer_one() {
    run_on_manual_clock(async {
        let log = Log::default();
        let outer_log = log.clone();
        let outcome = Group::run(async move |outer| {
            let inner_log = outer_log.clone();
            let inner = outer.spawn(async move {
                let inner = Group::run(async move |group| {
                    group.spawn(inner_log.pending("inner sibling"));
                    group.spawn(after(1, Err::<(), _>("inner"))).await;
                    Ok(())
                });
                Ok(inner.await.unwrap_err().to_string())
            });
            let other = outer.spawn(after(5, Ok("outer continues")));
            Ok((inner.await, other.await))
        });
        let (inner, outer) = outcome.await.unwrap();
        assert!(inner.ends_with("inner"), "{inner}");
        assert_eq!((outer, log.sorted()), ("outer continues", vec!["inner sibling"]));
    });
}

#[test]
fn dropping_a_group_also_ends_the_children_of_inner_groups() {
    run_on_manual_clock(async {
        let log = Log::default();
        let outer_log = log.clone();
        let group = Group::run(async move |outer| {
            let inner_log = outer_log.clone();
            outer.spawn(outer_log.pending("child"));
            outer.spawn(async move {
                let inner = Group::run(async move |group| {
                    group.spawn(inner_log.pending("grandchild")).await;
                    Ok(())
                });
                inner.await.map_err(|error| error.first.error().copied().unwrap_or("panic"))
            });
            let _guard = outer_log.guard("body");
            pending::<()>().await;
            Ok(())
        });
        let mut group = Box::pin(timeout(Duration::from_secs(1), group));
        assert!(group.as_mut().await.is_err());
        drop(group);
        assert_eq!(log.sorted(), ["body", "child", "grandchild"]);
        assert_eq!(task::all().len(), 1);
    });
}

#[test]
fn a_timeout_in_a_child_is_an_error_like_any_other() {
    run_on_manual_clock(async {
        let error = Group::run(async |group| {
            let slow = timeout(Duration::from_secs(1), pending::<()>());
            group.spawn(async { slow.await.map_err(|_| "too slow") }).await;
            Ok(())
        });
        assert_eq!(error.await.unwrap_err().first.error(), Some(&"too slow"));
    });
}

#[test]
fn aborting_a_task_cancels_the_children_of_its_group() {
    run_on_manual_clock(async {
        let log = Log::default();
        let body_log = log.clone();
        let task = spawn(Group::run(async move |group| {
            group.spawn(body_log.pending("child")).await;
            Ok(())
        }));
        yield_now().await;
        yield_now().await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(log.sorted(), ["child"]);
    });
}

#[test]
fn a_child_that_is_polled_after_completion_panics() {
    run_on_manual_clock(async {
        let task = spawn(Group::run(async |group| {
            let mut child = group.spawn(async { Ok(1) });
            assert_eq!((&mut child).await, 1);
            (&mut child).await;
            Ok(())
        }));
        let payload = task.await.unwrap_err().into_panic().unwrap();
        assert!(brigade_runtime::panic_message(&*payload).contains("polled after completion"));
    });
}

#[test]
fn a_child_that_failed_may_be_polled_until_its_group_ends() {
    run_on_manual_clock(async {
        let error = Group::run(async |group| {
            let mut child = group.spawn(async { Err::<u8, _>("failed") });
            std::future::poll_fn(|cx| {
                let _ = std::pin::Pin::new(&mut child).poll(cx);
                std::pin::Pin::new(&mut child).poll(cx)
            })
            .await;
            Ok(())
        });
        assert_eq!(error.await.unwrap_err().first.error(), Some(&"failed"));
    });
}

#[test]
fn a_group_counts_the_children_whose_end_it_has_not_handled() {
    run_on_manual_clock(async {
        let group = Group::run(async |group: &Group| {
            assert_eq!((group.is_empty(), group.len()), (true, 0));
            group.spawn(async { Ok(()) });
            group.spawn(async {
                sleep(Duration::from_secs(1)).await;
                Ok(())
            });
            assert!(!group.is_empty() && group.len() == 2);
            yield_now().await;
            yield_now().await;
            assert_eq!(group.len(), 1);
            Ok(())
        });
        group.await.unwrap();
    });
}

#[test]
fn the_source_of_a_failed_group_is_its_first_failure() {
    run_on_manual_clock(async {
        let failed = TaskGroup::run(async |group: &TaskGroup<std::io::Error>| {
            group.spawn(async { Err::<(), _>(std::io::Error::other("first")) });
            pending::<Result<(), _>>().await
        });
        let error = failed.await.unwrap_err();
        assert_eq!(error.source().unwrap().to_string(), "first");
    });
}
