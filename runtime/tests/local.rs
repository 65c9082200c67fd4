//! Channels, notifications and semaphores between tasks of one loop.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use brigade_runtime::local::{
    Notify, Semaphore, SendError, TryRecvError, TrySendError, channel, unbounded_channel,
};
use brigade_runtime::task::yield_now;
use brigade_runtime::time::{sleep, timeout};
use brigade_runtime::{gather, gather_all, run, spawn};
use futures_util::StreamExt;

use support::run_on_manual_clock;

mod support;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn values_of_several_senders_are_received_in_the_order_of_sending() {
    run_on_manual_clock(async {
        let (sender, receiver) = unbounded_channel();
        for n in 0..3 {
            let sender = sender.clone();
            spawn(async move {
                sender.send(n).await.unwrap();
                sleep(SECOND).await;
                sender.send(n + 10).await.unwrap();
            })
            .detach();
        }
        drop(sender);
        assert_eq!(receiver.collect::<Vec<_>>().await, [0, 1, 2, 10, 11, 12]);
    });
}

#[test]
fn send_waits_while_the_channel_is_full() {
    run_on_manual_clock(async {
        let (sender, mut receiver) = channel(2);
        let sent = Rc::new(Cell::new(0));
        let count = sent.clone();
        let sending = spawn(async move {
            for n in 0..5 {
                sender.send(n).await.unwrap();
                count.set(n + 1);
            }
        });
        sleep(SECOND).await;
        assert_eq!((sent.get(), receiver.len()), (2, 2));
        assert_eq!(receiver.recv().await, Some(0));
        sleep(SECOND).await;
        assert_eq!((sent.get(), receiver.len()), (3, 2));
        for n in 1..5 {
            assert_eq!(receiver.recv().await, Some(n));
        }
        sending.await.unwrap();
        assert_eq!(receiver.recv().await, None);
    });
}

#[test]
fn waiting_senders_are_served_in_order_and_not_overtaken_by_try_send() {
    run_on_manual_clock(async {
        let (sender, mut receiver) = channel(1);
        sender.try_send(0).unwrap();
        let waiting: Vec<_> = (1..4)
            .map(|n| {
                let sender = sender.clone();
                spawn(async move { sender.send(n).await })
            })
            .collect();
        yield_now().await;
        assert_eq!(sender.try_send(9), Err(TrySendError::Full(9)));
        assert_eq!(receiver.try_recv(), Ok(0));
        assert_eq!(
            sender.try_send(9),
            Err(TrySendError::Full(9)),
            "the room is promised to a sender that waits"
        );
        for n in 1..4 {
            assert_eq!(receiver.recv().await, Some(n));
        }
        gather_all(waiting).await.into_iter().for_each(|sent| sent.unwrap().unwrap());
    });
}

#[test]
fn a_dropped_send_sends_nothing_and_passes_its_room_to_the_next_sender() {
    run_on_manual_clock(async {
        let (sender, mut receiver) = channel(1);
        sender.try_send(1).unwrap();
        assert!(timeout(SECOND, sender.send(2)).await.is_err());
        let (dropped, mut next) = (Box::pin(sender.send(3)), Box::pin(sender.send(4)));
        let mut dropped = dropped;
        for send in [&mut dropped, &mut next] {
            assert!(timeout(Duration::ZERO, send.as_mut()).await.is_err());
        }
        // The room is promised to the first, which never takes it.
        assert_eq!(receiver.recv().await, Some(1));
        drop(dropped);
        next.await.unwrap();
        assert_eq!(receiver.recv().await, Some(4));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn sends_return_their_value_after_the_receiver_is_dropped() {
    run_on_manual_clock(async {
        let (sender, receiver) = channel(1);
        sender.send(1).await.unwrap();
        let waiting = spawn({
            let sender = sender.clone();
            async move { sender.send(2).await }
        });
        yield_now().await;
        drop(receiver);
        assert!(sender.is_closed());
        assert_eq!(waiting.await.unwrap(), Err(SendError(2)));
        assert_eq!(sender.send(3).await, Err(SendError(3)));
        assert_eq!(sender.try_send(4), Err(TrySendError::Closed(4)));
    });
}

#[test]
fn values_in_a_closed_channel_can_still_be_received() {
    run_on_manual_clock(async {
        let (sender, mut receiver) = channel(4);
        sender.send(1).await.unwrap();
        receiver.close();
        assert_eq!(sender.send(2).await, Err(SendError(2)));
        assert_eq!(receiver.recv().await, Some(1));
        assert_eq!(receiver.recv().await, None);
    });
}

#[test]
fn a_cancelled_recv_loses_no_value_and_recv_ends_when_the_last_sender_is_dropped() {
    run_on_manual_clock(async {
        let (sender, mut receiver) = unbounded_channel::<u8>();
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        assert!(timeout(SECOND, receiver.recv()).await.is_err());
        sender.try_send(1).unwrap();
        assert_eq!(receiver.recv().await, Some(1));
        let waiting = spawn(async move { receiver.recv().await });
        yield_now().await;
        drop(sender);
        assert_eq!(waiting.await.unwrap(), None);
    });
}

#[test]
fn a_semaphore_limits_how_many_tasks_hold_a_permit() {
    run_on_manual_clock(async {
        let semaphore = Semaphore::new(3);
        let (now, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        gather_all((0..10).map(|_| {
            let (semaphore, now, most) = (semaphore.clone(), now.clone(), most.clone());
            async move {
                let _permit = semaphore.acquire().await;
                now.update(|n| n + 1);
                most.set(most.get().max(now.get()));
                sleep(SECOND).await;
                now.update(|n| n - 1);
            }
        }))
        .await;
        assert_eq!((most.get(), semaphore.available_permits()), (3, 3));
    });
}

#[test]
fn cancelled_waits_for_a_semaphore_lose_no_permit_and_keep_the_order() {
    run_on_manual_clock(async {
        let semaphore = Semaphore::new(1);
        let held = semaphore.acquire().await;
        assert!(timeout(SECOND, semaphore.acquire()).await.is_err());
        let order = Rc::new(RefCell::new(Vec::new()));
        let waiting: Vec<_> = (0..4)
            .map(|n| {
                let (semaphore, order) = (semaphore.clone(), order.clone());
                spawn(async move {
                    let _permit = semaphore.acquire().await;
                    order.borrow_mut().push(n);
                })
            })
            .collect();
        yield_now().await;
        waiting[1].abort();
        yield_now().await;
        drop(held);
        assert!(semaphore.try_acquire().is_none(), "the permit is promised to a task that waits");
        // Cancelled after the permit was granted to it.
        waiting[0].abort();
        gather_all(waiting).await;
        assert_eq!(*order.borrow(), [2, 3]);
        assert_eq!(semaphore.available_permits(), 1);
    });
}

#[test]
fn notify_one_wakes_one_task_and_is_stored_if_none_waits() {
    run_on_manual_clock(async {
        let notify = Notify::new();
        notify.notify_one();
        notify.notify_one();
        notify.notified().await;
        assert!(
            timeout(SECOND, notify.notified()).await.is_err(),
            "two notifications are stored as one"
        );
        let waiters = [notify.clone(), notify.clone()]
            .map(|notify| spawn(async move { notify.notified().await }));
        yield_now().await;
        notify.notify_one();
        yield_now().await;
        let [first, second] = waiters;
        assert!(first.is_finished() && !second.is_finished());
        notify.notify_one();
        gather((first, second)).await.1.unwrap();
    });
}

#[test]
fn notify_waiters_wakes_all_waiting_tasks_and_stores_nothing() {
    run_on_manual_clock(async {
        let notify = Notify::new();
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let notify = notify.clone();
                spawn(async move { notify.notified().await })
            })
            .collect();
        yield_now().await;
        notify.notify_waiters();
        gather_all(waiters).await;
        assert!(timeout(SECOND, notify.notified()).await.is_err());
    });
}

#[test]
fn a_notification_granted_to_a_cancelled_task_goes_to_the_next_one() {
    run_on_manual_clock(async {
        let notify = Notify::new();
        let [first, second] = [notify.clone(), notify.clone()]
            .map(|notify| spawn(async move { notify.notified().await }));
        yield_now().await;
        notify.notify_one();
        first.abort();
        second.await.unwrap();
        assert!(first.await.unwrap_err().is_cancelled());
    });
}

/// Spawns tasks that wait, aborts them in an order that is bad for a list, and awaits them.
async fn abort_many<F: Future + 'static>(wait: impl Fn() -> F) {
    const TASKS: usize = 50_000;
    let waiting: Vec<_> = (0..TASKS).map(|_| spawn(wait())).collect();
    yield_now().await;
    let began = std::time::Instant::now();
    waiting.iter().rev().for_each(brigade_runtime::JoinHandle::abort);
    for task in waiting {
        assert!(task.await.is_err());
    }
    assert!(began.elapsed() < Duration::from_secs(20), "took {:?}", began.elapsed());
}

#[test]
fn fifty_thousand_waits_for_a_permit_can_be_aborted() {
    run(async {
        let semaphore = Semaphore::new(0);
        abort_many(|| {
            let semaphore = semaphore.clone();
            async move { semaphore.acquire().await }
        })
        .await;
        let notify = Notify::new();
        abort_many(|| {
            let notify = notify.clone();
            async move { notify.notified().await }
        })
        .await;
        let (sender, _receiver) = channel(1);
        sender.send(()).await.unwrap();
        abort_many(|| {
            let sender = sender.clone();
            async move { sender.send(()).await }
        })
        .await;
    });
}
