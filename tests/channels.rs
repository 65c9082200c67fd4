//! The channel between loops that docs/channels.md recommends.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::time::Duration;

use async_channel::{Sender, TrySendError, bounded, unbounded};
use brigade::task::{self, yield_now};
use brigade::time::timeout;
use brigade::{EventLoopGroup, LoopHandle, run, run_in_thread, select, spawn};

/// More values than a channel holds, and than a task receives in one poll.
const VALUES: u32 = 1000;

async fn send_all(sender: Sender<(usize, u32)>, index: usize) {
    for value in 0..VALUES {
        sender.send((index, value)).await.unwrap();
        task::consume_budget().await;
    }
}

#[test]
fn every_value_of_several_loops_arrives_once_and_in_the_order_of_its_sender() {
    let (sender, receiver) = bounded(4);
    let builder = EventLoopGroup::builder().loops(3).pin(false);
    let group = builder.start(vec![sender; 3], |index, sender| send_all(sender, index)).unwrap();
    let received = run(async move {
        let mut received = vec![Vec::new(); 3];
        while let Ok((index, value)) = receiver.recv().await {
            received[index].push(value);
            task::consume_budget().await;
        }
        received
    });
    for values in received {
        assert!(values.into_iter().eq(0..VALUES));
    }
    assert!(group.join().iter().all(Result::is_ok));
}

#[test]
fn several_loops_share_the_values_of_one_channel() {
    let (sender, receiver) = bounded(4);
    let builder = EventLoopGroup::builder().loops(2).pin(false);
    let group = builder.start(vec![receiver; 2], |_, receiver| async move {
        let mut received = Vec::new();
        while let Ok((_, value)) = receiver.recv().await {
            received.push(value);
            task::consume_budget().await;
        }
        received
    });
    run(send_all(sender, 0));
    let outputs = group.unwrap().join();
    let received: Vec<_> = outputs.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(received.len(), VALUES as usize);
    assert_eq!(received.into_iter().collect::<BTreeSet<_>>(), (0..VALUES).collect());
}

#[test]
fn a_sender_waits_while_the_channel_is_full_and_a_dropped_send_sends_nothing() {
    run(async {
        let (sender, receiver) = bounded(1);
        sender.send("first").await.unwrap();
        assert_eq!(sender.try_send("full"), Err(TrySendError::Full("full")));
        select! {
            _ = sender.send("dropped") => unreachable!("the channel is full"),
            () = yield_now() => {}
        }
        let waiting = spawn({
            let sender = sender.clone();
            async move { sender.send("second").await }
        });
        let first = run_in_thread("receiver", move || async move {
            (receiver.recv().await, receiver.recv().await)
        });
        assert_eq!(first.unwrap().await.unwrap(), (Ok("first"), Ok("second")));
        waiting.await.unwrap().unwrap();
        assert_eq!(sender.try_send("late"), Err(TrySendError::Closed("late")));
    });
}

#[test]
fn a_receiver_that_waits_is_woken_by_another_thread_and_by_the_end_of_a_loop() {
    let (sender, receiver) = unbounded();
    let thread = run_in_thread("sender", move || async move {
        sender.send(LoopHandle::current().name().to_owned()).await.unwrap();
        // Keeps the sender until the loop is stopped.
        std::future::pending::<()>().await;
    });
    let thread = thread.unwrap();
    run(async move {
        assert_eq!(receiver.recv().await.unwrap(), "sender");
        thread.loop_handle().stop();
        assert!(receiver.recv().await.is_err());
        assert!(thread.await.unwrap_err().is_loop_ended());
    });
}

#[test]
fn a_loop_over_a_channel_that_is_never_empty_lets_others_run_if_it_consumes_budget() {
    run(async {
        let (sender, receiver) = unbounded();
        sender.try_send(()).unwrap();
        let endless = async {
            while let Ok(value) = receiver.recv().await {
                sender.try_send(value).unwrap();
                task::consume_budget().await;
            }
        };
        assert!(timeout(Duration::from_millis(5), endless).await.is_err());
    });
}
