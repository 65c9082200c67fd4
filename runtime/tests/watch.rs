//! The value that tasks watch.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use brigade_runtime::local::watch::{RecvError, SendError, Sender, channel};
use brigade_runtime::task::yield_now;
use brigade_runtime::{gather, run, spawn};
use futures_util::FutureExt;

#[test]
fn every_receiver_sees_the_newest_value() {
    run(async {
        let (sender, mut first) = channel(0);
        let mut second = first.clone();
        assert!(first.changed().now_or_never().is_none(), "the first value counts as seen");
        sender.send(1).unwrap();
        sender.send(2).unwrap();
        assert_eq!(*first.borrow(), 2);
        assert_eq!(first.has_changed(), Ok(true), "only borrowed");
        assert_eq!(first.changed().await, Ok(()));
        assert_eq!(first.has_changed(), Ok(false));
        assert_eq!(*second.borrow_and_update(), 2);
        assert_eq!(second.has_changed(), Ok(false));
        let mut late = sender.subscribe();
        assert!(late.changed().now_or_never().is_none());
        assert_eq!((*late.borrow(), *sender.borrow(), sender.receiver_count()), (2, 2, 3));
    });
}

#[test]
fn all_receivers_that_wait_are_woken_by_a_change_and_by_the_end() {
    run(async {
        let (sender, first) = channel("old");
        let receivers = [first.clone(), first];
        let receiving = receivers.map(|mut receiver| {
            spawn(async move {
                let changed = receiver.changed().await;
                let seen = *receiver.borrow();
                (changed, seen, receiver.changed().await, receiver.has_changed())
            })
        });
        yield_now().await;
        sender.send("new").unwrap();
        yield_now().await;
        let clone = sender.clone();
        drop(sender);
        drop(clone);
        for outcome in gather(receiving).await {
            assert_eq!(outcome.unwrap(), (Ok(()), "new", Err(RecvError), Err(RecvError)));
        }
    });
}

#[test]
fn a_change_before_the_end_is_still_seen() {
    run(async {
        let (sender, mut receiver) = channel(0);
        sender.send(1).unwrap();
        drop(sender);
        assert_eq!(receiver.changed().await, Ok(()));
        assert_eq!(*receiver.borrow(), 1);
        assert_eq!(receiver.changed().await, Err(RecvError));
    });
}

#[test]
fn wait_for_checks_the_value_and_each_change() {
    run(async {
        let (sender, mut receiver) = channel(1);
        assert_eq!(receiver.wait_for(|n| *n == 1).await.map(|n| *n), Ok(1));
        let mut checked = Vec::new();
        let waiting = spawn(async move {
            let found = receiver.wait_for(|n| {
                checked.push(*n);
                *n > 3
            });
            let found = found.await.map(|n| *n);
            assert!(receiver.changed().now_or_never().is_none_or(|changed| changed.is_err()));
            (found, checked, receiver)
        });
        for n in 2..=4 {
            yield_now().await;
            sender.send(n).unwrap();
        }
        let (found, checked, mut receiver) = waiting.await.unwrap();
        assert_eq!((found, checked), (Ok(4), vec![1, 2, 3, 4]));
        drop(sender);
        assert_eq!(receiver.wait_for(|n| *n == 4).await.map(|n| *n), Ok(4));
        assert_eq!(receiver.wait_for(|n| *n == 5).await.map(|n| *n), Err(RecvError));
    });
}

#[test]
fn a_value_can_be_replaced_or_changed_in_place() {
    let (sender, receiver) = channel(vec![1]);
    assert_eq!(sender.send_replace(vec![2]), [1]);
    sender.send_modify(|value| value.push(3));
    assert_eq!(*receiver.borrow(), [2, 3]);
    let mut receiver = receiver;
    receiver.borrow_and_update();
    assert!(!sender.send_if_modified(|_| false));
    assert_eq!(receiver.has_changed(), Ok(false));
    assert!(sender.send_if_modified(|value| value.pop().is_some()));
    assert_eq!((receiver.has_changed(), &*receiver.borrow()), (Ok(true), &vec![2]));
}

#[test]
fn sending_without_a_receiver_returns_the_value() {
    let sender = Sender::new("kept");
    assert_eq!(sender.send("lost"), Err(SendError("lost")));
    assert_eq!(*sender.borrow(), "kept");
    assert_eq!(sender.send_replace("replaced"), "kept");
    let receiver = sender.subscribe();
    assert_eq!((sender.send("sent"), *receiver.borrow()), (Ok(()), "sent"));
}

#[test]
fn a_sender_can_wait_until_there_is_no_receiver() {
    run(async {
        let (sender, receiver) = channel(());
        let other = receiver.clone();
        let waiting = spawn(async move { sender.closed().await });
        yield_now().await;
        drop(receiver);
        yield_now().await;
        assert!(!waiting.is_finished());
        drop(other);
        waiting.await.unwrap();
    });
}

#[test]
fn a_wait_that_is_dropped_misses_no_change() {
    run(async {
        let (sender, mut receiver) = channel(0);
        assert!(receiver.changed().now_or_never().is_none());
        sender.send(1).unwrap();
        assert_eq!(receiver.changed().now_or_never(), Some(Ok(())));
    });
}

#[test]
fn changing_a_value_that_is_borrowed_is_a_panic_with_a_reason() {
    let (sender, receiver) = channel(0);
    let borrowed = receiver.borrow();
    let payload = catch_unwind(AssertUnwindSafe(|| sender.send(1))).unwrap_err();
    let message = brigade_runtime::panic_message(&*payload).to_owned();
    assert!(message.contains("a watched value cannot change while it is borrowed"), "{message}");
    drop(borrowed);
    assert_eq!((*receiver.borrow(), receiver.has_changed()), (0, Ok(false)));
    sender.send(1).unwrap();
}

#[test]
fn the_destructor_of_the_value_before_may_use_the_channel() {
    struct Looking(Option<brigade_runtime::local::watch::Receiver<Rc<Looking>>>);
    impl Drop for Looking {
        fn drop(&mut self) {
            if let Some(receiver) = self.0.take() {
                assert!(receiver.borrow().0.is_none());
            }
        }
    }
    let (sender, receiver) = channel(Rc::new(Looking(None)));
    sender.send(Rc::new(Looking(Some(receiver)))).ok().unwrap();
    sender.send(Rc::new(Looking(None))).ok().unwrap();
}
