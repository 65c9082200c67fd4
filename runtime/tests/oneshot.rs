//! Futures that are completed by hand.

use std::time::Duration;

use brigade_runtime::oneshot::{self, Cancelled, channel, sync_channel};
use brigade_runtime::task::yield_now;
use brigade_runtime::time::timeout;
use brigade_runtime::{run, run_in_thread, spawn};

use support::run_on_manual_clock;

mod support;

#[test]
fn a_value_reaches_the_task_that_waits() {
    run(async {
        let (sender, receiver) = channel();
        let waiting = spawn(receiver);
        yield_now().await;
        sender.send(7).unwrap();
        assert_eq!(waiting.await.unwrap(), Ok(7));
    });
}

#[test]
fn a_value_sent_before_the_wait_is_there_at_once() {
    run(async {
        let (sender, mut receiver) = channel();
        assert_eq!(receiver.try_recv(), Ok(None));
        sender.send("early").unwrap();
        assert_eq!(receiver.try_recv(), Ok(Some("early")));
        assert_eq!(receiver.try_recv(), Err(Cancelled));
    });
}

#[test]
fn a_result_carries_an_error_like_set_exception() {
    run(async {
        let (sender, receiver) = channel::<Result<u8, &str>>();
        sender.send(Err("no such dish")).unwrap();
        assert_eq!(receiver.await.unwrap(), Err("no such dish"));
    });
}

#[test]
fn dropping_the_sender_cancels_the_receiver() {
    run(async {
        let (sender, receiver) = channel::<()>();
        let waiting = spawn(receiver);
        yield_now().await;
        drop(sender);
        assert_eq!(waiting.await.unwrap(), Err(Cancelled));
    });
}

#[test]
fn dropping_the_receiver_gives_the_value_back_and_tells_the_sender() {
    run(async {
        let (sender, receiver) = channel();
        let watching = spawn(async move {
            sender.closed().await;
            assert!(sender.is_closed());
            sender.send(1)
        });
        yield_now().await;
        drop(receiver);
        assert_eq!(watching.await.unwrap(), Err(1));
    });
}

#[test]
fn waiting_is_cancellation_safe() {
    run_on_manual_clock(async {
        let (sender, mut receiver) = channel();
        assert!(timeout(Duration::from_secs(1), &mut receiver).await.is_err());
        sender.send(3).unwrap();
        assert_eq!(receiver.await, Ok(3));
    });
}

#[test]
fn another_thread_may_complete_it() {
    run(async {
        let (sender, receiver) = sync_channel();
        let thread = std::thread::spawn(move || sender.send("from afar").unwrap());
        assert_eq!(receiver.await, Ok("from afar"));
        thread.join().unwrap();

        let (sender, receiver) = sync_channel::<()>();
        std::thread::spawn(move || drop(sender)).join().unwrap();
        assert_eq!(receiver.await, Err(Cancelled));
    });
}

#[test]
fn a_thread_learns_that_the_receiver_is_gone() {
    run(async {
        let (sender, receiver) = sync_channel::<u8>();
        let watching = run_in_thread("watching", move || async move {
            sender.closed().await;
            sender.send(1)
        });
        drop(receiver);
        assert_eq!(watching.unwrap().await.unwrap(), Err(1));
    });
}

#[test]
fn a_receiver_may_move_between_futures_and_wakes_the_last_one_that_polled() {
    run(async {
        let (sender, receiver) = oneshot::channel();
        let mut receiver = Box::pin(receiver);
        let mut nobody = std::task::Context::from_waker(std::task::Waker::noop());
        let first = receiver.as_mut().poll(&mut nobody);
        assert!(first.is_pending());
        let second = spawn(receiver);
        yield_now().await;
        sender.send(()).unwrap();
        assert_eq!(second.await.unwrap(), Ok(()));
    });
}
