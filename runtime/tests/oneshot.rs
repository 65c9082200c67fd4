//! Oneshot channels, within a loop and between threads.

use std::rc::Rc;
use std::time::Duration;

use brigade_runtime::oneshot::{self, Cancelled, channel, sync_channel};
use brigade_runtime::task::yield_now;
use brigade_runtime::time::timeout;
use brigade_runtime::{gather, run, run_in_thread, spawn};

use support::{assert_polled_after_completion, run_on_manual_clock};

mod support;

#[test]
fn sending_wakes_the_task_that_awaits_the_receiver() {
    run(async {
        let (sender, receiver) = channel();
        let waiting = spawn(receiver);
        yield_now().await;
        sender.send(7).unwrap();
        assert_eq!(waiting.await.unwrap(), Ok(7));
    });
}

#[test]
fn try_recv_returns_the_value_once() {
    run(async {
        let (sender, mut receiver) = channel();
        assert_eq!(receiver.try_recv(), Ok(None));
        sender.send("early").unwrap();
        assert_eq!(receiver.try_recv(), Ok(Some("early")));
        assert_eq!(receiver.try_recv(), Err(Cancelled));
    });
}

#[test]
fn a_result_can_be_sent_to_report_an_error() {
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
fn dropping_the_receiver_wakes_the_sender_and_makes_send_return_the_value() {
    run(async {
        let (sender, receiver) = channel();
        let waiting = spawn(async move {
            sender.closed().await;
            assert!(sender.is_closed());
            sender.send(1)
        });
        yield_now().await;
        drop(receiver);
        assert_eq!(waiting.await.unwrap(), Err(1));
    });
}

#[test]
fn a_cancelled_wait_for_the_receiver_loses_no_value() {
    run_on_manual_clock(async {
        let (sender, mut receiver) = channel();
        assert!(timeout(Duration::from_secs(1), &mut receiver).await.is_err());
        sender.send(3).unwrap();
        assert_eq!(receiver.await, Ok(3));
    });
}

#[test]
fn another_thread_can_send_or_drop_the_sender() {
    run(async {
        let (sender, receiver) = sync_channel();
        let thread = std::thread::spawn(move || sender.send("from a thread").unwrap());
        assert_eq!(receiver.await, Ok("from a thread"));
        thread.join().unwrap();

        let (sender, receiver) = sync_channel::<()>();
        std::thread::spawn(move || drop(sender)).join().unwrap();
        assert_eq!(receiver.await, Err(Cancelled));
    });
}

#[test]
fn dropping_the_receiver_wakes_a_sender_on_another_loop() {
    run(async {
        let (sender, receiver) = sync_channel::<u8>();
        let waiting = run_in_thread("waiting", move || async move {
            sender.closed().await;
            sender.send(1)
        });
        drop(receiver);
        assert_eq!(waiting.unwrap().await.unwrap(), Err(1));
    });
}

#[test]
fn sending_wakes_the_task_that_polled_the_receiver_last() {
    run(async {
        let (sender, receiver) = oneshot::channel();
        let mut receiver = Box::pin(receiver);
        let mut noop = std::task::Context::from_waker(std::task::Waker::noop());
        let first = receiver.as_mut().poll(&mut noop);
        assert!(first.is_pending());
        let second = spawn(receiver);
        yield_now().await;
        sender.send(()).unwrap();
        assert_eq!(second.await.unwrap(), Ok(()));
    });
}

#[test]
fn all_tasks_that_wait_for_the_end_of_a_receiver_are_woken() {
    run(async {
        let (sender, receiver) = channel::<u8>();
        let sender = Rc::new(sender);
        let wait = |sender: &Rc<oneshot::Sender<u8>>| {
            let sender = sender.clone();
            spawn(async move { sender.closed().await })
        };
        let waiting: Vec<_> = (0..3).map(|_| wait(&sender)).collect();
        yield_now().await;
        // One that does not wait any more is left out.
        waiting[1].abort();
        yield_now().await;
        drop(receiver);
        let ended: Vec<_> = gather(waiting).await.iter().map(Result::is_ok).collect();
        assert_eq!(ended, [true, false, true]);
        sender.closed().await;
    });
}

#[test]
fn all_waits_for_the_end_of_a_receiver_on_another_thread_are_woken() {
    run(async {
        let (sender, receiver) = sync_channel::<u8>();
        let (waits, are_waiting) = std::sync::mpsc::channel();
        let waiting = run_in_thread("waiting", move || async move {
            let wait = async || {
                let mut wait = std::pin::pin!(sender.closed());
                assert!(futures_util::poll!(wait.as_mut()).is_pending());
                waits.send(()).unwrap();
                wait.await;
            };
            gather([wait(), wait()]).await;
        });
        for _ in 0..2 {
            are_waiting.recv().unwrap();
        }
        drop(receiver);
        waiting.unwrap().await.unwrap();
    });
}

#[test]
fn a_receiver_that_is_polled_after_completion_panics() {
    run(async {
        let (sender, mut receiver) = channel();
        sender.send(1).unwrap();
        assert_eq!((&mut receiver).await, Ok(1));
        assert_polled_after_completion(receiver).await;
        let (sender, mut receiver) = sync_channel::<u8>();
        drop(sender);
        assert_eq!((&mut receiver).await, Err(Cancelled));
        assert_polled_after_completion(receiver).await;
        let (sender, mut receiver) = channel();
        sender.send(1).unwrap();
        assert_eq!(receiver.try_recv(), Ok(Some(1)));
        assert_polled_after_completion(receiver).await;
    });
}
