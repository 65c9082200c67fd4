//! Signals of the process. These tests have a file of their own, because a signal reaches every
//! listener of the test process.

use std::time::Duration;

use brigade_runtime::gather;
use brigade_runtime::signal::{SignalKind, Signals};
use brigade_runtime::task::yield_now;
use brigade_runtime::time::timeout;

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
        raise(signal_hook::consts::SIGUSR2);
        let (one, two) = gather((both.recv(), second.recv())).await;
        assert_eq!(one.unwrap(), SignalKind::UserDefined2);
        assert_eq!(two.unwrap(), SignalKind::UserDefined2);
        raise(signal_hook::consts::SIGUSR1);
        assert_eq!(both.recv().await.unwrap(), SignalKind::UserDefined1);
        assert!(timeout(SECOND, second.recv()).await.is_err());
    });
}

#[test]
fn signals_that_arrive_before_recv_are_received_as_one() {
    run_on_manual_clock(async {
        let signals = Signals::new([SignalKind::Hangup]).unwrap();
        for _ in 0..3 {
            raise(signal_hook::consts::SIGHUP);
        }
        yield_now().await;
        assert_eq!(signals.recv().await.unwrap(), SignalKind::Hangup);
        assert!(timeout(SECOND, signals.recv()).await.is_err());
    });
}
