//! Signals of the process. These tests have a file of their own, because a signal reaches every
//! listener of the test process.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use brigade_runtime::gather;
use brigade_runtime::signal::{SignalKind, Signals};
use brigade_runtime::task::yield_now;
use brigade_runtime::time::timeout;

use signal_hook::consts::{SIGHUP, SIGTERM, SIGUSR1, SIGUSR2};
use support::child::{in_child, succeeds_in_child};
use support::run_on_manual_clock;

mod support;

const SECOND: Duration = Duration::from_secs(1);

fn raise(signal: i32) {
    signal_hook::low_level::raise(signal).unwrap();
}

#[test]
fn a_signal_reaches_every_listener_for_its_kind_and_no_other() {
    run_on_manual_clock(async {
        let both = Signals::new([SignalKind::UserDefined1, SignalKind::UserDefined2]).unwrap();
        let second = Signals::new([SignalKind::UserDefined2]).unwrap();
        raise(SIGUSR2);
        let (one, two) = gather((both.recv(), second.recv())).await;
        assert_eq!(one.unwrap(), SignalKind::UserDefined2);
        assert_eq!(two.unwrap(), SignalKind::UserDefined2);
        raise(SIGUSR1);
        assert_eq!(both.recv().await.unwrap(), SignalKind::UserDefined1);
        assert!(timeout(SECOND, second.recv()).await.is_err());
    });
}

#[test]
fn signals_that_arrive_before_recv_are_received_as_one() {
    run_on_manual_clock(async {
        let signals = Signals::new([SignalKind::Hangup]).unwrap();
        for _ in 0..3 {
            raise(SIGHUP);
        }
        yield_now().await;
        assert_eq!(signals.recv().await.unwrap(), SignalKind::Hangup);
        assert!(timeout(SECOND, signals.recv()).await.is_err());
    });
}

#[test]
fn a_burst_is_received_once_and_other_kinds_right_after_it() {
    succeeds_in_child("a_burst_is_received_once_and_other_kinds_right_after_it", || {
        run_on_manual_clock(async {
            let kinds = [SignalKind::UserDefined1, SignalKind::Terminate, SignalKind::UserDefined2];
            let signals = Signals::new(kinds).unwrap();
            (0..1000).for_each(|_| raise(SIGUSR1));
            raise(SIGUSR2);
            raise(SIGTERM);
            for kind in kinds {
                assert_eq!(signals.recv().await.unwrap(), kind);
            }
            assert!(timeout(SECOND, signals.recv()).await.is_err());
        });
    });
}

#[test]
fn a_kind_that_arrives_again_and_again_lets_the_others_have_their_turn() {
    succeeds_in_child(
        "a_kind_that_arrives_again_and_again_lets_the_others_have_their_turn",
        || {
            run_on_manual_clock(async {
                let kinds = [SignalKind::UserDefined1, SignalKind::UserDefined2];
                let signals = Signals::new(kinds).unwrap();
                raise(SIGUSR2);
                raise(SIGUSR1);
                assert_eq!(signals.recv().await.unwrap(), SignalKind::UserDefined1);
                raise(SIGUSR1);
                assert_eq!(signals.recv().await.unwrap(), SignalKind::UserDefined2);
                assert_eq!(signals.recv().await.unwrap(), SignalKind::UserDefined1);
            });
        },
    );
}

#[test]
fn the_default_action_is_taken_again_once_the_last_listener_is_dropped() {
    let output =
        in_child("the_default_action_is_taken_again_once_the_last_listener_is_dropped", || {
            run_on_manual_clock(async {
                let first = Signals::new([SignalKind::Terminate]).unwrap();
                let second = Signals::new([SignalKind::Terminate, SignalKind::Hangup]).unwrap();
                drop(first);
                raise(SIGTERM);
                assert_eq!(second.recv().await.unwrap(), SignalKind::Terminate);
                drop(second);
                // A listener that comes later catches the signal as the first one did.
                let third = Signals::new([SignalKind::Terminate]).unwrap();
                raise(SIGTERM);
                assert_eq!(third.recv().await.unwrap(), SignalKind::Terminate);
                drop(third);
                eprintln!("every listener was dropped");
                raise(SIGTERM);
            });
        });
    assert_eq!(output.status.signal(), Some(SIGTERM), "{output:?}");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(errors.contains("every listener was dropped"), "{errors}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_handler_of_the_program_stays_in_charge_once_the_last_listener_is_dropped() {
    let test = "a_handler_of_the_program_stays_in_charge_once_the_last_listener_is_dropped";
    succeeds_in_child(test, || {
        let seen = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        signal_hook::flag::register(SIGHUP, seen.clone()).unwrap();
        run_on_manual_clock(async {
            drop(Signals::new([SignalKind::Hangup]).unwrap());
        });
        raise(SIGHUP);
        assert!(seen.load(std::sync::atomic::Ordering::SeqCst));
    });
}

#[test]
#[cfg(target_os = "linux")]
fn a_signal_that_the_process_was_started_to_ignore_is_ignored_again() {
    let test = "a_signal_that_the_process_was_started_to_ignore_is_ignored_again";
    if std::env::var_os("BRIGADE_TEST_NOHUP").is_none() {
        let this = std::env::current_exe().unwrap();
        let status = std::process::Command::new("nohup")
            .arg(this)
            .args(["--exact", test])
            .env("BRIGADE_TEST_NOHUP", "1")
            .status();
        return assert!(status.unwrap().success());
    }
    run_on_manual_clock(async {
        let signals = Signals::new([SignalKind::Hangup]).unwrap();
        raise(SIGHUP);
        assert_eq!(signals.recv().await.unwrap(), SignalKind::Hangup);
    });
    raise(SIGHUP);
}
