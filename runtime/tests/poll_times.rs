//! The histogram of poll times in a snapshot.

use std::time::Duration;

use brigade_runtime::task::yield_now;
use brigade_runtime::{EventLoop, PollTimes};

#[test]
fn one_poll_in_64_is_timed() {
    let mut event_loop = EventLoop::builder().debug(false).build().unwrap();
    event_loop.run_until_complete(async {
        for _ in 0..64_000 {
            yield_now().await;
        }
    });
    let snapshot = event_loop.handle().snapshot();
    assert_eq!(snapshot.polls, 64_001);
    let timed = snapshot.poll_times.count();
    assert!((990..=1_010).contains(&timed), "{timed} polls were timed");
    assert!(snapshot.poll_times.sum > Duration::ZERO);
}

#[test]
fn in_debug_mode_every_poll_is_timed_and_counted_in_its_bucket() {
    let mut event_loop = EventLoop::builder().debug(true).build().unwrap();
    let handle = event_loop.handle();
    let slow = Duration::from_millis(5);
    event_loop.run_until_complete(async move {
        for _ in 0..9 {
            yield_now().await;
        }
        std::thread::sleep(slow);
    });
    drop(event_loop);
    let snapshot = handle.snapshot();
    assert_eq!((snapshot.polls, snapshot.poll_times.count()), (10, 10));
    assert!(snapshot.poll_times.sum >= slow);
    let first_slow = PollTimes::BOUNDS.iter().position(|bound| *bound >= slow).unwrap();
    assert!(snapshot.poll_times.counts[first_slow..].iter().sum::<u64>() >= 1);
}
