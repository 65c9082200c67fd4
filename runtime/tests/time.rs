//! Sleeps, timeouts and intervals, most of them on a manual clock.

use std::cell::{Cell, RefCell};
use std::future::{pending, ready};
use std::io::Write;
use std::rc::Rc;
use std::time::{Duration, Instant};

use brigade_runtime::net::UnixStream;
use brigade_runtime::oneshot::sync_channel;
use brigade_runtime::task::yield_now;
use brigade_runtime::time::{
    MissedTickBehavior, interval, interval_at, now, ready_since, sleep, sleep_until, timeout,
    timeout_at,
};
use brigade_runtime::{EventLoop, gather, run, spawn, spawn_blocking};

use support::run_on_manual_clock;

mod support;

const SECOND: Duration = Duration::from_secs(1);

/// Blocks the thread, and with it its loop, like a task that computes for `duration`.
fn block_thread(duration: Duration) {
    let began = Instant::now();
    while began.elapsed() < duration {
        std::hint::spin_loop();
    }
}

#[test]
fn a_manual_clock_jumps_to_the_next_deadline() {
    let began = Instant::now();
    run_on_manual_clock(async {
        let before = now();
        sleep(Duration::from_secs(3600)).await;
        assert_eq!(now() - before, Duration::from_secs(3600));
    });
    assert!(began.elapsed() < Duration::from_secs(600));
}

#[test]
fn a_manual_clock_stands_still_while_a_task_is_ready() {
    run_on_manual_clock(async {
        let before = now();
        let sleeper = spawn(sleep(SECOND));
        for _ in 0..100 {
            yield_now().await;
        }
        assert_eq!(now(), before);
        assert!(!sleeper.is_finished());
        sleeper.await.unwrap();
        assert_eq!(now() - before, SECOND);
    });
}

#[test]
fn a_manual_clock_does_not_jump_while_blocking_work_runs_that_no_task_awaits() {
    run_on_manual_clock(async {
        let before = now();
        let (release, gate) = std::sync::mpsc::channel::<()>();
        let work = spawn_blocking(move || gate.recv().is_ok());
        let sleeper = spawn(sleep(SECOND));
        release.send(()).unwrap();
        sleeper.await.unwrap();
        assert!(work.await.unwrap());
        assert_eq!(now() - before, SECOND);
        assert_eq!(spawn_blocking(|| 7).await.unwrap(), 7);
        assert_eq!(now() - before, SECOND, "the clock jumped while the work ran");
    });
}

#[test]
fn sleeps_end_in_the_order_of_their_deadlines() {
    run_on_manual_clock(async {
        let order = Rc::new(RefCell::new(Vec::new()));
        let tasks = [3, 1, 2].map(|secs| {
            let order = order.clone();
            spawn(async move {
                sleep(secs * SECOND).await;
                order.borrow_mut().push(secs);
            })
        });
        let _ = gather(tasks).await;
        assert_eq!(*order.borrow(), [1, 2, 3]);
    });
}

#[test]
fn a_sleep_of_zero_or_until_the_past_lets_other_tasks_run_once() {
    run_on_manual_clock(async {
        let ran = Rc::new(Cell::new(0));
        for expected in 1..=2 {
            let count = ran.clone();
            spawn(async move { count.update(|n| n + 1) }).detach();
            if expected == 1 {
                sleep(Duration::ZERO).await;
            } else {
                sleep_until(now()).await;
            }
            assert_eq!(ran.get(), expected);
        }
    });
}

#[test]
fn a_reset_sleep_waits_for_its_new_deadline() {
    run_on_manual_clock(async {
        let began = now();
        let mut nap = Box::pin(sleep(10 * SECOND));
        assert!(timeout(SECOND, nap.as_mut()).await.is_err());
        nap.reset(began + 3 * SECOND);
        assert_eq!((nap.deadline(), nap.is_elapsed()), (began + 3 * SECOND, false));
        nap.as_mut().await;
        assert_eq!(now() - began, 3 * SECOND);
        assert!(nap.is_elapsed());
    });
}

#[test]
fn a_dropped_sleep_leaves_no_timer() {
    let mut event_loop = EventLoop::builder().manual_clock(true).build().unwrap();
    event_loop.run_until_complete(async {
        for _ in 0..100 {
            assert!(timeout(SECOND, sleep(3600 * SECOND)).await.is_err());
        }
        assert_eq!(timeout(3600 * SECOND, ready(1)).await, Ok(1));
    });
    assert!(format!("{event_loop:?}").contains("timers: 0"), "{event_loop:?}");
}

#[test]
fn a_sleep_after_a_pause_between_two_runs_does_not_end_early() {
    let mut event_loop = EventLoop::new().unwrap();
    block_thread(Duration::from_millis(30));
    let began = Instant::now();
    event_loop.run_until_complete(async { sleep(Duration::from_millis(20)).await });
    assert!(began.elapsed() >= Duration::from_millis(20), "{:?}", began.elapsed());
}

#[test]
fn the_clock_advances_in_a_busy_loop_without_timers() {
    run(async {
        let (began, before) = (Instant::now(), now());
        while began.elapsed() < Duration::from_millis(20) {
            yield_now().await;
        }
        // One more turn, which begins after that time.
        yield_now().await;
        assert!(now() - before >= Duration::from_millis(20), "{:?}", now() - before);
    });
}

#[test]
fn a_timeout_returns_the_output_or_elapses() {
    run_on_manual_clock(async {
        assert_eq!(timeout(SECOND, async { 5 }).await, Ok(5));
        let began = now();
        let error = timeout(SECOND, pending::<()>()).await.unwrap_err();
        assert_eq!(now() - began, SECOND);
        assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::TimedOut);
        assert!(timeout_at(began + 5 * SECOND, pending::<()>()).await.is_err());
        assert_eq!(now() - began, 5 * SECOND);
    });
}

#[test]
fn a_future_that_is_ready_at_the_deadline_wins_over_the_timeout() {
    run_on_manual_clock(async {
        assert_eq!(timeout(SECOND, sleep(SECOND)).await, Ok(()));
    });
}

#[test]
fn the_shorter_of_two_nested_timeouts_elapses() {
    run_on_manual_clock(async {
        let inner = timeout(SECOND, pending::<()>());
        assert!(timeout(2 * SECOND, inner).await.unwrap().is_err());
        let inner = timeout(2 * SECOND, pending::<()>());
        assert!(timeout(SECOND, inner).await.is_err());
    });
}

#[test]
fn the_longest_durations_neither_overflow_nor_elapse() {
    run_on_manual_clock(async {
        assert!(timeout(SECOND, sleep(Duration::MAX)).await.is_err());
        let mut ticks = interval(Duration::MAX);
        ticks.tick().await;
        assert!(timeout(SECOND, ticks.tick()).await.is_err());
    });
}

#[test]
fn an_interval_ticks_at_once_and_then_every_period() {
    run_on_manual_clock(async {
        let began = now();
        let mut ticks = interval(2 * SECOND);
        let mut seen = Vec::new();
        for _ in 0..4 {
            let tick = ticks.tick().await;
            assert_eq!(tick, now());
            seen.push((tick - began).as_secs());
        }
        assert_eq!(seen, [0, 2, 4, 6]);
        assert_eq!(interval_at(began + 9 * SECOND, SECOND).tick().await - began, 9 * SECOND);
    });
}

/// Calls `tick` four times, the first time 2.5 periods too late. Returns each tick and the time at
/// which it was returned, in milliseconds.
async fn late_ticks(behavior: MissedTickBehavior) -> Vec<(u64, u64)> {
    let began = now();
    let mut ticks = interval(SECOND);
    ticks.set_missed_tick_behavior(behavior);
    assert_eq!(ticks.missed_tick_behavior(), behavior);
    ticks.tick().await;
    sleep(Duration::from_millis(3500)).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        let tick = ticks.tick().await;
        seen.push(((tick - began).as_millis() as u64, (now() - began).as_millis() as u64));
    }
    seen
}

#[test]
fn missed_ticks_are_skipped_or_ticked_in_a_burst_or_delay_the_next() {
    run_on_manual_clock(async {
        let skip = [(1000, 3500), (4000, 4000), (5000, 5000), (6000, 6000)];
        assert_eq!(late_ticks(MissedTickBehavior::Skip).await, skip);
        let burst = [(1000, 3500), (2000, 3500), (3000, 3500), (4000, 4000)];
        assert_eq!(late_ticks(MissedTickBehavior::Burst).await, burst);
        let delay = [(1000, 3500), (4500, 4500), (5500, 5500), (6500, 6500)];
        assert_eq!(late_ticks(MissedTickBehavior::Delay).await, delay);
    });
}

#[test]
fn a_cancelled_tick_is_returned_by_the_next_call() {
    run_on_manual_clock(async {
        let began = now();
        let mut ticks = interval(2 * SECOND);
        ticks.tick().await;
        assert!(timeout(SECOND, ticks.tick()).await.is_err());
        assert_eq!(ticks.tick().await - began, 2 * SECOND);
    });
}

#[test]
#[should_panic(expected = "longer than zero")]
fn an_interval_with_a_period_of_zero_panics() {
    run(async { interval(Duration::ZERO) });
}

/// Reads `count` bytes one by one. Returns [`ready_since`] after each of them.
async fn ready_since_of_bytes(stream: UnixStream, count: usize) -> Vec<Instant> {
    let mut since = Vec::new();
    for _ in 0..count {
        stream.read_exact(&mut [0]).await.unwrap();
        since.push(ready_since());
    }
    since
}

#[test]
fn bytes_that_arrive_while_the_thread_is_blocked_count_from_before_the_block() {
    run(async {
        let (mut client, stream) = std::os::unix::net::UnixStream::pair().unwrap();
        let reader = spawn(ready_since_of_bytes(UnixStream::from_std(stream).unwrap(), 1));
        sleep(Duration::from_millis(1)).await;
        let blocked = Instant::now();
        client.write_all(&[1]).unwrap();
        block_thread(Duration::from_millis(20));
        let since = reader.await.unwrap();
        assert!(since[0] <= blocked, "{:?} too late", since[0] - blocked);
    });
}

#[test]
fn a_task_woken_from_a_thread_while_its_loop_is_blocked_counts_from_before_the_block() {
    run(async {
        let (sender, receiver) = sync_channel();
        let woken = spawn(async move {
            receiver.await.unwrap();
            ready_since()
        });
        sleep(Duration::from_millis(1)).await;
        let blocked = Instant::now();
        std::thread::spawn(move || sender.send(()).unwrap()).join().unwrap();
        block_thread(Duration::from_millis(20));
        let since = woken.await.unwrap();
        assert!(since <= blocked, "{:?} too late", since - blocked);
    });
}

#[test]
fn bytes_that_arrive_while_the_loop_waits_count_from_their_arrival() {
    run(async {
        let (mut client, stream) = std::os::unix::net::UnixStream::pair().unwrap();
        let reader = spawn(ready_since_of_bytes(UnixStream::from_std(stream).unwrap(), 2));
        client.write_all(&[1]).unwrap();
        block_thread(Duration::from_millis(20));
        let blocked = Instant::now();
        yield_now().await;
        // The loop waits here, so that the blocked time is before its last wait.
        sleep(Duration::from_millis(1)).await;
        assert!(ready_since() >= blocked);
        let sender = std::thread::spawn(move || client.write_all(&[2]).unwrap());
        let since = reader.await.unwrap();
        assert!(since[1] >= blocked, "{:?} too early", blocked - since[1]);
        sender.join().unwrap();
    });
}

/// Blocks the loop, then awaits bytes that a thread sends once the loop waits. Returns `true` if
/// they count from after the block.
fn bytes_after_a_block_count_from_after_it() -> bool {
    let mut event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    event_loop.run_until_complete(async move {
        let (mut client, stream) = std::os::unix::net::UnixStream::pair().unwrap();
        let stream = UnixStream::from_std(stream).unwrap();
        sleep(Duration::from_millis(1)).await;
        block_thread(Duration::from_millis(200));
        let unblocked = Instant::now();
        let sender = std::thread::spawn(move || {
            while handle.snapshot().is_awake {
                std::thread::yield_now();
            }
            block_thread(Duration::from_millis(1));
            client.write_all(&[1]).unwrap();
        });
        let since = ready_since_of_bytes(stream, 1).await;
        sender.join().unwrap();
        since[0] >= unblocked
    })
}

#[test]
fn bytes_that_arrive_soon_after_a_block_count_from_their_arrival() {
    // Bytes that arrive between the block and the wait cannot be told from earlier ones.
    assert!((0..5).any(|_| bytes_after_a_block_count_from_after_it()));
}

#[test]
fn ready_since_is_the_current_time_outside_of_a_loop() {
    let before = Instant::now();
    assert!(ready_since() >= before);
}

#[test]
fn an_interval_that_starts_before_the_loop_was_made_keeps_its_phase() {
    let before = std::time::Instant::now();
    run_on_manual_clock(async move {
        let period = Duration::from_secs(7);
        let start = before.checked_sub(Duration::from_secs(100)).unwrap_or(before);
        let in_phase =
            |tick: std::time::Instant| (tick - start).as_nanos().is_multiple_of(period.as_nanos());
        let mut skip = interval_at(start, period);
        assert_eq!(skip.tick().await, start);
        let next = skip.tick().await;
        assert!(in_phase(next) && next > now() - period, "{:?}", next - start);
        assert_eq!(skip.tick().await - next, period);
        let mut burst = interval_at(start, period);
        burst.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for n in 0..20 {
            assert_eq!(burst.tick().await, start + period * n);
        }
    });
}

#[test]
fn intervals_of_extreme_lengths_do_not_overflow() {
    run_on_manual_clock(async {
        let years = Duration::from_secs(60 * 60 * 24 * 365);
        for behavior in
            [MissedTickBehavior::Skip, MissedTickBehavior::Burst, MissedTickBehavior::Delay]
        {
            let mut long = interval(Duration::MAX);
            long.set_missed_tick_behavior(behavior);
            let first = long.tick().await;
            assert!(timeout(years * 20, long.tick()).await.is_err());
            assert!(now() - first >= years * 20);
        }
        let mut short = interval(Duration::from_nanos(1));
        let first = short.tick().await;
        assert_eq!(short.tick().await - first, Duration::from_nanos(1));
        // As far in the past as an instant can be, if the system can represent it.
        let past = (0..62).rev().find_map(|n| now().checked_sub(Duration::from_secs(1 << n)));
        let mut past = interval_at(past.unwrap(), Duration::MAX);
        past.tick().await;
        assert!(timeout(years, past.tick()).await.is_err());
    });
}
