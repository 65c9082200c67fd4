//! Signals of the process. In a file of its own: a signal reaches the whole test process.

use std::time::Duration;

use brigade_runtime::signal::{SignalKind, Signals};
use brigade_runtime::task::yield_now;
use brigade_runtime::{gather, run, time};

fn raise(signal: i32) {
    signal_hook::low_level::raise(signal).unwrap();
}

#[test]
fn a_signal_reaches_every_listener_of_its_kind_and_only_those() {
    run(async {
        let both = Signals::new([SignalKind::User1, SignalKind::User2]).unwrap();
        let second = Signals::new([SignalKind::User2]).unwrap();
        raise(signal_hook::consts::SIGUSR2);
        let (one, two) = gather((both.recv(), second.recv())).await;
        assert_eq!((one.unwrap(), two.unwrap()), (SignalKind::User2, SignalKind::User2));
        raise(signal_hook::consts::SIGUSR1);
        assert_eq!(both.recv().await.unwrap(), SignalKind::User1);
        let nothing = time::timeout(Duration::from_millis(5), second.recv());
        assert!(nothing.await.is_err());
    });
}

#[test]
fn signals_that_come_before_the_wait_are_received_as_one() {
    run(async {
        let signals = Signals::new([SignalKind::Hangup]).unwrap();
        for _ in 0..3 {
            raise(signal_hook::consts::SIGHUP);
        }
        yield_now().await;
        assert_eq!(signals.recv().await.unwrap(), SignalKind::Hangup);
        let nothing = time::timeout(Duration::from_millis(5), signals.recv());
        assert!(nothing.await.is_err());
    });
}
